"""Of an edit that was not fitted to the scenario, page, card and grid say what it was fitted to, and what it is for."""

from __future__ import annotations

import re
from pathlib import Path

from evenhand.core.record import CellRef
from evenhand.export.card import ModelCard
from evenhand.export.card import text as card_of
from evenhand.judge.facts import Facts
from evenhand.judge.verdict import judge
from evenhand.report.figures import Judged, transfer
from evenhand.report.load import Run, load
from evenhand.report.page import build
from evenhand.report.render import html
from export.test_card import CHECKED, IDENTITY
from report import made_run as made

OWN = "texts of its own"


def _run(folder: Path) -> Run:
    """One method fitted to the scenario, one that was not, and one of its cells missing."""
    run = load(made.build(folder, models=("one",), fitted=("purchase",)))
    (ref, record), (other_ref, other), *_ = run.cells
    spec = other.spec.model_copy(update={"fitted_to": OWN, "method": "awareness_adapter"})
    other = other.model_copy(update={"spec": spec})
    other_ref = other_ref.model_copy(update={"fitted_to": OWN, "method": "awareness_adapter", "hash": spec.hash})
    missing = other_ref.model_copy(update={"hash": "gone", "seed": 1})
    cells = run.record.model_copy(update={"cells": (ref, other_ref, missing)})
    return Run(cells, ((ref, record), (other_ref, other)), (missing,))


def test_the_page_says_what_it_was_fitted_to(tmp_path: Path) -> None:
    page = build(_run(tmp_path / "run"))
    assert [cell.called.fitted for cell in page.cells] == ["purchase · seed 0", f"{OWN}, for purchase · seed 0"]
    ((where, (one, other)),) = page.models[0]["grid"]
    assert (where, one, other) == ("purchase · seed 0", *page.cells)  # side by side all the same
    (gone,) = page.missing
    assert gone.endswith(f"fitted on {OWN}, for purchase")
    rows = dict(page.cells[1].tables["made"].rows)
    assert (rows["fitted on"], rows["use cases it is for"]) == (OWN, "purchase")
    assert "variations fitted on" not in rows
    text = re.sub(r"\s+", " ", html(page).split("plotly.js v")[0])
    assert f"awareness_adapter on one, fitted on {OWN}, for purchase · seed 0</h3>" in text
    assert "use case it was fitted on" not in text


def test_the_map_names_its_row_so() -> None:
    cell = made.cell(made.World())
    ref = CellRef(hash="", model="m", method="x", fitted_on=("purchase",), fitted_to="nothing")
    facts = Facts(made.scenario(), cell)
    drawn = transfer([Judged(ref, facts, judge(facts))], "change", "edit")
    assert "nothing, for<br>purchase" in drawn["layout"]["yaxis"]["ticktext"]


def test_the_card_says_it_too(tmp_path: Path) -> None:
    run = _run(tmp_path / "run")
    (_, fitted), (_, other) = run.cells
    text = card_of(ModelCard(other, run.record), IDENTITY, CHECKED)
    assert f"- Method: `awareness_adapter`, fitted on {OWN}, for purchase, protocol" in text
    assert "| groups | meant for it |" in text
    plain = card_of(ModelCard(fitted, run.record), IDENTITY, CHECKED)
    assert "- Method: `contrast`, fitted on purchase, protocol" in plain
    assert "| groups | fitted on it |" in plain


def test_few_words_for_a_line() -> None:
    spec = made.cell(made.World(), variations=("car",)).spec
    assert spec.fitted == "purchase (car)"
    assert spec.model_copy(update={"fitted_to": "nothing"}).fitted == "nothing, for purchase (car)"
