"""An edit of single weights from the search for its size to a checkpoint and an audit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from evenhand.core.bootstrap import Bootstrap
from evenhand.edits import _file
from evenhand.edits.scale import Scale
from evenhand.export.card import ModelCard
from evenhand.export.checkpoint import checkpoint
from evenhand.scenarios._load import load_scenario
from evenhand.study.bench import Bench
from evenhand.study.benchmark import Asking, run_benchmark
from evenhand.study.cell import run_cell
from evenhand.study.config import StudyConfig
from evenhand.study.entry import Entry
from evenhand.study.grid import Made, specs
from evenhand.study.models import identity
from evenhand.study.store import Store
from evenhand.study.utility import together
from evenhand.testing.tiny import tiny_lm


@pytest.fixture(scope="module")
def cell(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    config = StudyConfig.model_validate({
        "name": "t", "scenario": str(shop / "shop.toml"), "utility": [str(shop / "texts.toml")],
        "models": [{"source": "m", "chat": False}], "methods": [{"name": "weight_difference", "sizes": "paper"}],
        "fitted_on": ["lamp"], "bootstrap": {"replicates": 40},
    })  # fmt: skip
    lm = tiny_lm("llama")
    store = Store(tmp_path_factory.mktemp("weights"))
    bench = Bench(lm, config, load_scenario(config.scenario), together(config.utility), store)
    spec = specs(config, Made(identity(lm), bench.scenario, bench.utility))[0]
    return lm, *run_cell(bench, spec)


def test_the_record_tells_of_matrices_and_of_the_distance_from_the_unedited_model(cell: Any) -> None:
    _, record, edit = cell
    assert record.space == "weight"
    assert record.units == ()
    assert sum(matrix.entries for matrix in record.matrices) == sum(record.per_layer.values()) == len(edit.selection)
    assert record.sweep[1].units == len(edit.selection)
    assert not math.isnan(record.sweep[1].random_gap.value)
    assert any("of the input columns" in note for note in record.notes)
    for subject in ("edit", "random"):
        found = [row.estimate.value for row in record.rows
                 if row.measure == "kl_to_unedited" and row.subject == subject and not row.against]  # fmt: skip
        assert found
        assert all(value > 0 for value in found)


def test_the_control_has_as_many_random_weights_in_every_matrix(cell: Any) -> None:
    _, _, edit = cell
    random = edit.control(0)
    assert isinstance(random, Scale)
    assert [len(a) for a in random.selection.pieces()] == [len(a) for a in edit.selection.pieces()]
    assert len(random.selection & edit.selection) == 0


def test_the_checkpoint_holds_the_zeros_and_an_audit_sees_the_edit(cell: Any, tmp_path: Path) -> None:
    lm, _, edit = cell
    done = checkpoint(lm, edit, tmp_path / "out", ModelCard())
    assert done.checked.entries == len(edit.selection)
    assert done.checked.effect > 0
    assert (
        f"{len(edit.selection):,} of {edit.selection.layout.size:,} weights" in (tmp_path / "out/README.md").read_text()
    )
    _file.save(edit, tmp_path / "edit", lm.identity.to_json(), {})
    saved = _file.load(tmp_path / "edit")
    assert torch.equal(saved.unchecked.selection.units, edit.selection.units)  # type: ignore[attr-defined]
    entry = Entry(scenario="simple_text", measures=("kl_to_unedited", "top1_agreement"))
    record, _ = run_benchmark(Asking(lm, bootstrap=Bootstrap(20), edit=saved), entry, Store(tmp_path / "audit"))
    found = {row.measure: row.estimate.value for row in record.rows}  # type: ignore[union-attr]
    assert found["kl_to_unedited"] > 0
    assert 0 < found["top1_agreement"] < 1
