"""From a checked scenario file to its cases: contexts × variations × groups × names."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from evenhand.core.case import Case
from evenhand.core.scenario import Context, Direction, Scenario
from evenhand.scenarios._toml.contexts import JOIN, Resolved, resolve
from evenhand.scenarios._toml.items import item_cases
from evenhand.scenarios._toml.schema import ScenarioFile, Texts
from evenhand.scenarios._toml.template import fill


def build(file: ScenarioFile, source: str) -> Scenario:
    """Return the scenario of a file in which `problems` found nothing."""
    if file.items is not None:
        cases, contexts, groups = item_cases(file), (Context(file.name, file.outcome or "sentence"),), ()
    else:
        resolved = resolve(file)
        groups = _order(file)
        cases = tuple(case for context in resolved for case in _cases(context, file.groups or {}, groups))
        contexts = tuple(_declare(context) for context in resolved)
    return Scenario(file.name, cases, contexts, groups, file.version, file.licence, file.citation, source=source)


def _order(file: ScenarioFile) -> Texts:
    """Groups as written, the reference first."""
    groups = tuple(file.groups or ())
    first = file.reference or groups[0]
    return (first, *(group for group in groups if group != first))


def _declare(context: Resolved) -> Context:
    assert context.outcome is not None
    low = context.outcome in ("number", "pair") and context.text("favourable") == "low"
    direction: Direction = "low" if low else "high"
    return Context(
        context.name,
        context.outcome,
        direction,
        context.text("unit"),
        context.texts("favourable_words"),
        context.texts("unfavourable_words"),
    )


def _cases(context: Resolved, names: dict[str, Texts], groups: Texts) -> Iterator[Case]:
    slots = context.variations
    for values in product(*slots.values()):
        filled = dict(zip(slots, values, strict=True))
        for group in groups:
            for name in names[group]:
                yield _case(context, filled, group, name)


def _case(context: Resolved, filled: dict[str, str], group: str, name: str) -> Case:
    values = {**filled, "name": name}
    variation = JOIN.join(filled.values())
    system = context.values.get("system")
    return Case(
        id="/".join(part for part in (context.name, variation, group, name) if part),
        prompt="" if context.outcome == "pair" else fill(context.text("template"), values),
        context=context.name,
        variation=variation,
        group=group,
        cluster=name,
        name=name,
        options=tuple(fill(option, values) for option in context.texts("options")),
        favourable=_favourable(context),
        answer_prefix=fill(context.text("answer_prefix"), values),
        system=None if system is None else fill(system, values),
    )


def _favourable(context: Resolved) -> int | None:
    """Index of the favourable option; of a pair, the first unless the file says "low"."""
    if context.outcome == "pair":
        return int(context.text("favourable") == "low")
    if context.outcome == "choice":
        return context.texts("options").index(context.text("favourable"))
    return None
