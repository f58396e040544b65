from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import plotly.graph_objects as go
import pytest

from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.record import CellRef, Protocol_, RunRecord
from evenhand.judge.facts import Facts
from evenhand.judge.verdict import judge
from evenhand.report import render
from evenhand.report.figures import Judged, fitted, transfer
from evenhand.report.load import load
from evenhand.report.page import Page, build
from evenhand.report.render import html
from report import made_run as made

FEW = ("purchase", "hiring")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.build(tmp_path_factory.mktemp("made") / "run")


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return build(load(run))


@pytest.fixture(scope="module")
def text(page: Page) -> str:
    return html(page)


def own_part(text: str) -> str:
    """The page without the plotting library's script."""
    start = text.index('<script type="application/json" id="figures">')
    return text[:start]


def test_the_page_is_written_into_the_run_folder_or_where_asked(tmp_path: Path) -> None:
    run = made.build(tmp_path / "run", models=("one",), fitted=FEW)
    assert render(run) == run / "report.html"
    asked = tmp_path / "deep" / "page.html"
    assert render(run, asked) == asked
    assert asked.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_everything_is_inside_the_page(text: str) -> None:
    page = own_part(text)
    assert not re.search(r'(src|href)="(?!#|data:,)', page)
    assert not re.search(r"url\(|@import", page)
    assert "default-src 'none'" in page
    assert text.count("plotly.js v") == 1


def test_the_summary_names_the_best_method_and_the_model_that_does_not_answer(text: str) -> None:
    assert re.search(r"Best method: <strong>contrast</strong>", text)
    assert "This model does not do the task in any use case it was fitted on" in text


def test_a_measure_of_your_own_is_on_the_page(tmp_path: Path) -> None:
    run = made.build(tmp_path / "run", models=("one",), fitted=FEW)
    file = sorted((run / "cells").iterdir())[0]
    record = json.loads(file.read_text(encoding="utf-8"))
    own = {**record["rows"][0], "measure": "share_over.py", "key": "value", "variation": "", "subject": "base",
           "against": "", "groups": ["white", "black"]}  # fmt: skip
    own["estimate"] = {**own["estimate"], "value": 0.4321, "low": 0.4, "high": 0.5}
    file.write_text(json.dumps(record | {"rows": [*record["rows"], own]}), encoding="utf-8")
    page = html(build(load(run)))
    assert re.search(
        r'<th scope="row">share_over.py</th><td>\w+</td><td>white – black</td><td>0.432 \(0.400 to 0.500\)', page
    )


def test_text_from_records_is_escaped(text: str) -> None:
    assert "&lt;/script&gt;" in own_part(text)
    assert text.count("</script>") == 3


def test_every_figure_is_valid_plotly_with_words_for_those_who_do_not_see_it(page: Page) -> None:
    assert len(page.figures) > 100
    one_of_each = {re.sub(r"\d+", "", name): figure for name, figure in page.figures.items()}
    for name, figure in one_of_each.items():
        plain = re.sub(r'"@[a-z]+\d*(/[\d.]+)?"', '"#123456"', json.dumps(figure, allow_nan=False))
        spec = json.loads(plain)
        drawn = go.Figure({"data": spec["data"], "layout": spec["layout"]})
        assert len(drawn.data) > 0, name  # pyright: ignore
        assert len(figure["alt"]) > 30, name


def test_the_map_marks_what_could_be_chance_and_where_no_statement_is_made(page: Page) -> None:
    first = page.figures["t0-change-edit"]["data"][0]
    assert first["text"][0][0] == "<b>−0.79</b>"
    assert first["text"][0][3].startswith("(")
    assert "q 0.010" in first["customdata"][0][0]
    assert "beyond the random edit −0.81" in first["customdata"][0][0]


def test_no_maps_are_drawn_of_a_model_that_does_not_answer(page: Page, text: str) -> None:
    assert {maps["model"] for maps in page.transfer} == {"small-model"}
    assert [model["baseline"] for model in page.models] == ["m0-baseline", ""]
    assert "no statement can be made about this model in any use case" in text


def test_a_use_case_without_answers_is_a_word_in_the_map(tmp_path: Path) -> None:
    run = made.build(tmp_path / "run", models=("one",), fitted=FEW)
    record = RunRecord.model_validate_json((run / "run.json").read_text())
    world = made.World(valid={"hiring": (0.03, 0.03)})
    (run / "cells" / f"{record.cells[0].hash}.json").write_text(made.cell(world, "one").model_dump_json())
    drawn = build(load(run)).figures["t0-change-edit"]
    assert drawn["data"][0]["z"][0][4] is None
    assert {"x": 4, "y": 0, "text": "no answer"}.items() <= drawn["layout"]["annotations"][0].items()


def test_a_long_note_is_folded_and_whole(tmp_path: Path) -> None:
    run = made.build(tmp_path / "run", models=("one",), fitted=FEW)
    record = RunRecord.model_validate_json((run / "run.json").read_text())
    long = "; ".join(
        f"decoder.1 neuron {i} (its largest activation is 4096 times that of the median)" for i in range(40)
    )
    cell = made.cell(made.World(), "one").model_copy(update={"notes": ("A short one.", long)})
    (run / "cells" / f"{record.cells[0].hash}.json").write_text(cell.model_dump_json())
    page = own_part(html(build(load(run))))
    assert '<p class="fine">A short one.</p>' in page
    assert f'<details class="fine"><summary>{long[:160]}…</summary>{long}</details>' in page


def test_limits_follow_from_the_run(page: Page) -> None:
    said = " ".join(page.limits)
    assert "8 white and 8 black" in said
    assert "No edit is shown to lower the gap beyond chance in “finance”" in said
    assert "“tenancy application with guarantor”" in said


def test_a_partial_run_renders_with_a_note(tmp_path: Path) -> None:
    text = render(made.build(tmp_path / "run", fitted=FEW, skip=3)).read_text(encoding="utf-8")
    assert "This run is not finished" in text
    assert "3 of 12 edits" in text
    assert "storyteller-33M, random, fitted on purchase" in text


def test_a_run_without_any_finished_cell_renders(tmp_path: Path) -> None:
    text = render(made.build(tmp_path / "run", fitted=FEW, skip=12)).read_text(encoding="utf-8")
    assert "No edit of this run is finished yet" in text


def test_other_folders_are_refused_saying_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"is not a run folder: it has no run\.json, no suite\.json and no reading\.json"
    ):
        render(tmp_path)
    with pytest.raises(UsageError, match="there is no folder"):
        render(tmp_path / "nowhere")


@pytest.mark.parametrize("damage", ["", "{", '{"spec": 1}', "[]"])
def test_a_damaged_cell_is_named(tmp_path: Path, damage: str) -> None:
    run = made.build(tmp_path / "run", models=("one",), fitted=FEW)
    cell = sorted((run / "cells").iterdir())[0]
    cell.write_text(damage)
    with pytest.raises(CannotRun, match=cell.name):
        render(run)


def test_a_damaged_run_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("not json")
    with pytest.raises(CannotRun, match=r"run\.json is damaged"):
        render(tmp_path)


def test_a_page_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    run = made.build(tmp_path / "run", models=("one",), fitted=FEW)
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotRun, match="cannot be written"):
        render(run, tmp_path / "file" / "page.html")


def test_models_with_the_same_short_name_keep_their_full_one(tmp_path: Path) -> None:
    run = made.build(tmp_path / "run", models=("a/small", "b/small"), fitted=FEW)
    assert {c.called.model for c in build(load(run)).cells} == {"models/a/small", "models/b/small"}


def test_several_seeds_and_protocols_are_told_apart(tmp_path: Path) -> None:
    run = made.build(tmp_path / "run", models=("one",), fitted=FEW)
    record = RunRecord.model_validate_json((run / "run.json").read_text())
    cells = list(record.cells)
    other = made.cell(made.World(), "one", "contrast", ("purchase",), seed=1)
    (run / "cells" / f"{other.spec.hash}.json").write_text(other.model_dump_json())
    ref = cells[0].model_copy(update={"hash": other.spec.hash, "seed": 1, "protocol": "leave-one-out"})
    (run / "run.json").write_text(record.model_copy(update={"cells": (*cells, ref)}).model_dump_json())
    page = build(load(run))
    assert page.cells[0].called.fitted == "purchase · specific · seed 0"
    assert page.cells[-1].called.fitted == "purchase · leave-one-out · seed 1"
    assert len(page.transfer) == 4


@pytest.mark.parametrize(
    ("protocol", "contexts", "variations", "label"),
    [
        ("specific", ("purchase",), (), "purchase"),
        ("specific", ("purchase",), ("car",), "purchase (car)"),
        ("specific", ("purchase", "hiring"), (), "purchase + hiring"),
        ("leave-one-out", ("purchase",), ("bicycle", "piano"), "purchase without car"),
        ("cross-context", tuple(c.name for c in made.CONTEXTS[1:]), (), "all but purchase"),
    ],
)
def test_what_an_edit_was_fitted_on_in_few_words(
    protocol: Protocol_, contexts: tuple[str, ...], variations: tuple[str, ...], label: str
) -> None:
    ref = CellRef(hash="", model="m", method="x", fitted_on=contexts, variations=variations, protocol=protocol)
    assert fitted(ref, made.scenario()) == label


def test_the_map_frames_what_the_verdict_is_about(tmp_path: Path) -> None:
    others = tuple(c.name for c in made.CONTEXTS[1:])
    whole = made.cell(made.World(), fitted_on=others)
    for protocol, framed in (("specific", [1, 2, 3, 4, 5]), ("cross-context", [0])):
        cell = whole.model_copy(update={"spec": whole.spec.model_copy(update={"protocol": protocol})})
        facts = Facts(made.scenario(), cell)
        ref = CellRef(hash="", model="m", method="x", fitted_on=others, protocol=cell.spec.protocol)
        drawn = transfer([Judged(ref, facts, judge(facts))], "change", "edit")
        assert [round(shape["x0"] + 0.48) for shape in drawn["layout"]["shapes"]] == framed


def test_where_nothing_was_edited_the_map_says_so_instead_of_a_zero(tmp_path: Path) -> None:
    run = made.build(tmp_path / "run", models=("one",), fitted=FEW)
    record = RunRecord.model_validate_json((run / "run.json").read_text())
    kept = made.kept(made.World()).model_copy(update={"spec": made.cell(made.World(), "one").spec})
    (run / "cells" / f"{record.cells[0].hash}.json").write_text(kept.model_dump_json())
    page = build(load(run))
    for subject in ("edit", "random"):
        drawn = page.figures[f"t0-change-{subject}"]
        assert drawn["data"][0]["z"][0] == [None] * len(made.CONTEXTS)
        assert drawn["data"][0]["text"][0] == [""] * len(made.CONTEXTS), "words would be drawn twice"
        assert {note["text"] for note in drawn["layout"]["annotations"] if note["y"] == 0} == {"no edit"}


def test_the_report_imports_neither_torch_nor_transformers(tmp_path: Path) -> None:
    run = made.build(tmp_path / "run", models=("one",), fitted=FEW)
    code = (
        f"import sys; from pathlib import Path; from evenhand.report import render; render(Path({str(run)!r})); "
        "sys.exit(bool({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
