"""Edits beside controls on the page: what is bold, what is framed, and labels that mean something else elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evenhand.core.compared import Compared, Comparisons
from evenhand.report.load import load
from evenhand.report.page import Page
from evenhand.report.page import build as built
from evenhand.report.render import html
from report import made_beyond
from report.made_run import build


def _page(folder: Path, *edits: Compared) -> Page:
    run = build(folder / "run", skip=99)
    path = run / "run.json"
    path.write_text(path.read_text().replace('"sizes":"grid"', '"sizes":"grid","goal":{"measure":"mean","key":"value",'
                                             '"better":"low"}'))  # fmt: skip
    (run / "beyond.json").write_text(Comparisons(compared=edits).model_dump_json())
    return built(load(run))


def _figure(page: Page, name: str) -> dict[str, Any]:
    return page.figures[name]


def test_bold_is_what_was_beyond_every_control_and_framed_what_the_edit_was_fitted_to(tmp_path: Path) -> None:
    page = _page(tmp_path, *made_beyond.edits({"one": {"one": (-0.5, 0.01), "two": (-0.3, 0.2)}}))
    (choice,) = page.against.choices
    assert choice.measured == "mean (nats)"
    assert [side for side, _ in choice.maps] == ["The edits", *made_beyond.CONTROLS]
    figure = _figure(page, choice.maps[0][1])
    assert figure["data"][0]["text"][0] == ["<b>−0.50</b>", "(−0.30)", "(0.00)"]
    frames = [(shape["x0"], shape["y0"]) for shape in figure["layout"]["shapes"]]
    assert len(frames) == 3
    assert all(x == y for x, y in frames)
    assert "in each seed: −0.50, −0.49" in figure["data"][0]["customdata"][0][0]
    assert figure["layout"]["yaxis"]["ticktext"] == list(made_beyond.GROUPS)


def test_a_control_that_is_the_same_for_all_is_one_row(tmp_path: Path) -> None:
    page = _page(tmp_path, *made_beyond.edits())
    figure = _figure(page, page.against.choices[0].maps[1][1])
    assert figure["layout"]["yaxis"]["ticktext"] == ["the same for all"]
    assert not figure["layout"]["shapes"]
    own = [
        made_beyond.edit(g, {}, controls={c: (f"{c}{g}",) for c in made_beyond.CONTROLS}) for g in made_beyond.GROUPS
    ]
    several = _page(tmp_path / "several", *own)
    assert len(_figure(several, several.against.choices[0].maps[1][1])["layout"]["yaxis"]["ticktext"]) == 3


def test_labels_of_any_kind_are_labels(tmp_path: Path) -> None:
    hostile = ("The edits", "edit", "base", "<script>alert(1)</script>")
    first = made_beyond.edit("one", {})
    beside = [dict.fromkeys(hostile, n.change) for n in first.numbers]
    numbers = tuple(
        n.model_copy(update={"controls": each, "more": each}) for n, each in zip(first.numbers, beside, strict=True)
    )
    page = _page(tmp_path, first.model_copy(update={"controls": dict.fromkeys(hostile, ("c",)), "numbers": numbers}))
    assert [side for side, _ in page.against.choices[0].maps] == ["The edits", *hostile]
    assert "<script>alert" not in html(page)


def test_two_entries_and_two_models_have_choices_of_their_own(tmp_path: Path) -> None:
    other = {**made_beyond.MODEL, "source": "models/storyteller-33M", "chat": True}
    page = _page(tmp_path, made_beyond.edit("one", {}), made_beyond.edit("one", {}, place=1, settings={"steps": 9}),
                 made_beyond.edit("one", {}, model=other))  # fmt: skip
    names = [choice.of for choice in page.against.choices]
    assert len(set(names)) == 3
    assert sum("storyteller-33M" in name for name in names) == 1
    assert page.against.sentences[2].startswith("storyteller-33M. ")


def test_rows_tell_where_edits_were_fitted_and_what_a_number_is_of(tmp_path: Path) -> None:
    made = [made_beyond.edit("one", {}, varied={"units": 8}, fitted_on=(where,)) for where in ("purchase", "hiring")]
    page = _page(tmp_path, *made)
    names = _figure(page, page.against.choices[0].maps[0][1])["layout"]["yaxis"]["ticktext"]
    assert [name.replace("<br>", " ") for name in names] == ["units = 8, purchase", "units = 8, hiring"]


def test_a_run_without_controls_has_no_such_part(tmp_path: Path) -> None:
    page = built(load(build(tmp_path / "run")))
    assert not page.against.sentences
    assert 'id="beyond"' not in html(page)


def test_the_page_says_the_sentence_where_it_is_read_first(tmp_path: Path) -> None:
    text = html(_page(tmp_path, *made_beyond.edits()))
    summary = text.split('id="summary"')[1].split("</section>")[0]
    assert "nothing is shown to have transferred beyond the controls" in summary
    assert "Of the mean, less is better." in text
