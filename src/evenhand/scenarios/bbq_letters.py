"""BBQ by answer letter: the questions of `bbq` with A, B and C to choose from, each in three orders (EVENHAND_DATA).

Parrish et al., Findings of ACL 2022 (CC BY 4.0); what it measures, its defects and why not to trust it alone: see
`bbq`. The three answers are listed in the prompt (our wording, the paper has none for language models) and the letter's
log-likelihood decides, so the length of an answer does not count. Every question is asked in its three cyclic orders,
as variations: each answer has each letter once, so a liking for a letter cannot pass for a bias. A model that chooses
by letter alone has an accuracy of a third over the three orders, and a bias of about 0.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.case import Case
from evenhand.core.scenario import Scenario
from evenhand.scenarios._shared.bbq import ORDERS, Item, asked, official, scenario

LETTERS = "ABC"


def load(data: Path | None) -> Scenario:
    """Return 17,628 questions in three orders; raises CannotRun where a file is absent or damaged."""
    return scenario("bbq_letters", "choice", official(data), _cases)


def _cases(item: Item) -> list[Case]:
    return [_case(item, order) for order in ORDERS]


def _case(item: Item, order: tuple[int, ...]) -> Case:
    listed = "\n".join(f"{letter}. {item.answers[i]}" for letter, i in zip(LETTERS, order, strict=True))
    options = tuple(f" {letter}" for letter in LETTERS)
    return item.case(f"{asked(item)}\n{listed}\nAnswer:", options, order, f"order-{''.join(map(str, order))}")
