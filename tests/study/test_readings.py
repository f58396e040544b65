"""An edit read by masks and the same edit applied around its own reading say the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from evenhand.core.component import Selection
from evenhand.core.progress import silent
from evenhand.edits.compose import Compose
from evenhand.edits.scale import Scale
from evenhand.lm.model import LM
from evenhand.lm.read import Reading
from evenhand.study.readings import only_layers, read_edits
from evenhand.testing.tiny import tiny_lm
from oracles.people import prose, use_case


def _columns(lm: LM, neurons: Selection) -> Scale:
    """The same neurons as the single weights of their writers' columns."""
    entries = lm.layout("weight")
    start = dict(zip((site.path for site in entries.sites), entries.starts(), strict=True))
    found: list[int] = []
    for site, units in neurons.by_site():
        rows = entries.sites[[each.path for each in entries.sites].index(site.path)].units // site.units
        found += [start[site.path] + row * site.units + int(unit) for unit in units for row in range(rows)]
    return Scale(Selection.of(entries, found))


@pytest.mark.parametrize("name", ["llama", "gpt2", "bert", "t5"])
def test_weights_and_composed_edits_equal_masks_and_so_does_their_distance_from_the_unedited_model(name: str) -> None:
    lm = tiny_lm(name)
    neurons = Selection.of(lm.layout("neuron"), [1, 7, 50, 60, 61])
    edits = [Scale(neurons), Compose((Scale(neurons),)), _columns(lm, neurons)]
    for scenario in (prose(), use_case()):
        by_mask, *others = read_edits(lm, scenario, edits, Reading(), silent)
        for around in others:
            for one, other in zip(by_mask, around, strict=True):
                assert one.arrays.keys() == other.arrays.keys()
                for key, values in one.arrays.items():
                    torch.testing.assert_close(other.arrays[key], values, atol=1e-4, rtol=1e-4)
    (said,) = read_edits(lm, prose(), edits, Reading(), silent)[2]
    assert bool((said.arrays["kl"] > 0).all())


def test_inside_another_edit_no_unedited_model_is_beside() -> None:
    lm = tiny_lm("llama")
    edit: Any = _columns(lm, Selection.of(lm.layout("neuron"), [3]))
    with Scale(Selection.of(lm.layout("head"), [1])).applied(lm):
        ((said,),) = read_edits(lm, prose(), [edit], Reading(), silent)
    assert "kl" not in said.arrays


def test_weights_are_kept_to_layers() -> None:
    lm = tiny_lm("llama")
    edit = _columns(lm, Selection.of(lm.layout("neuron"), [3, 60]))
    kept = only_layers(edit.selection, [1])
    assert len(kept) == len(edit.selection) // 2
    assert {site.layer for site, _ in kept.by_site()} == {1}
