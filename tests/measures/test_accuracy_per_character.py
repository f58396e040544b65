"""Dividing by the length in characters, and what it changes."""

from __future__ import annotations

import dataclasses

import torch

from evenhand.core.case import Case
from evenhand.core.measuring import point
from evenhand.measures.accuracy import Accuracy
from evenhand.measures.accuracy_per_character import AccuracyPerCharacter
from evenhand.testing.measures import toy


def test_a_long_option_is_judged_by_its_likelihood_per_character() -> None:
    options = (" no", " yes indeed")
    cases = tuple(Case(str(i), "A text.", "c", options=options, favourable=1) for i in range(3))
    logp = torch.tensor([[-4.0, -11.0], [-4.0, -9.0], [-2.0, -10.0]])
    base = toy("choice").where(lambda case: case.id in ("north0", "north1", "north2"))
    readout = dataclasses.replace(base, cases=cases, arrays={"logp": logp})
    assert point(Accuracy(), readout)["value"] == 0
    # Per character: −2 against −1.1, −2 against −0.9, −1 against −1: a tie.
    assert point(AccuracyPerCharacter(), readout)["value"] == (1 + 1 + 0.5) / 3


def test_cases_with_fewer_options_are_padded() -> None:
    base = toy("choice").where(lambda case: case.id in ("north0", "north1"))
    cases = (
        Case("0", "A text.", "c", options=(" a", " bc"), favourable=1),
        Case("1", "A text.", "c", options=(" a", " b", " c"), favourable=2),
    )
    logp = torch.tensor([[-2.0, -3.0, torch.nan], [-2.0, -3.0, -2.5]])
    readout = dataclasses.replace(base, cases=cases, arrays={"logp": logp})
    assert point(AccuracyPerCharacter(), readout)["value"] == 0.5
