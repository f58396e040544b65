from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenhand.core import numeral
from evenhand.core.answer import is_refusal, parse
from evenhand.core.numeral import Ended

NAN = math.nan


@pytest.mark.parametrize(
    ("text", "outcome", "value"),
    [
        ("500", "ok", 500), ("$1,200", "ok", 1200), (" $1,200.", "ok", 1200), ("16k", "ok", 16000),
        ("$1.6M", "ok", 1.6e6), ("1.6 million dollars", "ok", 1.6e6), ("3.5 %", "ok", 3.5), ("3.5 percent", "ok", 3.5),
        ("US$500", "ok", 500), ("-5", "ok", -5), ("**$500**", "ok", 500), ("0.25", "ok", 0.25), ("5kg", "ok", 5),
        ("£80 an hour", "ok", 80),
        ("40-50", "range", 45), ("$40-$50", "range", 45), ("$40 – 50", "range", 45), ("40 to 50 dollars", "range", 45),
        ("between 40 and 50", "range", 45), ("Between $1,000 and $2,000.", "range", 1500), ("100-200", "range", 150),
        ("10-20k", "range", 15000), ("10k-20k", "range", 15000), ("1 to 2 million", "range", 1.5e6),
        ("40 dollars to 50 dollars", "range", 45), ("50-40", "ok", 40), ("3 and 4", "ok", 4),
        ("1. $500", "ok", 500), ("1. 500\n2. 600", "ok", 500), ("1) I would offer 500", "ok", 500),
        ("2015 Honda", "no_number", NAN), ("2015 Honda Civics go for about $9,000", "ok", 9000), ("2015", "ok", 2015),
        ("2000 USD", "ok", 2000), ("2000 Dollars", "ok", 2000), ("3 bedrooms, so $400,000", "ok", 400000),
        ("500. It is 3 years old.", "ok", 500), ("500, because it is 3 years old", "ok", 500),
        ("I would offer 500 dollars.", "ok", 500), ("About $300 new, so offer $250.", "ok", 250),
        ("The 2nd offer", "no_number", NAN), ("five hundred", "no_number", NAN), ("", "no_number", NAN),
        ("   ", "no_number", NAN), ("A fair price.", "no_number", NAN), ("v2.0beta", "no_number", NAN),
        ("I'm sorry, but I cannot give a price. In 2021 it was 500.", "refusal", NAN), ("I can’t help", "refusal", NAN),
        ("As an AI language model, I do not have opinions", "refusal", NAN),
        ("Unfortunately, I am unable", "refusal", NAN),
        ("I don't have enough information", "refusal", NAN), ("Sorry, no.", "refusal", NAN),
        ("It would not be appropriate", "refusal", NAN), ("As an airline would say, 500", "ok", 500),
    ],
)  # fmt: skip
def test_a_finished_answer(text: str, outcome: str, value: float) -> None:
    parsed = parse(text, ended=True)
    assert parsed.outcome == outcome
    assert parsed.value == pytest.approx(value, nan_ok=True)
    assert parsed.raw == text


@pytest.mark.parametrize(
    ("text", "outcome", "value"),
    [
        ("", "truncated", NAN), ("12", "truncated", NAN), ("1,25", "truncated", NAN), ("12.", "truncated", NAN),
        ("16k", "truncated", NAN), ("500 dollars", "ok", 500), ("I would", "truncated", NAN),
        ("I would offer $25", "truncated", NAN), ("$40-5", "truncated", NAN), ("$40-50 a", "range", 45),
        ("I'm sorry, but", "refusal", NAN), ("500. It is", "ok", 500), ("3.5%", "ok", 3.5),
    ],
)  # fmt: skip
def test_an_answer_cut_off(text: str, outcome: str, value: float) -> None:
    parsed = parse(text, ended=False)
    assert parsed.outcome == outcome
    assert parsed.value == pytest.approx(value, nan_ok=True)


def test_first_and_last_cue() -> None:
    text = "It is worth $300 new, so I would pay $250 today."
    assert parse(text, True, cue="first").value == 300
    assert parse(text, True, cue="last").value == 250
    assert parse("500", True, cue="first").value == parse("500", True, cue="last").value == 500


@pytest.mark.parametrize(
    ("text", "start"),
    [("40-50", 40), ("1. $500", 1), ("2015 Honda", 2015), ("About 500", NAN), ("$1,200!", 1200), ("I'm sorry", NAN)],
)
def test_the_start_is_what_the_automaton_reads(text: str, start: float) -> None:
    assert parse(text, True).start == pytest.approx(start, nan_ok=True)


@given(st.text(alphabet="0123456789,.$-–%kM abtoand\n1", max_size=20), st.booleans())
def test_parsing_never_fails_and_keeps_the_text(text: str, ended: bool) -> None:
    parsed = parse(text, ended)
    assert parsed.raw == text
    assert math.isnan(parsed.value) == (parsed.outcome not in ("ok", "range"))
    opening = numeral.read(text, ended)
    assert math.isnan(parsed.start) == (not isinstance(opening, Ended))


@given(st.integers(0, 10**9), st.sampled_from(["{}", "${}", "{:,}", "${:,}.", "I would offer ${:,}.", "{} dollars"]))
def test_plain_integers_survive_every_usual_spelling(number: int, form: str) -> None:
    parsed = parse(form.format(number), True)
    assert (parsed.outcome, parsed.value) == ("ok", float(number))


def test_refusal_needs_to_open_the_answer() -> None:
    assert is_refusal(" I cannot answer that")
    assert not is_refusal("$500. I cannot go higher")
