"""BBQ's questions as CRISPR asks them: the same question after each of ten synonymous instructions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from evenhand.core.case import Case, Outcome
from evenhand.core.errors import CannotRun
from evenhand.core.scenario import Scenario
from evenhand.scenarios._data import Source, read_json
from evenhand.scenarios._shared.bbq import SOURCE as BBQ
from evenhand.scenarios._shared.bbq import Item, load_items, scenario
from evenhand.scenarios._shared.bbq_forms import ORDERS

INSTRUCTIONS = Source(
    folder="crispr_instructions",
    licence="MIT",
    citation='N. Yang, T. Kang, S. J. Choi, H. Lee, K. Jung, "Mitigating Biases for Instruction-following Language '
    'Models via Bias Neurons Elimination", ACL 2024',
    origin="instructions.py of https://github.com/yny0506/BiasNeuron at 27f93d1f, as JSON with the keys "
    "`instructions` and `prompt_template`",
)
_FILE = "crispr_bbq_instructions.json"
_CATEGORIES = ("Age", "Disability_status")
_BY_HAND = "SES"


def asked(name: str, outcome: Outcome, data: Path | None) -> Scenario:
    """Return the questions of the paper's categories in every instruction; raises CannotRun where a file is damaged."""
    instructions, template = _published(data)
    put = [_BY_HAND] if data is not None and (data / BBQ.folder / f"data/{_BY_HAND}.jsonl").is_file() else []
    items = [item for each in (*_CATEGORIES, *put) for item in load_items(data, f"data/{each}.jsonl", each)]
    made = scenario(name, outcome, items, _asker(instructions, template))
    measures = ("accuracy", "bbq_accuracy", "bbq_bias") if outcome == "choice" else made.measures
    return dataclasses.replace(
        made,
        measures=measures,
        licence=f"{made.licence}; instructions {INSTRUCTIONS.licence}",
        citation=f"{made.citation}; {INSTRUCTIONS.citation}",
    )


def _published(data: Path | None) -> tuple[Sequence[str], str]:
    found = read_json(data, INSTRUCTIONS, _FILE)
    try:
        return [str(each) for each in found["instructions"]], str(found["prompt_template"])
    except (KeyError, TypeError) as error:
        raise CannotRun(
            f"{INSTRUCTIONS.folder}/{_FILE}: no keys `instructions` and `prompt_template`; get the file again "
            f"({INSTRUCTIONS.thanks})"
        ) from error


def _asker(instructions: Sequence[str], template: str) -> Callable[[Item], Iterable[Case]]:
    def cases(item: Item) -> Iterable[Case]:
        first, second, third = item.answers
        for number, instruction in enumerate(instructions, 1):
            prompt = template.format(
                instruction=instruction, context=item.context, question=item.question,
                ans0=first, ans1=second, ans2=third,
            )  # fmt: skip
            yield item.case(prompt, item.answers, ORDERS[0], f"instruction-{number:02}")

    return cases
