"""A size chosen by a goal: which point is taken, what is measured, what the verdict says, and what is refused."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from evenhand import find
from evenhand.cli.outcome import summary, tell
from evenhand.core.errors import UsageError
from evenhand.core.estimate import Estimate
from evenhand.core.measuring import point
from evenhand.core.record import RunRecord, SweepPoint
from evenhand.judge.facts import Facts
from evenhand.judge.goal import Aimed, reached
from evenhand.lm.read import read
from evenhand.report.render import render
from evenhand.report.sentences import say
from evenhand.report.words import percent
from evenhand.scenarios._load import load_scenario
from evenhand.study.config import BudgetConfig, GoalConfig, StudyConfig
from evenhand.study.engine import Unfinished, run_study
from evenhand.study.models import open_model
from evenhand.study.sweep import choose, rule

Asked = Callable[..., StudyConfig]
QUESTIONS = {"scenario": "facts", "fitted_on": ["facts"], "measures": ["accuracy"], "goal": {"measure": "accuracy"},
             "methods": [{"name": "crispr", "sizes": [1, 300, 600]}]}  # fmt: skip


def _points(*values: float, ratio: float = 1.0) -> list[SweepPoint]:
    nothing = Estimate(value=math.nan)
    return [
        SweepPoint(units=2**n - 1, share=0.0, gap=nothing, random_gap=nothing, goal=Estimate(value=value), valid=1.0,
                   perplexity_ratio=ratio if n == len(values) - 1 else 1.0)
        for n, value in enumerate(values)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "better", "best"),
    [
        ((0.5, 0.6, 0.7, 0.704), "high", 2),  # within the tolerance the smaller one wins
        ((0.5, 0.6, 0.7, 0.704), "low", 0),
        ((0.5, 0.4, 0.3, 0.2), "low", 3),
        ((0.5, math.nan, 0.502, 0.4), "high", 0),
        ((math.nan, 0.5), "high", 0),
    ],
)
def test_the_smallest_size_that_does_best_is_chosen(values: tuple[float, ...], better: str, best: int) -> None:
    goal = GoalConfig.model_validate({"measure": "accuracy", "better": better})
    found, note = choose(_points(*values), BudgetConfig(), goal)
    assert found == best
    assert bool(note) == (best == 0)
    assert "accuracy" in note or best
    assert f"accuracy is within 0.005 of the {better}est one" in rule(BudgetConfig(), goal=goal)


def test_damage_counts_whatever_the_goal() -> None:
    assert choose(_points(0.5, 0.6, 0.9, ratio=1.5), BudgetConfig(), GoalConfig(measure="accuracy"))[0] == 1


def test_the_goal_must_be_measured_and_the_gap_need_not(asked: Asked) -> None:
    assert asked(**QUESTIONS).goal == GoalConfig(measure="accuracy")
    with pytest.raises(ValidationError, match="measures must hold accuracy, the goal"):
        asked(**QUESTIONS | {"measures": ["mean"]})
    with pytest.raises(ValidationError, match="must hold standardised_mean_difference"):
        asked(**QUESTIONS | {"goal": None})


def test_without_a_goal_the_error_names_it(asked: Asked, tmp_path: Path) -> None:
    config = asked(scenario="facts", fitted_on=["facts"])
    with pytest.raises(UsageError, match=r"compares at least two.* under \[goal\]"):
        run_study(config, tmp_path)


def test_a_key_that_the_measure_does_not_give_is_told(asked: Asked, tmp_path: Path) -> None:
    config = asked(**QUESTIONS | {"goal": {"measure": "accuracy", "key": "f1"}})
    with pytest.raises(Unfinished, match="measure 'accuracy' gives no 'f1'"):
        run_study(config, tmp_path)


def test_questions_without_groups_are_fitted_chosen_and_reported_on_disjoint_parts(
    asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = asked(**QUESTIONS)
    (record,) = run_study(config, tmp_path / "run")
    part = load_scenario("facts").part("choose", 0, config.split.shares)
    (said,) = read(open_model(config.models[0], lambda line: None), part)
    unedited = point(find.build("measures", "accuracy"), said)["value"]
    assert record.sweep[0].goal.value == pytest.approx(unedited)
    assert len(record.sweep) == 4
    assert all(math.isnan(each.gap.value) and 0 <= each.goal.value <= 1 for each in record.sweep)
    assert all(0 <= each.random_goal.value <= 1 for each in record.sweep)
    assert (
        next(i for i, each in enumerate(record.sweep) if each.chosen)
        == choose(record.sweep, config.budget, config.goal)[0]
    )
    assert "the smallest one whose accuracy is within 0.005 of the highest one" in record.rule
    tell(tmp_path / "run", [record], [], None, False)
    assert "The goal on what was kept for the report" in capsys.readouterr().out
    assert any(word in summary(tmp_path / "run", record) for word in ("no gain shown", "better on its goal", "worse"))
    page = render(tmp_path / "run").read_text(encoding="utf-8")
    assert "How does the model answer facts" in page
    assert "Accuracy, before → after" in page
    assert "rest on few questions" in page
    assert "when only a name changes" not in page
    assert "accuracy before" in page
    assert "On questions that were neither fitted on nor reported on" in page
    for word in ("Names stand in for groups", "better for the person", "names it was not fitted on", "gap before"):
        assert word not in page


def test_a_goal_is_told_as_a_forced_choice_where_the_model_gives_none_of_the_answers(
    asked: Asked, tmp_path: Path
) -> None:
    (record,) = run_study(asked(**QUESTIONS | {"measures": ["accuracy", "option_mass"]}), tmp_path / "run")
    run = RunRecord.model_validate_json((tmp_path / "run" / "run.json").read_bytes())

    def said(mass: float) -> str:
        rows = (
            row.model_copy(update={"estimate": Estimate(value=mass)}) if row.measure == "option_mass" else row
            for row in record.rows
        )
        return say(Facts(run.scenario, record.model_copy(update={"rows": tuple(rows)}))).first

    told = f"In “facts” the unedited model does not do the task: {percent(0.0004)} of its probability is on the offered"
    assert told in said(0.0004)
    assert "does not do the task" not in said(0.5)


def test_an_edit_that_broke_the_model_says_why_before_what_became_of_the_goal(asked: Asked, tmp_path: Path) -> None:
    method = {"name": "crispr", "settings": {"search": "none", "units": 4}, "sizes": "paper"}
    (record,) = run_study(asked(**QUESTIONS | {"methods": [method]}), tmp_path / "run")
    run = RunRecord.model_validate_json((tmp_path / "run" / "run.json").read_bytes())
    raised = tuple(
        row.model_copy(update={"estimate": Estimate(value=1e6)})
        if (row.measure, row.subject, row.against) == ("perplexity", "edit", "")
        else row
        for row in record.rows
    )
    said = say(Facts(run.scenario, record.model_copy(update={"rows": raised})))
    assert said.judgement.kind == "broken"
    assert said.first.startswith("The edit broke the model: text “texts” became ")
    assert "as hard to predict (perplexity " in said.first
    assert ". Accuracy went from " in said.first


def test_the_verdict_asks_for_more_than_chance_and_more_than_random_units() -> None:
    def of(low: float, high: float) -> Estimate:
        return Estimate(value=(low + high) / 2, low=low, high=high, p=0.01)

    level, up, down, none = of(0.4, 0.6), of(0.1, 0.3), of(-0.3, -0.1), of(-0.1, 0.1)
    good = Aimed("q", level, level, up, none, up, 1.0)
    assert good.status == "better"
    assert dataclasses.replace(good, beyond=Estimate(value=math.nan)).status == "better"
    assert dataclasses.replace(good, beyond=none).status == "same"
    assert dataclasses.replace(good, change=none).status == "same"
    assert dataclasses.replace(good, change=down).status == "worse"
    assert dataclasses.replace(good, change=down, beyond=down, sign=-1.0).status == "better"
    unknown = dataclasses.replace(good, base=Estimate(value=math.nan))
    assert unknown.status == "undefined"
    assert reached([good, unknown]) == "better"
    assert reached([good, dataclasses.replace(good, change=down)]) == "worse"
    assert reached([unknown]) == reached([]) == "undefined"
