"""What a run offers at its end: the right edit of the right model, or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from evenhand.cli.outcome import _best, _judged, _model, _table
from evenhand.core.record import CellRecord, RunRecord
from evenhand.study.store import read_run
from report import made_run as made

HELPED = made.World(after={"purchase": 0.05})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return made.build(tmp_path / "run", models=("one", "two"), fitted=("purchase",))


def best(run: Path, *cells: CellRecord) -> CellRecord | None:
    return _best(_judged(run, cells))


def test_the_edit_that_removed_most_is_offered_and_never_the_control(run: Path) -> None:
    less, more = made.cell(made.World(after={"purchase": 0.2})), made.cell(HELPED, seed=1)
    control = made.cell(made.World(after={"purchase": 0.0}), method="random")
    assert best(run, less, more, control) == more
    assert best(run, control) is None


@pytest.mark.parametrize("place", ["purchase", "hiring"])
def test_an_edit_that_breaks_a_use_case_is_not_offered(run: Path, place: str) -> None:
    broken = made.cell(made.World(after={"purchase": 0.05}, valid={place: (0.99, 0.2)}))
    assert best(run, made.cell(HELPED)) is not None
    assert best(run, broken) is None


def test_an_edit_that_no_checkpoint_can_hold_is_not_offered(run: Path) -> None:
    helped = made.cell(HELPED)
    assert best(run, helped) == helped
    assert best(run, helped.model_copy(update={"run_time_only": True})) is None


def test_a_table_of_gaps_that_are_all_undefined_is_left_out_where_there_is_a_goal(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(gap: float, **asked: object) -> str:
        cell = made.cell(made.World(base=dict.fromkeys(made.BASE, gap)))
        spec = cell.spec.model_copy(update={"run": cell.spec.run | asked})
        _table(_judged(run, [cell.model_copy(update={"spec": spec})]))
        return capsys.readouterr().out

    goal = {"measure": "answer_shares", "key": "valid", "better": "high"}
    alone = told(float("nan"), goal=goal)
    assert "Mean absolute gap" not in alone
    assert "The goal on what was kept" in alone
    both = told(0.5, goal=goal)
    assert "Mean absolute gap" in both
    assert "The goal on what was kept" in both
    assert "Mean absolute gap" in told(float("nan"))


def test_a_cell_leads_to_its_own_model(run: Path) -> None:
    record, cells = read_run(run)
    models = list({str(cell.spec.model): cell.spec.model for cell in cells}.values())
    configs = [{"source": f"$HOME/{model['source']}", "chat": False} for model in models]
    asked = RunRecord(**(dict(record) | {"models": models, "config": {"models": configs}}))
    (run / "run.json").write_text(asked.model_dump_json(), encoding="utf-8")
    found = {str(cell.spec.model["source"]): _model(run, cell).source for cell in cells}
    assert found == {source: f"$HOME/{source}" for source in found}
    assert len(found) == 2
