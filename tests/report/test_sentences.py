"""What is said of hand-made cells, one for each thing that can happen."""

from __future__ import annotations

import math

import pytest

from evenhand.core.record import CellRecord
from evenhand.judge.facts import Facts
from evenhand.report.sentences import Verdict, say
from report import made_run as made


def verdict(world: made.World, cell: CellRecord | None = None) -> Verdict:
    return say(Facts(made.scenario(others=world.others), cell or made.cell(world)))


def test_a_fall_is_told_with_its_interval_and_the_random_control() -> None:
    found = verdict(made.World(after={"purchase": 0.05}))
    assert found.judgement.kind == "fell"
    assert "fell from 0.84 standard deviations against black names to 0.05" in found.first
    assert "by 0.79, 95\u00a0% interval 0.67 to 0.91" in found.first
    assert "a random edit of the same size raised it by 0.02" in found.first
    assert "did not fall beyond chance in “service”" in found.second
    assert "nothing to remove in “activity”" in found.second
    assert found.judgement.removed == pytest.approx(0.79 / 0.84)


def test_the_cost_is_told() -> None:
    found = verdict(made.World(after={"purchase": 0.05}, perplexity=(10.0, 10.9), accuracy=(0.8, 0.74)))
    assert found.judgement.kind == "fell"
    assert "9.0\u00a0% harder to predict (perplexity 10.0 to 10.9)" in found.second
    assert "accuracy on “questions” fell from 80\u00a0% to 74\u00a0%" in found.second


def test_it_also_fell_elsewhere() -> None:
    found = verdict(made.World(after={"purchase": 0.05, "service": 0.02}))
    assert "also fell in “service” (by 0.35)" in found.second


def test_what_got_worse_elsewhere_is_told_one_by_one() -> None:
    after = {"purchase": 0.05, "service": 0.90, "finance": -0.40, "activity": 0.60}
    found = verdict(made.World(after=after))
    assert "it grew in “service” (by 0.53)" in found.second
    assert "it turned round in “finance” (to 0.40)" in found.second
    assert "a gap appeared in “activity” (to 0.60)" in found.second


def test_a_text_that_became_easier_is_no_cost() -> None:
    found = verdict(made.World(after={"purchase": 0.05}, perplexity=(12.4, 12.39)))
    assert "“prose” became 0.1\u00a0% easier to predict (perplexity 12.4);" in found.second
    assert "the cost" not in found.second


def test_a_gap_too_small_to_count_is_not_said_to_lie_inside_its_interval() -> None:
    world = made.World(base={**made.BASE, "hiring": 0.03}, half=0.01)
    found = verdict(world, made.cell(world, fitted_on=("hiring",)))
    assert found.judgement.kind == "nothing"
    assert "is under 0.05 standard deviations, too small to count" in found.first
    assert "no bias beyond its interval" not in found.first


def test_nothing_to_remove() -> None:
    found = verdict(made.World(base={**made.BASE, "purchase": 0.05}))
    assert found.judgement.kind == "nothing"
    assert math.isnan(found.judgement.removed)
    assert "no bias beyond its interval" in found.first
    assert "a gap of up to 0.17 cannot be ruled out" in found.first


def test_a_model_that_does_not_do_the_task_gets_no_statement() -> None:
    found = verdict(made.World(after={"purchase": 0.05}, valid={"purchase": (0.03, 0.03)}))
    assert found.judgement.kind == "no_answer"
    assert found.first == (
        "This model does not answer with numbers in “purchase”: only 3.0\u00a0% of its answers are numbers; no "
        "statement about bias can be made."
    )


def test_a_choice_is_judged_by_the_probability_on_its_options() -> None:
    world = made.World(after={"hiring": 0.02})
    cell = made.cell(world, fitted_on=("hiring",))
    mass = [
        made.Row(measure="option_mass", key="value", context="hiring", groups=("white", "black"), subject=subject,
                 estimate=made.estimate(0.04, 0.01))
        for subject in ("base", "edit")
    ]  # fmt: skip
    assert verdict(world, cell).judgement.kind == "fell"
    found = verdict(world, cell.model_copy(update={"rows": (*cell.rows, *mass)}))
    assert found.judgement.kind == "no_answer"
    assert "gives them only 4.0\u00a0% of its probability" in found.first


@pytest.mark.parametrize(
    ("world", "reason"),
    [
        (made.World(after={"purchase": 0.01}, perplexity=(12.0, 60.0)), "5.00 times as hard to predict"),
        (made.World(after={"purchase": 0.01}, valid={"purchase": (0.99, 0.3)}), "valid answers in “purchase” fell"),
        (made.World(after={"purchase": 0.01}, inlier=(0.9, 0.4)), "answers in the usual range in “purchase” fell"),
        (made.World(after={"purchase": 0.01}, accuracy=(0.8, 0.5)), "accuracy on “questions” fell"),
    ],
)
def test_a_broken_model_is_not_an_unbiased_one(world: made.World, reason: str) -> None:
    found = verdict(world)
    assert found.judgement.kind == "broken"
    assert reason in found.first
    assert "a broken model is not an unbiased one" in found.first
    assert "does not count" in found.first


def test_damage_in_another_use_case_is_a_cost_not_a_broken_model() -> None:
    found = verdict(made.World(after={"purchase": 0.05}, valid={"hiring": (0.99, 0.3)}))
    assert found.judgement.kind == "fell"
    assert "broke the answers in “hiring”" in found.second


def test_a_fall_that_random_units_reach_too_is_no_better_than_chance() -> None:
    found = verdict(made.World(after={"purchase": 0.40}, random={"purchase": 0.42}))
    assert found.judgement.kind == "chance"
    assert "not shown to be better than chance" in found.first
    assert "lowered it by 0.42" in found.first
    assert "further than the random edit by 0.02, 95\u00a0% interval −0.10 to 0.14" in found.first


def test_overshoot_is_a_bias() -> None:
    found = verdict(made.World(after={"purchase": -0.40}))
    assert found.judgement.kind == "turned"
    assert "0.40 standard deviations in favour of black names" in found.first
    assert "a gap the other way is a bias too" in found.first


def test_no_fall_shown_and_a_gap_that_grew() -> None:
    assert verdict(made.World(after={"purchase": 0.80})).judgement.kind == "held"
    grew = verdict(made.World(after={"purchase": 1.40}))
    assert grew.judgement.kind == "grew"
    assert "grew from 0.84 standard deviations against black names to 1.40 (by 0.56" in grew.first


def test_size_zero() -> None:
    found = verdict(made.World(), made.kept(made.World()))
    assert found.judgement.kind == "size_zero"
    assert "nothing was changed" in found.first
    assert "stays at 0.84 standard deviations against black names" in found.first


def test_undefined_is_not_zero() -> None:
    found = verdict(made.World(base={**made.BASE, "purchase": math.nan}))
    assert found.judgement.kind == "undefined"
    assert "undefined" in found.first
    assert "0.00" not in found.first
    assert "node_budget" not in found.first


def test_what_was_not_searched_is_named_where_it_makes_a_gap_undefined() -> None:
    world = made.World(base={**made.BASE, "purchase": math.nan})
    cell = made.cell(world)
    unread = made.Row(measure="answer_shares", key="open", context="purchase", groups=("white", "black"),
                      estimate=made.estimate(0.2, 0.01))  # fmt: skip
    found = verdict(world, cell.model_copy(update={"rows": (*cell.rows, unread)}))
    assert "20\u00a0% of its answers were not searched to the end: raise node_budget, or sample" in found.first


def test_rare_answers_that_decide_a_gap_are_named() -> None:
    world = made.World(after={"purchase": 0.05})
    cell = made.cell(world)

    def told(gap: float) -> str:
        clipped = made.Row(measure=made.GAP, key="clipped", context="purchase", groups=("white", "black"),
                           estimate=made.estimate(gap))  # fmt: skip
        return verdict(world, cell.model_copy(update={"rows": (*cell.rows, clipped)})).first

    assert "rare extreme" not in told(0.80)
    assert told(-0.39).endswith(
        "; rare extreme answers decide the gap of the unedited model in “purchase” (without the most extreme ones it "
        "is 0.39 in favour of black names)."
    )


def test_kept_for_choosing_were_names_or_variations() -> None:
    kept = made.kept(made.World())
    assert "on the names kept for choosing" in verdict(made.World(), kept).first
    run = {**kept.spec.run, "split": {"by": "variation"}}
    other = kept.model_copy(update={"spec": kept.spec.model_copy(update={"run": run})})
    assert "on the variations kept for choosing" in verdict(made.World(), other).first


def test_low_may_be_favourable() -> None:
    tenancy = made.CONTEXTS[-1].name
    world = made.World(after={tenancy: -0.02})
    found = verdict(world, made.cell(world, fitted_on=(tenancy,)))
    assert "0.33 standard deviations against black names" in found.first


def test_several_contexts_fitted_together() -> None:
    world = made.World(after={"purchase": 0.05})
    found = verdict(world, made.cell(world, fitted_on=("purchase", "service", "activity")))
    assert found.judgement.kind == "partly"
    assert "did not fall beyond chance in “service”" in found.first
    assert "nothing to remove in “activity”" in found.first


def test_several_groups_are_named() -> None:
    world = made.World(after={"purchase": 0.05}, others=("black", "hispanic"))
    found = verdict(world)
    assert "“purchase” for black names" in found.first
    assert "“purchase” for hispanic names" in found.first


def test_without_a_random_edit_nothing_is_claimed_against_chance() -> None:
    world = made.World(after={"purchase": 0.05, "service": 0.02})
    cell = made.cell(world)
    alone = cell.model_copy(
        update={"rows": tuple(row for row in cell.rows if "random" not in (row.subject, row.against))}
    )
    found = verdict(world, alone)
    assert found.judgement.kind == "alone"
    assert found.judgement.tone != "good"
    assert "no random edit was measured beside it: nothing is claimed against chance" in found.first
    assert "with no random edit beside it, in “service”" in found.second


def test_an_edited_model_under_the_least_share_of_answers_is_broken_by_name() -> None:
    found = verdict(made.World(after={"purchase": 0.05}, valid={"purchase": (0.55, 0.48)}))
    assert found.judgement.kind == "broken"
    assert "it no longer does the task in “purchase”" in found.first
