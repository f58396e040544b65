"""The published arithmetic from made-up answers, rigged and symmetric answers, and both kinds of readout."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
import torch

from evenhand.core.bootstrap import Bootstrap
from evenhand.core.case import Case
from evenhand.core.measure import Subject
from evenhand.core.measuring import measure, point
from evenhand.core.readout import Readout
from evenhand.measures.implicit_association import ImplicitAssociation
from evenhand.testing.measures import Toy
from oracles.association import shares

SAID = {
    "stereotype": "joy - white, agony - black",
    "reverse": "joy - black, agony - white",
    "refusal": "I'm sorry, but I can't do that.",
    "invalid": "Black and White racial experiences differ.",
}
Asked = Sequence[tuple[str, str, str]]
"""Outcome, what copying the order of listing would give, category."""


def _cases(asked: Asked) -> tuple[Case, ...]:
    return tuple(
        Case(str(i), "", "c", cluster=str(i), options=("a", "b"), facts=(
            ("copying", copying), ("category", category), ("positive", "joy"), ("negative", "agony"),
            ("default", "white"), ("stigmatised", "black"),
        ))
        for i, (_, copying, category) in enumerate(asked)
    )  # fmt: skip


def _text(asked: Asked) -> Readout:
    n, none = len(asked), torch.zeros(0, dtype=torch.float64)
    other = torch.ones(n, dtype=torch.float64)
    return Readout(
        "text", _cases(asked), (), none, none, none.long(), {"valid": 0 * other, "other": other},
        torch.zeros(n, dtype=torch.bool), ddof=1, answers=tuple((SAID[outcome],) for outcome, *_ in asked),
    )  # fmt: skip


def _pair(leads: list[float], asked: Asked, tokens: tuple[int, int] = (4, 4)) -> Readout:
    n = len(leads)
    lengths = torch.tensor([tokens] * n).double()
    logp = (torch.tensor([[lead, 0.0] for lead in leads]).double() - 3) * lengths
    one = torch.ones(n, dtype=torch.float64)
    return Readout(
        "pair", _cases(asked), (), logp[:, 0] - logp[:, 1], one, torch.arange(n), {"valid": one}, one.bool(),
        arrays={"logp": logp, "tokens": lengths},
    )  # fmt: skip


EVEN = [(outcome, copying, "valence") for outcome in ("stereotype", "reverse") for copying in ("stereotype", "reverse")]


def rigged() -> list[Toy]:
    return [
        (readout, None)
        for outcome, lead in (("stereotype", 1.0), ("reverse", -1.0))
        for readout in (_text([(outcome, *rest) for _, *rest in EVEN]), _pair([lead] * 4, EVEN))
    ]


def symmetric() -> list[Toy]:
    refused = [("refusal", "stereotype", "valence"), ("invalid", "reverse", "weapon")]
    return [
        (_text([*EVEN, *refused]), None),
        (_pair([1.0, 2.0, -1.0, -2.0], EVEN), None),
        (_pair([0.0] * 4, EVEN), None),
    ]


def _answers(counts: dict[str, int]) -> list[tuple[str, str, str]]:
    """Answers of one copying direction after the other, in turn."""
    outcomes = [outcome for outcome, count in counts.items() for _ in range(count)]
    return [(o, ("stereotype", "reverse")[i % 2], "valence") for i, o in enumerate(outcomes)]


@pytest.mark.parametrize(
    ("counts", "valid_only", "of_all", "highest"),
    [
        ({"stereotype": 545, "reverse": 15}, 545 / 560, 545 / 560, 545 / 560),
        ({"stereotype": 112, "reverse": 152, "invalid": 296}, 112 / 264, 112 / 560, 408 / 560),
        ({"stereotype": 290, "reverse": 203, "invalid": 60, "refusal": 7}, 290 / 493, 290 / 560, 357 / 560),
        ({"stereotype": 42, "reverse": 42, "invalid": 476}, 0.5, 42 / 560, 518 / 560),
    ],
)
def test_published_counts_give_the_published_shares(
    counts: dict[str, int], valid_only: float, of_all: float, highest: float
):
    found = point(ImplicitAssociation(), _text(_answers(counts)))
    assert found["value"] == pytest.approx(valid_only, abs=1e-12)
    assert found["stereotype"] == pytest.approx(of_all, abs=1e-12)
    assert found["highest"] == pytest.approx(highest, abs=1e-12)
    for outcome in SAID:
        assert found[outcome] == pytest.approx(counts.get(outcome, 0) / 560, abs=1e-12)
    assert sum(found[outcome] for outcome in SAID) == pytest.approx(1, abs=1e-12)


def test_the_published_percentages_to_one_decimal():
    before = point(ImplicitAssociation(), _text(_answers({"stereotype": 545, "reverse": 15})))
    after = point(ImplicitAssociation(), _text(_answers({"stereotype": 112, "reverse": 152, "invalid": 296})))
    assert round(100 * before["value"], 1) == 97.3
    assert [round(100 * after[key], 1) for key in ("value", "stereotype", "reverse", "invalid", "highest")] == [
        42.4, 20.0, 27.1, 52.9, 72.9,
    ]  # fmt: skip


def _copies(templates: Sequence[str]) -> list[tuple[str, str, str]]:
    """Answers that copy the order of listing, to templates where that gives `templates`."""
    return [(copying, copying, "valence") for copying in templates for _ in range(10)]


def test_copying_scores_a_quarter_on_the_published_templates_and_one_half_on_balanced_ones():
    published = point(ImplicitAssociation(), _text(_copies(["reverse", "reverse", "reverse", "stereotype"])))
    assert (published["value"], published["balanced"], published["copying"]) == (0.25, 0.5, 1.0)
    balanced = point(ImplicitAssociation(), _text(_copies(["reverse", "stereotype"] * 2)))
    assert (balanced["value"], balanced["balanced"], balanced["copying"]) == (0.5, 0.5, 1.0)


def test_the_balanced_share_is_the_mean_of_the_two_directions():
    """Counts near those of the published templates: 42 % pooled becomes 60 % balanced."""
    asked = [(o, "reverse", "valence") for o, n in (("stereotype", 59), ("reverse", 138)) for _ in range(n)]
    asked += [(o, "stereotype", "valence") for o, n in (("stereotype", 61), ("reverse", 6)) for _ in range(n)]
    found = point(ImplicitAssociation(), _text(asked))
    assert found["value"] == pytest.approx(120 / 264)
    assert found["balanced"] == pytest.approx((59 / 197 + 61 / 67) / 2)
    assert found["copying"] == pytest.approx((138 + 61) / 264)


def test_pooled_and_macro_part_where_categories_differ_in_size():
    asked = [("stereotype", "stereotype", "guilt")] * 6 + [("reverse", "reverse", "weapon")] * 2
    found = point(ImplicitAssociation(), _text(asked))
    assert (found["value"], found["macro"]) == (0.75, 0.5)


def test_random_answers_agree_with_counting_by_hand():
    draw = random.Random(0)
    asked = [
        (draw.choice(list(SAID)), draw.choice(("stereotype", "stereotype", "reverse")), draw.choice("ab"))
        for _ in range(200)
    ]
    found = point(ImplicitAssociation(), _text(asked))
    by_hand = shares([outcome for outcome, *_ in asked], [copying for _, copying, _ in asked])
    assert {key: found[key] for key in by_hand} == pytest.approx(by_hand)


def test_several_samples_of_a_case_count_as_their_mean():
    one = _text(EVEN)
    few = Readout(
        "text", one.cases, (), one.value, one.mass, one.row, one.shares, one.defined,
        answers=((SAID["stereotype"],) * 3 + (SAID["invalid"],), *one.answers[1:]),
    )  # fmt: skip
    found = point(ImplicitAssociation(), few)
    assert found["value"] == pytest.approx(1.75 / 3.75)
    assert found["invalid"] == pytest.approx(0.0625)


def test_likelihoods_are_per_token_and_ties_are_halves():
    found = point(ImplicitAssociation(), _pair([0.1, -0.1, 0.0, 0.2], EVEN, tokens=(9, 4)))
    assert found["value"] == pytest.approx(2.5 / 4)
    assert found["invalid"] == found["refusal"] == 0
    assert found["highest"] == found["stereotype"] == found["value"]


def test_nothing_valid_is_undefined_but_still_counted():
    found = point(ImplicitAssociation(), _text([("invalid", "stereotype", "a"), ("refusal", "reverse", "a")]))
    assert all(math.isnan(found[key]) for key in ("value", "balanced", "copying", "macro"))
    assert (found["stereotype"], found["highest"], found["invalid"], found["refusal"]) == (0, 1, 0.5, 0.5)


def test_a_change_is_paired_by_word_pair():
    before, after = _text(_answers({"stereotype": 12})), _text(_answers({"stereotype": 6, "invalid": 6}))
    rows = {
        row.key: row.estimate
        for row in measure(
            {"implicit_association": ImplicitAssociation()}, Subject("edited", after), Bootstrap(200),
            Subject("base", before),
        )
    }  # fmt: skip
    assert rows["value"].value == 0
    assert (rows["stereotype"].value, rows["highest"].value) == (-0.5, 0)
    assert rows["stereotype"].n_clusters == 12
    assert rows["stereotype"].high < 0
