"""Edits beside their controls, over seeds: the numbers are those of the cells, and nothing is computed twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evenhand.core.asked import Asked as Asked_
from evenhand.core.compared import Beyond, Compared, Comparisons
from evenhand.core.errors import UsageError
from evenhand.core.estimate import Estimate
from evenhand.core.record import CellRecord, RunRecord
from evenhand.study.beyond import Trial, beyond_all, corrected, where
from evenhand.study.config import StudyConfig
from evenhand.study.engine import Listener, run_study

Asked = Callable[..., StudyConfig]
CONTROLLED: dict[str, Any] = {
    "methods": [{"name": "random", "vary": {"units": [8, 16]}, "sizes": "paper",
                 "controls": [{"label": "fewer units", "settings": {"units": 4}},
                              {"label": "heads", "settings": {"space": "head", "units": 1}}]}],
    "seeds": [0, 1], "measures": ["mean", "standardised_mean_difference"], "utility_measures": ["perplexity"],
    "units_explained": 0, "units_shown": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("beyond") / "run"


@pytest.fixture(scope="module")
def run(asked: Asked, folder: Path) -> list[CellRecord]:
    """The cells of the study, run once."""
    return run_study(asked(**CONTROLLED), folder)


def _found(folder: Path) -> tuple[Compared, ...]:
    return Comparisons.model_validate_json((folder / "beyond.json").read_text()).compared


def _change(records: list[CellRecord], hash_: str, number: Beyond) -> float:
    """What a cell's own table says that its edit changed."""
    (cell,) = [each for each in records if each.spec.hash == hash_]
    (row,) = [r for r in cell.rows if (r.measure, r.key, r.context, r.groups, r.variation, r.subject, r.against)
              == (number.measure, number.key, number.context, number.groups, "", "edit", "base")]  # fmt: skip
    return row.estimate.value


def test_changes_are_those_of_the_cells_in_every_place(run: list[CellRecord], folder: Path) -> None:
    found = _found(folder)
    assert [each.varied for each in found] == [{"units": 8}, {"units": 16}]
    assert {n.context for n in found[0].numbers} == {"bus", "lamp", "texts"}
    for each in found:
        assert (each.seeds, each.idle) == ((0, 1), {})
        for number in each.numbers:
            own = [_change(run, hash_, number) for hash_ in each.cells]
            assert number.runs == pytest.approx(own, nan_ok=True)
            assert number.change.value == pytest.approx(sum(own) / 2, nan_ok=True)
            for label, cells in each.controls.items():
                theirs = sum(_change(run, hash_, number) for hash_ in cells) / 2
                assert number.controls[label].value == pytest.approx(theirs, nan_ok=True)
                assert number.more[label].value == pytest.approx(sum(own) / 2 - theirs, nan_ok=True, abs=1e-9)


def test_only_what_is_there_for_others_is_called_a_control(run: list[CellRecord], folder: Path) -> None:
    refs = RunRecord.model_validate_json((folder / "run.json").read_text()).cells
    controls = {hash_ for each in _found(folder) for cells in each.controls.values() for hash_ in cells}
    assert {ref.hash for ref in refs if ref.control} == controls
    assert len(refs) == len(run) == 2 * (2 + 1 + 1)


def test_run_again_nothing_is_computed_and_lost_answers_are_read_anew(
    run: list[CellRecord], folder: Path, asked: Asked
) -> None:
    before = _found(folder)
    shutil.rmtree(folder / "cache")
    fresh: list[bool] = []
    run_study(asked(**CONTROLLED), folder, Listener(ended=lambda cell, place, total, new: fresh.append(new)))
    assert not any(fresh)
    for one, other in zip(before, _found(folder), strict=True):
        assert one.cells == other.cells
        for a, b in zip(one.numbers, other.numbers, strict=True):
            assert (a.measure, a.key, a.context, a.groups) == (b.measure, b.key, b.context, b.groups)
            assert a.change.value == pytest.approx(b.change.value, nan_ok=True, abs=1e-6)


def _number(change: float, p: float, *more: tuple[float, float]) -> tuple[Estimate, dict[str, Estimate]]:
    return Estimate(value=change, p=p), {str(i): Estimate(value=v, p=q) for i, (v, q) in enumerate(more)}


def test_an_edit_is_more_than_its_controls_only_if_it_is_more_than_each() -> None:
    nan = float("nan")
    assert beyond_all(*_number(-1.0, 0.001, (-0.5, 0.01), (-0.4, 0.02))) == 0.02
    assert beyond_all(*_number(-1.0, 0.03, (-0.5, 0.01))) == 0.03
    assert beyond_all(*_number(-1.0, 0.001, (-0.5, 0.01), (0.1, 0.001))) == 1.0  # that control lowered it more
    assert beyond_all(*_number(-1.0, 0.001, (0.0, 1.0))) == 1.0
    assert str(beyond_all(*_number(-1.0, 0.001, (-0.5, nan)))) == "nan"
    assert str(beyond_all(*_number(nan, nan, (-0.5, 0.01)))) == "nan"


def test_places_of_one_number_are_corrected_together(run: list[CellRecord], folder: Path) -> None:
    first = _found(folder)[0]
    ps = (0.01, 0.02, 0.9, float("nan"))
    numbers = tuple(
        first.numbers[0].model_copy(update={"measure": "mean", "context": str(i), "p": p}) for i, p in enumerate(ps)
    )
    numbers = tuple(number.model_copy(update={"where": "other"}) for number in numbers)
    halves = [first.model_copy(update={"numbers": numbers[:2]}), first.model_copy(update={"numbers": numbers[2:]})]
    one, two = corrected(halves)
    assert [n.q for n in one.numbers] == pytest.approx([0.03, 0.03])
    assert [n.q for n in two.numbers] == pytest.approx([0.9, float("nan")], nan_ok=True)
    other = halves[1].model_copy(update={"place": 1})
    assert [n.q for n in corrected([halves[0], other])[0].numbers] == pytest.approx([0.02, 0.02])
    home = halves[1].model_copy(update={"numbers": tuple(n.model_copy(update={"where": "own"}) for n in numbers[2:])})
    assert [n.q for n in corrected([halves[0], home])[0].numbers] == pytest.approx([0.02, 0.02])


@pytest.mark.parametrize(
    ("varied", "settings", "groups", "told"),
    [
        ({"groups": ["b"]}, {"groups": ["b"]}, ("b",), "own"),
        ({"groups": ["b"]}, {"groups": ["b"]}, ("c",), "other"),
        ({"groups": ["b"]}, {"groups": ["b"]}, ("a", "b", "c"), "mixed"),
        ({"groups": ["b"]}, {"groups": ["b"]}, ("a", "b"), "own"),  # the gap between b and the reference
        ({"groups": ["b"]}, {"groups": ["b"]}, ("a", "c"), "other"),
        ({"groups": ["a"]}, {"groups": ["a"]}, ("a", "c"), "mixed"),  # of the reference every gap holds something
        ({}, {"groups": ["b"]}, ("c",), "other"),  # named, though not varied
        ({"units": 4}, {"units": 4}, ("b",), "own"),  # no groups named: the context says it
        ({"word": ["b"]}, {"word": ["b"]}, ("b",), "own"),
        ({"groups": ["a", "b", "c"]}, {"groups": ["a", "b", "c"]}, ("b",), "own"),
    ],
)
def test_what_a_number_is_about(
    varied: dict[str, Any], settings: dict[str, Any], groups: tuple[str, ...], told: str, run: list[CellRecord]
) -> None:
    trial = Trial(Asked_(0, {"name": "x", "settings": settings}, varied), (run[0].spec,), {})
    nothing = Estimate(value=0.0)
    number = Beyond(
        measure="m", key="value", context="lamp", groups=groups, change=nothing, runs=(), controls={}, more={}
    )
    assert where(trial, ("a", "b", "c"), number) == told
    if not {"a", "b", "c"} & {each for value in settings.values() if isinstance(value, list) for each in value}:
        assert where(trial, ("a", "b", "c"), number.model_copy(update={"context": "bus"})) == "other"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"settings": {"units": 4}, "vary": {"units": [4]}}, "under both settings and vary"),
        ({"controls": [{"label": "x", "name": "random"}, {"label": "x", "settings": {"units": 2}}]}, "the same label"),
        ({"controls": [{"label": "x"}]}, "differ from 'contrast'"),
        ({"vary": {"units": []}}, "at least 1 item"),
        ({"vary": {"units": [4, 4]}}, "there twice"),
        ({"controls": [{"label": " ", "name": "random"}]}, "pattern"),
        ({"controls": [{"label": "x", "name": "random"}, {"label": "y", "name": "random"}]}, "differ from 'x'"),
    ],
)
def test_a_mistake_is_told(asked: Asked, wrong: dict[str, Any], told: str) -> None:
    with pytest.raises((ValueError, UsageError), match=told):
        asked(methods=[{"name": "contrast", **wrong}])


def test_what_was_said_before_is_gone_until_the_run_has_ended(
    run: list[CellRecord], folder: Path, asked: Asked, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "run")

    def stop(cell: object, place: int, total: int, fresh: bool) -> None:
        assert not (tmp_path / "run" / "beyond.json").exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(asked(**CONTROLLED), tmp_path / "run", Listener(ended=stop))
    assert not (tmp_path / "run" / "beyond.json").exists()


def test_a_run_without_controls_writes_nothing_of_them(asked: Asked, tmp_path: Path) -> None:
    run_study(asked(), tmp_path)
    assert not (tmp_path / "beyond.json").exists()
    assert not any("said" in path.name for path in (tmp_path / "cache").iterdir())
    assert json.loads((tmp_path / "run.json").read_text())["cells"][0]["control"] is False
