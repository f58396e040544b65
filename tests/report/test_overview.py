"""What is said of all edits of a model together."""

from __future__ import annotations

import dataclasses
import math

from evenhand.core.record import CellRef
from evenhand.judge.facts import Facts
from evenhand.judge.verdict import Kind
from evenhand.report import overview
from evenhand.report.cells import Called, Cell, cell
from evenhand.report.figures import Judged
from evenhand.report.naming import Method
from evenhand.report.sentences import Verdict, say
from report import made_run as made

ABLE = ("purchase", "service", "finance", "hiring")


def cells(method: str, left: dict[str, float], world: made.World | None = None) -> list[Cell]:
    """Edits of a method, one for each use case, that leave this gap there."""
    found: list[Cell] = []
    for name, after in left.items():
        record = made.cell(world or made.World(after={name: after}), method=method, fitted_on=(name,))
        facts = Facts(made.scenario(), record)
        verdict = say(facts)
        ref = CellRef(hash=record.spec.hash, model="m", method=method, fitted_on=(name,))
        called = Called(f"c{name}", "m", Method(method), name, name)
        found.append(cell(lambda name, figure: name, called, Judged(ref, facts, verdict.judgement), verdict))
    return found


def test_the_best_method_is_the_one_that_removed_most_not_the_one_with_most_edits() -> None:
    thorough = cells("contrast", {"purchase": 0.0, "finance": 0.0})
    shallow = cells("set_difference", {"purchase": 0.5, "service": 0.1, "finance": 0.3, "hiring": 0.2})
    assert [c.verdict.judgement.kind for c in (*thorough, *shallow)] == ["fell"] * 6
    best = overview.best([*shallow, *thorough])
    assert (best.method, best.tone) == ("contrast", "good")
    assert "in all 2 places where there was one to lower, there by 100\u00a0% of its size on average" in best.text
    assert best.example is thorough[0]


def test_a_method_that_fails_elsewhere_is_not_judged_by_its_one_success() -> None:
    once = cells("contrast", {"purchase": 0.0} | {name: made.BASE[name] for name in ABLE[1:]})
    often = cells("set_difference", {name: 0.4 * made.BASE[name] for name in ABLE})
    assert overview.best([*once, *often]).method == "set_difference"
    assert "in 1 of the 4 places" in overview.best(once).text


def test_random_edits_are_never_the_best() -> None:
    lucky = cells("random", {"purchase": 0.0})
    assert overview.best(lucky).text == "Only the random control was run."
    assert overview.best([*lucky, *cells("contrast", {"purchase": 0.84})]).method == ""


def test_how_often_luck_passes_is_told() -> None:
    assert "in 1 of 2 places" in overview.luck(cells("random", {"purchase": 0.0, "finance": 0.55}))
    assert overview.luck(cells("random", {"finance": 0.55})) == ""
    assert overview.luck(cells("contrast", {"purchase": 0.0})) == ""


def test_a_model_of_which_nothing_is_known() -> None:
    unclear = made.World(base={**made.BASE, "purchase": math.nan}, valid={"finance": (0.1, 0.1)})
    best = overview.best(cells("contrast", {"purchase": 0.0, "finance": 0.0}, unclear))
    assert best.tone == "none"
    assert "too little of its answers is known in “purchase”; it does not do the task in “finance”" in best.text


def test_an_edit_that_is_not_beyond_its_controls_is_never_the_best() -> None:
    found = cells("contrast", {"purchase": 0.0})
    assert overview.best(found).method == "contrast"
    weak = [dataclasses.replace(c, called=dataclasses.replace(c.called, unproven=True)) for c in found]
    best = overview.best(weak)
    assert (best.method, best.tone) == ("", "mixed")
    assert "beyond all their controls they do not" in best.text


def test_a_goal_reached_in_few_of_its_edits_makes_no_best_method() -> None:
    found = cells("contrast", {"purchase": 0.0, "finance": 0.0, "service": 0.0})
    kinds = ("better", "same", "same")
    once = [dataclasses.replace(c, verdict=_verdict(c, kind)) for c, kind in zip(found, kinds, strict=True)]
    assert overview.best(once).method == ""
    assert "in most of its edits" in overview.best(once).text
    often = [dataclasses.replace(c, verdict=_verdict(c, kind)) for c, kind in zip(found, ("better",) * 3, strict=True)]
    assert "in 3 of its 3 edits" in overview.best(often).text


def _verdict(of: Cell, kind: Kind) -> Verdict:
    return dataclasses.replace(of.verdict, judgement=dataclasses.replace(of.verdict.judgement, kind=kind))
