"""The three ways BBQ's questions are asked: by full text, by answer letter, by generated answer."""

from __future__ import annotations

from evenhand.core.case import Case
from evenhand.scenarios._shared.bbq import Item

ORDERS = ((0, 1, 2), (1, 2, 0), (2, 0, 1))
"""Cyclic orders: each answer stands at each place once."""


def by_text(item: Item) -> list[Case]:
    """Return the question once, with its answers in full."""
    return [item.case(f"{_asked(item)}\nA:", tuple(f" {answer}" for answer in item.answers), ORDERS[0])]


def by_letter(item: Item) -> list[Case]:
    """Return the question in each order, with letters for answers."""
    return [_lettered(item, order) for order in ORDERS]


def by_answer(item: Item) -> list[Case]:
    """Return the question in each order, to be answered in the model's own words."""
    return [_listed(item, order) for order in ORDERS]


def _lettered(item: Item, order: tuple[int, ...]) -> Case:
    listed = "\n".join(f"{letter}. {item.answers[i]}" for letter, i in zip("ABC", order, strict=True))
    return item.case(f"{_asked(item)}\n{listed}\nAnswer:", (" A", " B", " C"), order, _named(order))


def _listed(item: Item, order: tuple[int, ...]) -> Case:
    answers = tuple(item.answers[i] for i in order)
    listed = "\n".join(f"({letter}) {answer}" for letter, answer in zip("abc", answers, strict=True))
    prompt = f"{_asked(item)}\n{listed}\nAnswer with the letter of one answer.\nAnswer:"
    return item.case(prompt, answers, order, _named(order))


def _asked(item: Item) -> str:
    """Return context and question as lm-eval writes them."""
    return f"{item.context}\n\nQ: {item.question}"


def _named(order: tuple[int, ...]) -> str:
    return f"order-{''.join(map(str, order))}"
