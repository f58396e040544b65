"""The laws over every locator and method in the folders: a new file is covered without being named here."""

from __future__ import annotations

import os

import pytest
import torch

from evenhand import find
from evenhand.core.case import Case
from evenhand.core.contracts import fitted_to
from evenhand.core.scenario import Context, Scenario
from evenhand.lm.model import LM
from evenhand.testing.conformance import check_beats_random, check_locator, check_method
from evenhand.testing.rigged import Rigged, rigged
from evenhand.testing.tiny import FAMILY_NAMES, tiny_lm

FULL = bool(os.environ.get("EVENHAND_FULL"))
MOE = {"mixtral", "qwen3_moe"}
# One family per mechanism that differs: plain, transposed weights, flattened MLP input, masked, encoder–decoder.
FAMILIES = [f for f in FAMILY_NAMES if f not in MOE] if FULL else ["llama", "gpt2", "opt", "bert", "t5"]
CONTROL = "random"
"""The method that the others have to beat."""
HALF = FAMILIES if FULL else ["llama", "t5"]
"""Families tried in bfloat16 as well."""
PAIRS = [(family, torch.float32) for family in FAMILIES] + [(family, torch.bfloat16) for family in HALF]


def _bias() -> Scenario:
    """Few and short: a masked model reads every token of a text once for every unit that is tried."""
    people = {"north": ["Anna", "Mary Ann"], "south": ["Carla", "Jo"]}
    cases = tuple(
        Case(
            id=f"{item}/{group}/{name}",
            prompt=f"Sell {name} the {item}? I say",
            context="sale",
            variation=item,
            group=group,
            cluster=name,
            name=name,
            options=(" yes", " no"),
            favourable=0,
        )
        for item in ("chair", "bicycle")
        for group, names in people.items()
        for name in names
    )
    return Scenario("toy", cases, (Context("sale", "choice"),), ("north", "south"))


def _utility() -> Scenario:
    texts = ["She said 3.", "The old lamp."]
    cases = tuple(Case(str(i), text, "text", cluster=str(i)) for i, text in enumerate(texts))
    return Scenario("texts", cases, (Context("text", "sentence"),))


def _lm(family: str, dtype: torch.dtype) -> LM:
    return tiny_lm(family, dtype=dtype)


@pytest.mark.parametrize(("family", "dtype"), PAIRS)
@pytest.mark.parametrize("name", find.names("locate"))
def test_locators_obey_the_laws(name: str, family: str, dtype: torch.dtype) -> None:
    check_locator(name, _lm(family, dtype), _bias())


@pytest.mark.parametrize(("family", "dtype"), PAIRS)
@pytest.mark.parametrize("name", find.names("methods"))
def test_methods_obey_the_laws(name: str, family: str, dtype: torch.dtype) -> None:
    check_method(name, _lm(family, dtype), _bias(), _utility())


def _learns_gaps(name: str) -> bool:
    """Whether a method is fitted to the scenario, and not to texts of its own that say nothing of a toy's gap."""
    return not fitted_to(find.build("methods", name))


@pytest.fixture(scope="module")
def toy() -> Rigged:
    return rigged()


def _in_spaces(name: str) -> list[tuple[str, dict[str, str]]]:
    takes_spaces = "space" in find.plugin("methods", name).__dataclass_fields__
    return [(name, {"space": space}) for space in ("neuron", "head")] if takes_spaces else [(name, {})]


LEARNING = [name for name in find.names("methods") if name != CONTROL and _learns_gaps(name)]


@pytest.mark.parametrize(("name", "settings"), [each for name in LEARNING for each in _in_spaces(name)])
def test_methods_beat_random_units(name: str, settings: dict[str, str], toy: Rigged) -> None:
    check_beats_random(find.build("methods", name, settings), toy)


@pytest.mark.parametrize("space", ["neuron", "head"])
def test_random_units_do_not_beat_random_units(space: str, toy: Rigged) -> None:
    """The check must be able to fail: units chosen blindly do not pass it."""
    with pytest.raises(AssertionError, match="random units make it"):
        check_beats_random(find.build("methods", CONTROL, {"space": space}), toy)
