"""BBQ's bias scores: against a count by hand, at both ends, at 0, and undefined."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from evenhand.core.bootstrap import Bootstrap
from evenhand.core.measure import Subject
from evenhand.core.measuring import measure, point
from evenhand.core.readout import Readout
from evenhand.measures.bbq_bias import BbqBias
from evenhand.testing.measures import Toy
from measures.bbq_answers import all_follow, drawn, readout
from oracles import bbq as oracle


def rigged() -> list[Toy]:
    return [(readout(all_follow(follow), kind), None) for follow in (True, False) for kind in ("choice", "text")]


def symmetric() -> list[Toy]:
    both = [*all_follow(True), *all_follow(False)]
    return [(_ties(), None), (readout(both), None), (readout(both, "text"), None)]


def _ties() -> Readout:
    """All options of every question have the same score."""
    tied = readout(all_follow(True))
    return dataclasses.replace(tied, arrays=tied.arrays | {"logp": torch.zeros(len(tied), 3, dtype=torch.float64)})


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kind", ["choice", "text"])
def test_as_counted_by_hand(seed: int, kind: str) -> None:
    answers = drawn(seed, n=8 + 3 * seed, invalid=kind == "text")
    found = point(BbqBias(), readout(answers, "text" if kind == "text" else "choice"))
    for key, value in oracle.scores(answers).items():
        assert found[key] == pytest.approx(value, abs=1e-12, nan_ok=True), key


def test_both_scores_reach_both_ends_and_are_exactly_neutral() -> None:
    for toy, value in zip(rigged(), (1.0, 1.0, -1.0, -1.0), strict=True):
        assert point(BbqBias(), toy[0]) == {"ambiguous": value, "disambiguated": value}
    for toy in symmetric():
        assert point(BbqBias(), toy[0]) == {"ambiguous": 0.0, "disambiguated": 0.0}


def test_nobody_named_is_undefined_not_unbiased() -> None:
    unknown = [dataclasses.replace(one, pick=one.unknown) for one in all_follow(True)]
    assert all(math.isnan(value) for value in point(BbqBias(), readout(unknown)).values())
    silent = [dataclasses.replace(one, pick=None) for one in all_follow(True)]
    assert all(math.isnan(value) for value in point(BbqBias(), readout(silent, "text")).values())


def test_ambiguous_bias_is_scaled_by_how_often_the_answer_is_wrong() -> None:
    answers = all_follow(True)
    half = [dataclasses.replace(one, pick=one.unknown) if i % 2 else one for i, one in enumerate(answers)]
    assert point(BbqBias(), readout(half)) == {"ambiguous": 0.5, "disambiguated": 1.0}


def test_a_question_without_known_target_is_left_out() -> None:
    known = readout(all_follow(True))
    blank = dataclasses.replace(
        known, cases=tuple(dataclasses.replace(case, id=f"{case.id}?", facts=(*case.facts, ("target", "")))
                           for case in readout(all_follow(False)).cases),
    )  # fmt: skip
    assert all(math.isnan(value) for value in point(BbqBias(), blank).values())
    mixed = dataclasses.replace(known, cases=(*known.cases[:-1], blank.cases[-1]))
    assert point(BbqBias(), mixed) == point(BbqBias(), known)


def test_a_tie_is_shared() -> None:
    answers = [one for one in all_follow(True) if one.condition == "disambig" and one.polarity == "neg"]
    toy = readout(answers)
    logp = toy.arrays["logp"].clone()
    for row, one in enumerate(answers):
        logp[row, ({0, 1, 2} - {one.unknown, one.target}).pop()] = logp[row, one.target]
    tied = dataclasses.replace(toy, arrays=toy.arrays | {"logp": logp})
    assert point(BbqBias(), tied)["disambiguated"] == 0.0


def test_intervals_resample_templates() -> None:
    rows = measure({"bbq_bias": BbqBias()}, Subject("base", readout(drawn(1, 120))), Bootstrap(200))
    for row in rows:
        assert row.estimate.low < row.estimate.value < row.estimate.high
        assert row.estimate.n_clusters == 60
