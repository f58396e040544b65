"""What saved edits and scores share: all with itself, nothing with a disjoint one, nothing across models and spaces."""

import json

import pytest
import torch
from safetensors.torch import save_file

from evenhand.core.component import Attribution, Selection
from evenhand.core.errors import CannotRun, UsageError
from evenhand.edits._file import save
from evenhand.edits.compose import Compose
from evenhand.edits.scale import Scale
from evenhand.study.overlap import Known, of_edit, of_scores, overlap
from evenhand.testing.tiny import tiny_lm

LAYOUT = tiny_lm("llama").layout("neuron")
HEADS = tiny_lm("llama").layout("head")


def _edit(*units):
    return Selection.of(LAYOUT, list(units))


def test_pairs_of_one_model_and_space_only():
    known = [
        Known("one", "m", _edit(1, 2, 3)),
        Known("same", "m", _edit(1, 2, 3)),
        Known("disjoint", "m", _edit(8, 9)),
        Known("heads", "m", Selection.of(HEADS, [0])),
        Known("elsewhere", "n", _edit(1, 2, 3)),
        Known("no units", "m"),
    ]
    found = overlap(known)
    assert found.edits == ("one", "same", "disjoint", "heads", "elsewhere", "no units")
    assert found.sizes == (3, 3, 2, 1, 3, 0)
    assert found.spaces == ("neuron", "neuron", "neuron", "head", "neuron", "")
    at = {(pair.a, pair.b): pair for pair in found.pairs}
    assert set(at) == {(0, 1), (0, 2), (1, 2)}
    assert (at[0, 1].jaccard, at[0, 1].both) == (1.0, 3)
    assert at[0, 1].p < 1e-4
    assert (at[0, 2].jaccard, at[0, 2].both) == (0.0, 0)
    assert 0 < at[0, 2].chance < 0.05


def test_scores_stand_for_as_many_units_as_the_edit_beside_them_has():
    scores = torch.zeros(LAYOUT.size)
    scores[[4, 7]] = torch.tensor([2.0, 1.0])
    ranked = Known("scores", "m", scores=Attribution(LAYOUT, scores))
    turned = Known("turned", "m", scores=Attribution(LAYOUT, -scores))
    found = overlap([ranked, Known("edit", "m", _edit(4, 7)), turned])
    assert [(pair.a, pair.b, pair.jaccard) for pair in found.pairs] == [(0, 1, 1.0), (1, 2, 0.0)]
    ((a, b, rank),) = found.correlations
    assert (a, b) == (0, 2)
    assert rank == pytest.approx(-1.0)


def test_saved_edits_are_read_with_all_their_parts(tmp_path):
    both = Compose((Scale(_edit(1, 2)), Scale(_edit(2, 5), 0.5)))
    mixed = Compose((Scale(_edit(1)), Scale(Selection.of(HEADS, [0]))))
    for name, edit in (("both", both), ("mixed", mixed)):
        save(edit, tmp_path / name, {"source": "x", "sha256": "ab"}, {})
    found = of_edit("both", tmp_path / "both")
    assert found.selection == _edit(1, 2, 5)
    assert found.model == "ab"
    assert of_edit("mixed", tmp_path / "mixed").selection is None


def test_files_of_scores(tmp_path):
    path = tmp_path / "scores.safetensors"
    about = {"model": {"source": "x", "sha256": "", "revision": "r1"}}
    header = {"layout": json.dumps(LAYOUT.to_json()), "about": json.dumps(about)}
    save_file({"scores": torch.arange(LAYOUT.size).float()}, path, metadata=header)
    found = of_scores("s", path)
    assert found.scores is not None
    assert found.scores.layout == LAYOUT
    assert found.model == "r1"
    with pytest.raises(UsageError, match="there is no such file"):
        of_scores("s", tmp_path / "absent.safetensors")
    save_file({"scores": torch.zeros(2)}, path)
    with pytest.raises(CannotRun, match="holds no scores"):
        of_scores("s", path)
