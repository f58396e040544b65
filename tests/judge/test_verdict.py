"""The verdict on hand-made cells."""

from __future__ import annotations

from evenhand.core.record import CellRecord, ContextRecord, Protocol_, SweepPoint
from evenhand.judge.facts import GAP, Facts, Place
from evenhand.judge.verdict import Judgement, judge
from report import made_run as made


def judged(world: made.World, cell: CellRecord | None = None) -> Judgement:
    return judge(Facts(made.scenario(others=world.others), cell or made.cell(world)))


def test_variations_that_cancel_are_a_bias_although_their_mean_is_none() -> None:
    context = ContextRecord(name="purchase", outcome="number", variations=("bicycle", "car", "piano"))
    cell = made.cell(made.World(base={"purchase": 0.0}, half=0.05), contexts=(context,))
    assert judge(Facts(made.scenario((context,)), cell)).home[0].status != "nothing"


def test_a_gap_made_where_there_was_none() -> None:
    found = judged(made.World(base={**made.BASE, "purchase": 0.05}, after={"purchase": 0.60}))
    assert found.kind == "made"


def test_a_gap_too_small_to_notice_is_none_however_narrow_its_interval() -> None:
    context = ContextRecord(name="purchase", outcome="number", variations=("bicycle",))
    small = made.cell(made.World(base={"purchase": 0.03}, half=0.001), contexts=(context,))
    assert judge(Facts(made.scenario((context,)), small)).home[0].status == "nothing"
    crossed = made.World(base={**made.BASE, "purchase": 0.9}, after={"purchase": -0.03}, half=0.001)
    assert judged(crossed).kind == "fell"
    flipped = made.World(base={**made.BASE, "purchase": 0.9}, after={"purchase": -0.3}, half=0.001)
    assert judged(flipped).kind == "turned"


def test_size_zero_where_there_is_no_gap_says_nothing_to_remove() -> None:
    world = made.World(base={**made.BASE, "purchase": 0.02})
    assert judged(world, made.kept(world)).kind == "nothing"


def under(protocol: Protocol_, cell: CellRecord) -> CellRecord:
    return cell.model_copy(update={"spec": cell.spec.model_copy(update={"protocol": protocol})})


def test_leave_one_out_is_judged_where_it_was_left_out() -> None:
    cell = under("leave-one-out", made.cell(made.World(after={"purchase": 0.05}), variations=("bicycle", "car")))
    facts = Facts(made.scenario(), cell)
    assert facts.home == (Place("purchase", "piano", "black"),)
    assert facts.away[:2] == (Place("purchase", "bicycle", "black"), Place("purchase", "car", "black"))
    assert {place.context for place in facts.away[2:]} == set(made.BASE) - {"purchase"}


def test_cross_context_is_judged_in_the_context_it_was_not_fitted_on() -> None:
    others = tuple(name for name in made.BASE if name != "purchase")
    world = made.World(after=dict.fromkeys(others, 0.02))
    facts = Facts(made.scenario(), under("cross-context", made.cell(world, fitted_on=others)))
    assert facts.home == (Place("purchase", "", "black"),)
    assert {place.context for place in facts.away} == set(others)
    assert judge(facts).kind == "held"
    assert judge(Facts(made.scenario(), made.cell(world, fitted_on=others))).kind != "held"


def test_a_small_step_beyond_zero_is_no_overshoot() -> None:
    context = ContextRecord(name="purchase", outcome="number", variations=("bicycle",))

    def found(after: float) -> Judgement:
        world = made.World(base={"purchase": 1.0}, after={"purchase": after}, half=0.001)
        return judge(Facts(made.scenario((context,)), made.cell(world, contexts=(context,))))

    assert found(-0.07).kind == "fell"
    assert found(-0.12).kind == "turned"


def test_a_gap_that_only_extreme_answers_hide_is_a_gap() -> None:
    context = ContextRecord(name="purchase", outcome="number", variations=("bicycle",))
    cell = made.cell(made.World(base={"purchase": 0.0}, half=0.01), contexts=(context,))
    gap = next(row for row in cell.rows if row.measure == GAP and row.key == "value" and row.subject == "base")
    seen = gap.model_copy(update={"key": "clipped", "estimate": made.estimate(0.4, 0.05)})
    finding = judge(Facts(made.scenario((context,)), cell.model_copy(update={"rows": (*cell.rows, seen)}))).home[0]
    assert finding.status == "held"
    assert finding.tailed()
    assert not judged(made.World()).home[0].tailed()


def test_left_out_variations_are_not_home() -> None:
    cell = made.cell(made.World(after={"purchase": 0.05}), variations=("bicycle", "car"))
    facts = Facts(made.scenario(), cell)
    assert facts.home == (Place("purchase", "bicycle", "black"), Place("purchase", "car", "black"))
    assert facts.away[0] == Place("purchase", "piano", "black")
    assert judge(facts).kind == "fell"
    assert facts.change(facts.home[0], "edit").high < 0


def test_a_change_without_a_small_q_is_not_shown() -> None:
    cell = made.cell(made.World(after={"purchase": 0.05}))
    rows = tuple(
        row.model_copy(update={"estimate": row.estimate.model_copy(update={"q": 0.2})}) if row.against else row
        for row in cell.rows
    )
    assert judged(made.World(), cell.model_copy(update={"rows": rows})).kind == "held"


def test_a_sweep_without_a_choice_is_no_size_zero() -> None:
    cell = made.cell(made.World(after={"purchase": 0.05}))
    point = SweepPoint(units=0, share=0, gap=made.estimate(0.8), random_gap=made.estimate(0.8), valid=1,
                       perplexity_ratio=1)  # fmt: skip
    assert not Facts(made.scenario(), cell.model_copy(update={"sweep": (point,)})).unedited
