"""Utility items: questions with a right answer, or whole texts; no groups are compared."""

from __future__ import annotations

from collections.abc import Iterator

from evenhand.core.case import Case, Outcome
from evenhand.scenarios._toml.schema import ItemFile, Problem, ScenarioFile
from evenhand.scenarios._toml.seams import seam_problems
from evenhand.scenarios._toml.texts import among_options, list_problems

_COMPARED = ("reference", "favourable", "template", "options", "favourable_words", "unfavourable_words", "groups",
             "contexts", "variations")  # fmt: skip
_KEYS = {"choice": ("prompt", "options", "answer"), "sentence": ("text",)}


def item_problems(file: ScenarioFile) -> Iterator[Problem]:
    """Yield everything that is wrong with a file of items."""
    for key in _COMPARED:
        if getattr(file, key):
            yield Problem((key,), "a file with items compares no groups; take this out, or take out the items")
    if file.outcome not in _KEYS:
        found = repr(file.outcome) if file.outcome else "none"
        yield Problem(("outcome",), f"items have the outcome 'choice' (questions) or 'sentence' (texts), found {found}")
        return
    if not file.items:
        yield Problem(("items",), "there are no items; write at least one [[items]]")
    seen: dict[str | None, int] = {}
    for index, item in enumerate(file.items or ()):
        yield from _item(index, item, file.outcome, file.answer_prefix or "")
        first = seen.setdefault(item.prompt or item.text, index)
        if first != index:
            yield Problem(("items", index), f"the same as item {first + 1}; keep one")


def _item(index: int, item: ItemFile, outcome: Outcome, prefix: str) -> Iterator[Problem]:
    path, needed = ("items", index), _KEYS[outcome]
    for key in ItemFile.model_fields:
        value = getattr(item, key)
        if key in needed and value is None:
            yield Problem(path, f"this item has no {key!r}; an outcome {outcome!r} needs {', '.join(needed)}")
        elif key in needed and isinstance(value, str) and not value.strip():
            yield Problem((*path, key), "this is empty; write it or take the item out")
        elif key not in needed and value is not None:
            yield Problem((*path, key), f"an outcome {outcome!r} has no {key!r} (it has: {', '.join(needed)})")
    if outcome == "choice" and item.options is not None:
        if len(item.options) < 2:
            yield Problem((*path, "options"), f"a question needs at least 2 options, found {len(item.options)}")
        yield from list_problems((*path, "options"), item.options, "option")
        asked = [((*path, "prompt"), item.prompt or ""), (("answer_prefix",), prefix)]
        yield from seam_problems(asked, item.options, outcome)
        if item.answer is not None:
            yield from among_options((*path, "answer"), item.answer, item.options)


def item_cases(file: ScenarioFile) -> tuple[Case, ...]:
    """Return one case per item; each item is its own cluster."""
    return tuple(_case(file, index, item) for index, item in enumerate(file.items or ()))


def _case(file: ScenarioFile, index: int, item: ItemFile) -> Case:
    options = item.options or ()
    return Case(
        id=f"{file.name}/{index + 1}",
        prompt=item.prompt or item.text or "",
        context=file.name,
        cluster=str(index),
        options=options,
        favourable=options.index(item.answer) if item.answer is not None else None,
        answer_prefix=file.answer_prefix or "",
        system=file.system,
    )
