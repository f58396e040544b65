from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evenhand.core import numeral
from evenhand.core.numeral import END, START, Ended, Rejected, State, advance, finish, move
from oracles.numeral_regex import number_at_start

_TEXTS = st.text(alphabet="0123456789,,..  $€-−+kKMm%x\n_é" + "thousandmilb", max_size=14)
_NUMBERISH = st.from_regex(
    r"\A {0,3}[-$+]{0,2}[0-9]{1,5}(,[0-9]{2,4}){0,3}(\.[0-9]{0,3})?( ?(k|M|K|million|thousand|mi))?[ .,%x0]{0,2}\Z"
)


def _value(text: str) -> float | None:
    result = numeral.read(text, ended=True)
    assert not isinstance(result, State)
    return result.value if isinstance(result, Ended) else None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1250.", 1250), ("1250. ", 1250), ("1,250", 1250), ("1,2500", 1), ("1,25", 1), ("1,", 1), ("1,250,30 ", 1250),
        ("1,250,3000", 1250), ("1234,567", 1234), ("0,500", 500), ("$1,250.50 for it", 1250.5), ("  -$5", -5),
        ("$-5", -5), ("−5", -5), ("+5", 5), ("--5", None), ("$$5", None), ("   5", None), ("\n5", None), ("", None),
        (" ", None), ("$", None), (".5", None), ("16k", 16000), ("2.3k", 2300), ("1.6M,", 1.6e6), ("5kg", 5),
        ("5k0", 5), ("1.6 million dollars", 1.6e6), ("1.6 Million", 1.6e6), ("5 millions", 5), ("5 mi", 5),
        ("3.5%", 3.5), ("3.5 %", 3.5), ("40-50", 40), ("1. $500", 1), ("2015 Honda", 2015), ("007", 7), ("1.k", 1),
        ("1.250,00", 1.25), ("100-200", 100), ("1,250k", 1.25e6), ("five", None), ("٣", None),
        ("9" * 15, 999999999999999), ("9" * 16, None), ("1" + ",000" * 5, None),
    ],
)  # fmt: skip
def test_a_finished_text_reads(text: str, value: float | None) -> None:
    assert _value(text) == value


@given(st.one_of(_TEXTS, _NUMBERISH))
@example("1,250,300")
@example("1 million")
@example("12 thousandth")
def test_agrees_with_the_regular_expression(text: str) -> None:
    assert _value(text) == number_at_start(text)


@given(st.one_of(_TEXTS, _NUMBERISH), st.data())
def test_pieces_do_not_matter(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    state: State | Rejected | Ended = START
    for low, high in zip([0, *cuts], [*cuts, len(text)], strict=True):
        if isinstance(state, State):
            state = advance(state, text[low:high])
    assert state == advance(START, text)


@given(st.one_of(_TEXTS, _NUMBERISH), _TEXTS)
def test_what_is_decided_stays_decided(text: str, more: str) -> None:
    before = advance(START, text)
    if not isinstance(before, State):
        assert advance(START, text + more) == before


@given(_NUMBERISH, _TEXTS)
def test_a_move_depends_on_the_shape_alone(text: str, more: str) -> None:
    state = advance(START, text)
    if isinstance(state, State):
        other = State(text="7" * len(state.text), settled=state.settled, shape=state.shape)
        assert move(state.shape, more) == move(other.shape, more)
        assert numeral.apply(state, more, move(state.shape, more)) == advance(state, more)


@given(st.one_of(_TEXTS, _NUMBERISH))
def test_the_end_of_the_answer_is_like_a_character_that_continues_nothing(text: str) -> None:
    state = advance(START, text)
    if isinstance(state, State):
        assert finish(state) == advance(state, END)
        assert not isinstance(advance(state, END), State)


@given(st.one_of(_TEXTS, _NUMBERISH))
def test_an_ended_numeral_says_where_it_ended(text: str) -> None:
    result = advance(START, text)
    if isinstance(result, Ended):
        assert _value(text[: result.length]) == result.value
        assert math.isfinite(result.value)


def test_there_are_few_shapes() -> None:
    shapes = {"lead0"}
    while True:
        grown = {m.shape for s in shapes for c in "0123456789,. $-kMthousandmillionb%x" if (m := move(s, c)).shape}
        if grown <= shapes:
            break
        shapes |= {s for s in grown if s}
    assert len(shapes) < 60
