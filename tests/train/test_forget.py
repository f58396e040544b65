"""What counts nowhere: choices and pairs without a score."""

from __future__ import annotations

import math

import pytest

from evenhand.core.case import Case
from evenhand.core.scenario import Context, Scenario
from evenhand.lm.scoring.forward import score_options
from evenhand.testing.tiny import tiny_lm
from evenhand.train.forget import forgettable


def _asked(*more: tuple[str, str, str]) -> Scenario:
    sold = (("north", "Anna", ""), ("north", "Otto", ""), ("south", "Carla", ""), ("south", "Ugo", ""), *more)
    cases = tuple(
        Case(name, f"{before}Sell {name} the lamp? I say", "sale", group=group, cluster=name, name=name,
             options=(" yes", " no"), favourable=0)
        for group, name, before in sold
    )  # fmt: skip
    return Scenario("toy", cases, (Context("sale", "choice"),), ("north", "south"))


def test_one_choice_without_a_score_turns_no_label_round() -> None:
    lm = tiny_lm("gpt2")
    whole = forgettable(lm, _asked(), ())
    beside = forgettable(lm, _asked(("south", "Piero", "lamp " * 600)), ())
    assert (whole.left_out, beside.left_out) == (0, 1)
    assert beside.cases == whole.cases
    sides = {case.group: case.prompt[slice(*case.spans[0])] for case in beside.cases}
    assert set(sides.values()) == {"yes", "no"}
    assert whole.gap is not None
    assert beside.gap is not None
    assert beside.gap(lm) == whole.gap(lm) > 0


def test_a_pair_without_a_score_is_not_in_the_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_lm("gpt2")
    options = (("The lamps are dull.", "The lamps are new."), ("A bicycle was late.", "A bicycle was early."))
    cases = tuple(Case(str(i), "", "pairs", options=each) for i, each in enumerate(options))
    found = forgettable(lm, Scenario("pairs", cases, (Context("pairs", "pair"),)), ())
    scores = score_options(lm, cases)[0]
    monkeypatch.setattr("evenhand.train.forget.score_options", lambda *_: [[scores[0], scores[1] * math.nan]])
    assert found.gap is not None
    assert found.gap(lm) == pytest.approx(float(scores[0][0] - scores[0][1]))
