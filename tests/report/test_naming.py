"""Models and methods of a run are told apart by what the study asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evenhand.core.record import CellRecord, CellRef, RunRecord
from evenhand.report import naming
from evenhand.report.load import Run, load
from evenhand.report.page import build
from evenhand.report.render import html
from report import made_run as made

DIFFERS: list[tuple[dict[str, Any], str]] = [
    ({}, "contrast"),
    ({"settings": {"space": "head", "rerank": False}}, "contrast (space = head; rerank = no)"),
    ({"settings": {"mechanism": "activation"}}, "contrast (mechanism = activation)"),
    ({"sizes": "paper"}, "contrast (its own size)"),
    ({"sizes": [2, 4]}, "contrast (sizes 2, 4)"),
    ({"layers": [2, 3]}, "contrast (only layers 2, 3)"),
]


def run_of(entries: list[dict[str, Any]], models: list[dict[str, Any]] | None = None) -> Run:
    """A run with one cell for each of these methods on each of these models, as a study would write it."""
    found: list[tuple[CellRef, CellRecord]] = []
    identities = models or [{"source": "model", "sha256": "ab", "dtype": "float32"}]
    for model in identities:
        for entry in entries:
            whole = made.cell(made.World(after={"purchase": 0.05}), method=entry["name"])
            settings = {"space": "neuron", "rerank": True, "mechanism": "weight"} | entry.get("settings", {})
            spec = whole.spec.model_copy(update={
                "model": {k: v for k, v in model.items() if k != "written"}, "settings": settings,
                "run": {"sizes": entry.get("sizes") or "grid", "layers": entry.get("layers")},
            })  # fmt: skip
            ref = CellRef(hash=spec.hash, model=str(model["source"]), method=spec.method, fitted_on=spec.fitted_on)
            found.append((ref, whole.model_copy(update={"spec": spec})))
    config: dict[str, Any] = {
        "models": [{"source": model.get("written", model["source"])} for model in identities],
        "methods": [{"settings": {}, "sizes": None, "layers": None} | entry for entry in entries],
        "sizes": "grid",
    }
    record = RunRecord(name="r", created="2026-01-01T00:00:00Z", command="", config=config, versions={},
                       models=tuple(found[i * len(entries)][1].spec.model for i in range(len(identities))),
                       scenario=made.scenario(), cells=tuple(ref for ref, _ in found))  # fmt: skip
    return Run(record, tuple(found), ())


@pytest.mark.parametrize(("entry", "label"), DIFFERS)
def test_what_differs_from_the_defaults_is_part_of_a_methods_name(entry: dict[str, Any], label: str) -> None:
    run = run_of([{"name": "contrast"} | each for each, _ in DIFFERS])
    method_of = naming.methods(run.record)
    place = [each for each, _ in DIFFERS].index(entry)
    assert method_of(*run.cells[place]).label == label


def test_one_method_asked_for_twice_has_two_columns_and_two_maps() -> None:
    page = build(run_of([{"name": "set_difference"}, {"name": "set_difference", "sizes": "paper"}]))
    (model,) = page.models
    assert [method.label for method in model["methods"]] == ["set_difference", "set_difference (its own size)"]
    (row,) = model["grid"]
    assert [cell.called.id for cell in row[1]] == ["c0", "c1"]
    assert [maps["method"] for maps in page.transfer] == ["set_difference", "set_difference (its own size)"]
    assert all(len(page.figures[f"t{i}-change-edit"]["data"][0]["z"]) == 1 for i in range(2))


def test_a_method_says_what_it_does_also_one_of_your_own(tmp_path: Path) -> None:
    own = tmp_path / "my_way.py"
    own.write_text('"""Switch off whatever I like."""\n')
    run = run_of([{"name": "contrast"}, {"name": str(own)}, {"name": "gone.py"}])
    found = build(run).methods
    assert found[0].about.startswith("Switch off the few units that carry the gap")
    assert (found[1].label, found[1].about) == ("my_way", "Switch off whatever I like.")
    assert (found[2].label, found[2].about) == ("gone", "")
    assert "Its file is not at hand" in html(build(run))


def names(models: list[dict[str, Any]]) -> list[str]:
    run = run_of([{"name": "contrast"}], models)
    call: Callable[[CellRef, CellRecord | None], str] = naming.models(run.record)
    assert len(set(naming.model_names(run.record))) == len(models)
    return [call(ref, record) for ref, record in run.cells]


def test_a_model_is_called_as_the_study_calls_it() -> None:
    assert names([{"source": "model", "written": "planted"}]) == ["planted"]
    two = [{"source": "m", "sha256": "a", "written": "/one/m"}, {"source": "m", "sha256": "b", "written": "/two/m"}]
    assert names(two) == ["/one/m", "/two/m"]
    rounded = [{"source": "o/m", "dtype": dtype, "chat": False} for dtype in ("float32", "bfloat16")]
    assert names(rounded) == ["o/m (dtype float32)", "o/m (dtype bfloat16)"]


def test_every_setting_of_an_edit_is_told(tmp_path: Path) -> None:
    (cell,) = build(run_of([{"name": "contrast", "settings": {"space": "head"}, "layers": [2, 3]}])).cells
    rows = dict(cell.tables["made"].rows)
    assert (rows["setting space"], rows["setting mechanism"], rows["layers"]) == ("head", "weight", "only 2, 3")
    assert rows["fitted on"] == "purchase"


@pytest.mark.parametrize(("by", "parts"), [
    ("name", {"fit": {"white": ("Jake",)}, "report": {"white": ("Emily", "Seth")}}),
    ("variation", {"fit": {"purchase": ("car",)}, "report": {"purchase": ("piano", "bicycle")}}),
])  # fmt: skip
def test_who_saw_which_names_or_variations_is_told(tmp_path: Path, by: str, parts: dict[str, Any]) -> None:
    run = load(made.build(tmp_path / "run", models=("one",), fitted=("purchase",)))
    scenario = run.record.scenario.model_copy(update={"parts": parts})
    config = run.record.config | {"split": {"by": by}}
    page = build(Run(run.record.model_copy(update={"scenario": scenario, "config": config}), run.cells, ()))
    table = page.provenance["parts"]
    assert table.caption == f"Who saw which {by}s"
    assert table.rows[0] == ("find the units", f"1: {next(iter(parts['fit'].values()))[0]}")
    assert table.rows[1][1].startswith("2: ")
    text = html(page)
    assert f"with {by}s the edit never saw" in text
    assert ("The names were the same throughout" in text) == (by == "variation")
    assert ("The edits were fitted and their size was chosen on other names" in text.replace("\n", " ")) == (
        by == "name"
    )
