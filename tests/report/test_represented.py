"""What is said of a reading: nothing about the words that are asked about where the known ones are not told apart."""

from __future__ import annotations

import math

import pytest

from evenhand.core.estimate import Estimate
from evenhand.core.represented import Represented
from evenhand.report import render_reading, represented
from report import made_reading


def _apart(value: float, q: float) -> Represented:
    """The reading with this difference of the known prompts at every pair of layers."""
    found = made_reading.reading()
    apart = Estimate(value=value, low=value - 1, high=value + 1, n=9, n_clusters=9, p=q, q=q)
    pairs = tuple(each.model_copy(update={"apart": apart}) for each in found.separations)
    probes = tuple(each.model_copy(update={"selectivity": apart}) for each in found.probe)
    return found.model_copy(update={"separations": pairs, "probe": probes})


@pytest.mark.parametrize(("value", "q", "wrong"), [(0.1, 0.6, False), (-0.1, 0.01, True)])
def test_nothing_is_read_off_where_known_prompts_are_not_apart(tmp_path, value: float, q: float, wrong: bool) -> None:
    found = _apart(value, q)
    first, *_, last = represented.summary(found)
    assert first.startswith("The questions cannot tell up from down in this model: at none of 60 pairs")
    assert ("at 60 it is surely the other way round" in first) == wrong
    assert first.endswith("So nothing can be read off about the asked prompts, wherever they move it.")
    assert last.startswith("No linear probe surely tells the known prompts apart")
    drawn = represented.build(found).figures["map-0"]["data"][0]["text"]
    assert all(number.startswith("(") for line in drawn for number in line)
    note = "nothing can be read off about the asked ones here"
    assert note in render_reading(found, tmp_path / "page.html").read_text(encoding="utf-8")


def test_without_intervals_nothing_is_known() -> None:
    first, *_ = represented.summary(_apart(2.0, math.nan))
    assert first.startswith("There are too few sentences for intervals, so whether")


def test_what_is_told_where_they_are_apart(tmp_path) -> None:
    found = _apart(2.0, 0.01)
    first, place, *_, last = represented.summary(found)
    assert first.startswith("The questions can tell up from down: at 60 of 60 pairs")
    assert (
        place
        == "There the asked prompts stand at 0.20 (0.10 to 0.30) of the way from down (0) to up (1): nearer to down."
    )
    assert "A linear probe tells the known prompts apart best at layer 0" in last
    drawn = represented.build(found).figures["map-0"]["data"][0]["text"]
    assert drawn[0][0].startswith("<b>")
    assert "nothing can be read off" not in render_reading(found, tmp_path / "page.html").read_text(encoding="utf-8")


def test_sentences_that_move_it_to_the_other_side_are_told_and_listed(tmp_path) -> None:
    found = _apart(2.0, 0.01)
    (line,) = [line for line in represented.summary(found) if line.startswith("Sentences of one kind")]
    assert "to the same side (asked: 1 towards up, 2 towards down); a table lists them." in line
    page = represented.build(found)
    assert [row for row in page.sentences.rows if row[0] == "asked"] == [
        ("asked", "asked 1 {word}", "+0.50"), *[("asked", "asked -1 {word}", "−0.50")] * 2]  # fmt: skip
    assert page.rises.rows[0] == ("0", "asked", "+20.0 points (+10.0 to +30.0)", "−30.0 points (−40.0 to −20.0)")
    html = render_reading(found, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "asked -1 {word}" in html
    assert "in the summary (layer 0 into layer 0: 2.00 (1.00 to 3.00) nats) was chosen" in html
    older = found.model_copy(update={"by_text": (), "patched": tuple(each.model_copy(update={"rises": None})
                                                                     for each in found.patched)})  # fmt: skip
    assert represented.build(older).sentences.rows == represented.build(older).rises.rows == ()
