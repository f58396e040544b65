"""How many bias neurons are switched off: sweep, golden section, a number; which questions units are scored on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.component import Attribution
from evenhand.core.errors import UsageError
from evenhand.core.scenario import Context, Scenario
from evenhand.edits.scale import Scale
from evenhand.lm.scoring.forward import score_options
from evenhand.locate.crispr import Crispr as Scores
from evenhand.methods.crispr import Answers, Crispr, doubling, golden_section, smallest
from evenhand.testing.tiny import tiny_lm
from oracles.people import prose, use_case


def questions(count: int = 8) -> Scenario:
    """Questions, each its own cluster, in two instructions."""
    made = [
        Case(
            f"{i}/{how}", f"{how} What is {i} and {3 * i}? I say", "q", how, "", str(i), "", (" 1", " a", " the"), i % 3
        )
        for i in range(count)
        for how in ("Choose.", "Pick one.")
    ]
    return Scenario("questions", tuple(made), (Context("q", "choice"),))


class Known(Answers):
    """Answers whose accuracy is a known function of the number of units; counts what is asked."""

    def __init__(self, accuracy: Callable[[int], float], cases: int = 1000) -> None:
        lm = tiny_lm("llama")
        layout = lm.layout("head")
        super().__init__(lm, questions(1).cases[:1], Attribution(layout, torch.zeros(layout.size)))
        self.share, self.count = accuracy, cases
        self.cluster = torch.arange(cases)

    def ask(self, sizes: Sequence[int]) -> None:
        for n in sizes:
            right = round(self.share(n) * self.count)
            self.hits[n] = (torch.arange(self.count) < right).double()


@pytest.mark.parametrize("best", [0, 1, 11, 92, 170, 333, 499, 500])
def test_golden_section_finds_the_only_peak_in_few_evaluations(best: int) -> None:
    answers = Known(lambda n: 0.8 - abs(n - best) / 1000)
    assert golden_section(answers, 500) == best
    assert 11 <= len(answers.hits) <= 15


def test_a_range_of_few_is_tried_throughout() -> None:
    answers = Known(lambda n: 0.5 + (n == 3) / 10)
    assert golden_section(answers, 4) == 3
    assert sorted(answers.hits) == [0, 1, 2, 3, 4]


def test_the_sweep_takes_the_smallest_within_noise() -> None:
    assert doubling(500) == [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 500]
    assert doubling(1) == [0, 1]
    accuracy = {0: 0.5, 1: 0.6, 2: 0.7, 4: 0.799, 8: 0.8, 16: 0.7}
    assert smallest(Known(accuracy.__getitem__), list(accuracy)) == 4  # one case in 1,000 is no difference
    assert smallest(Known(accuracy.__getitem__, 100_000), list(accuracy)) == 8
    assert smallest(Known(lambda n: 0.5), [0, 1, 2]) == 0


def test_standard_error_is_that_of_cluster_means_where_clusters_are_equal() -> None:
    answers = Known(lambda n: 0.0)
    answers.cluster = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    answers.hits = {0: torch.zeros(8).double(), 5: torch.tensor([1, 1, 1, 0, 0, 0, 0, 1]).double()}
    means = torch.tensor([1.0, 0.5, 0.0, 0.5])
    assert answers.standard_error(5, 0) == pytest.approx(float(means.std()) / math.sqrt(4))


def test_accuracy_with_units_off_is_that_of_the_edited_model() -> None:
    lm, scenario = tiny_lm("t5"), questions()
    found = Scores().score(lm, scenario)
    answers = Answers(lm, scenario.cases, found)
    answers.ask([0, 3, 100])
    for n in (3, 100):
        (edit,) = Crispr(instances=None).path(lm, scenario, prose(), [n])
        with edit.applied(lm):
            best = [int(s.argmax()) for s in score_options(lm, scenario.cases)[0]]
        right = [float(b == case.favourable) for b, case in zip(best, scenario.cases, strict=True)]
        assert answers.hits[n].tolist() == right


def test_path_is_nested_and_none_takes_its_own_number() -> None:
    lm, scenario = tiny_lm("llama"), questions()
    small, large = Crispr().path(lm, scenario, prose(), [4, 16])
    assert (len(small.selection), len(large.selection)) == (4, 16)
    assert len(small.selection - large.selection) == 0
    assert Crispr(search="none", units=4).fit(lm, scenario, prose()).selection == small.selection


def test_scores_and_number_come_from_different_questions_and_the_choice_is_told() -> None:
    lm, scenario, told = tiny_lm("llama"), questions(), list[str]()
    lm.notify = told.append
    edit = Crispr(most=64).fit(lm, scenario, prose())
    scored = scenario.part("fit", 0, (1, 1, 0))
    assert {case.cluster for case in scored.cases}.isdisjoint(
        case.cluster for case in scenario.part("choose", 0, (1, 1, 0)).cases
    )
    (wanted,) = Crispr(search="none", units=max(1, len(edit.selection))).path(
        lm, scored, prose(), [len(edit.selection)]
    )
    assert edit.selection == wanted.selection
    assert f"crispr: {len(edit.selection)} of at most 64 units, by accuracy on 8 cases" in told[-1]


def test_so_many_questions_are_scored_in_all_their_instructions() -> None:
    lm, scenario = tiny_lm("llama"), questions()
    few = [_units(Crispr(instances=3, seed=seed).path(lm, scenario, prose(), [20])) for seed in (0, 0, 1)]
    assert few[0] == few[1] != few[2]
    assert _units(Crispr(instances=8).path(lm, scenario, prose(), [20])) == _units(
        Crispr(instances=None).path(lm, scenario, prose(), [20])
    )


def test_so_many_questions_choose_the_number_in_all_their_instructions() -> None:
    lm, scenario, told = tiny_lm("llama"), questions(12), list[str]()
    lm.notify = told.append
    Crispr(most=4, choosing=3).fit(lm, scenario, prose())
    Crispr(most=4, choosing=None).fit(lm, scenario, prose())
    assert ["on 6 cases" in told[0], "on 12 cases" in told[1]] == [True, True]  # two instructions each


def _units(edits: list[Scale]) -> list[int]:
    return [int(unit) for unit in edits[0].selection.units]


def test_golden_search_scores_and_chooses_on_all_questions() -> None:
    lm, scenario = tiny_lm("llama"), questions()
    edit = Crispr(search="golden", most=20).fit(lm, scenario, prose())
    n = golden_section(Answers(lm, scenario.cases, Scores().score(lm, scenario)), 20)
    assert _units([edit]) == _units(Crispr().path(lm, scenario, prose(), [n]))


def test_what_is_no_question_with_a_right_answer_is_refused() -> None:
    lm = tiny_lm("llama")
    for search in ("sweep", "golden", "none"):
        with pytest.raises(UsageError, match="questions with a right answer"):
            dataclasses.replace(Crispr(), search=search).fit(lm, use_case("number"), prose())


def test_a_context_of_numbers_names_those_of_its_scenario_that_can_be_used() -> None:
    mixed = Scenario(
        "mixed", (*use_case("number").cases, *questions().cases), (*use_case("number").contexts, Context("q", "choice"))
    )
    with pytest.raises(UsageError, match=r"\(of this scenario: --context q\)"):
        Crispr().fit(tiny_lm("llama"), mixed, prose())
