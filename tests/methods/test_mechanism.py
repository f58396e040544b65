"""Models whose writers cannot be edited by weight: every method that selects units can scale activations instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import cpu_offload

from evenhand import find
from evenhand.core.errors import CannotRun, UsageError
from evenhand.edits import _file
from evenhand.lm.model import LM
from evenhand.lm.scoring.forward import score_options
from evenhand.testing.tiny import tiny_lm
from oracles.people import prose, use_case

SMALL: dict[str, dict[str, Any]] = {
    "contrast": {"candidates": 4, "tolerance": 100.0, "names": 2, "texts": 1}, "random": {},
    "crispr": {"search": "none"}, "knowledge_neurons": {"steps": 2},
    "neuron_editing": {"candidates": 4, "guard": False},
    "set_difference": {"space": "head"},  # its neuron scores read the weights themselves
}  # fmt: skip


def _offloaded() -> LM:
    lm = tiny_lm("qwen3")
    cpu_offload(lm.model, execution_device=torch.device("cpu"))
    return lm


def _quantised() -> LM:
    lm = tiny_lm("qwen3")
    lm.model.config.quantization_config = {"quant_method": "toy"}
    return lm


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("make", [_offloaded, _quantised])
def test_activation_edits_work_where_weights_cannot_be_edited(name: str, make: Any, tmp_path: Path) -> None:
    lm, scenario = make(), use_case()
    edit = find.build("methods", name, SMALL[name] | {"mechanism": "activation"}).fit(lm, scenario, prose())
    assert len(edit.selection)
    _file.save(edit, tmp_path / "edit", lm.identity.to_json(), {})
    again = _file.load_edit(tmp_path / "edit", lm)
    assert again.mechanism == "activation"
    (before,) = score_options(lm, scenario.cases)
    with again.applied(lm):
        (after,) = score_options(lm, scenario.cases)
    assert not torch.equal(torch.cat(after), torch.cat(before))
    by_weight = find.build("methods", name, SMALL[name]).path(lm, scenario, prose(), [2])[0]
    with pytest.raises(CannotRun, match="mechanism 'activation'"), by_weight.applied(lm):
        pass


@pytest.mark.parametrize("name", SMALL)
def test_the_mechanism_changes_nothing_about_which_units(name: str) -> None:
    lm, scenario = tiny_lm("qwen3"), use_case()
    weight, activation = (
        find.build("methods", name, SMALL[name] | {"mechanism": mechanism}).path(lm, scenario, prose(), [3])[0]
        for mechanism in ("weight", "activation")
    )
    assert (weight.mechanism, activation.mechanism) == ("weight", "activation")
    assert weight.selection == activation.selection


@pytest.mark.parametrize("name", SMALL)
def test_a_mistyped_mechanism_names_the_two_there_are(name: str) -> None:
    with pytest.raises(UsageError, match=r"'acivation'; did you mean 'activation'.*'weight' or 'activation'"):
        find.build("methods", name, {"mechanism": "acivation"})
