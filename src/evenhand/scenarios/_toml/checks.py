"""What a scenario file must obey beyond having the right keys; every breach is found, not only the first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evenhand.core.errors import nearest
from evenhand.scenarios._toml.contexts import JOIN, OF_OUTCOME, Resolved, resolve
from evenhand.scenarios._toml.items import item_problems
from evenhand.scenarios._toml.lines import KeyPath
from evenhand.scenarios._toml.schema import Problem, ScenarioFile
from evenhand.scenarios._toml.seams import seam_problems
from evenhand.scenarios._toml.template import slots, stray_braces
from evenhand.scenarios._toml.texts import among_options, list_problems

_BOUND = {"options": ("choice", "pair"), "favourable_words": ("text",), "unfavourable_words": ("text",)}
_MISSING = "this key is missing; write"


def problems(file: ScenarioFile) -> Iterator[Problem]:
    """Yield everything that is wrong with a file whose keys and types are right."""
    if not file.name.strip():
        yield Problem(("name",), "is empty; give the scenario a name")
    if file.items is not None:
        yield from item_problems(file)
        return
    yield from _groups(file)
    contexts = resolve(file)
    for context in contexts:
        yield from _context(context)
    if file.contexts:
        yield from _taken_over_by_none(file, contexts)


def _groups(file: ScenarioFile) -> Iterator[Problem]:
    groups = file.groups
    if groups is None:
        yield Problem(
            ("groups",), f"{_MISSING} [groups] with two or more lists of names (or [[items]] to compare none)"
        )
        return
    if len(groups) < 2:
        yield Problem(("groups",), f"a comparison needs at least 2 groups, found {len(groups)}")
    owner: dict[str, tuple[str, str]] = {}
    for group, names in groups.items():
        path = ("groups", group)
        if not group.strip():
            yield Problem(path, "this group has no name; give it one")
        if not names:
            yield Problem(path, f"group {group!r} is empty; give it names, better 24 or more")
        yield from list_problems(path, names, "name")
        for i, name in enumerate(names):
            if name.strip() and name != name.strip():
                yield Problem((*path, i), f"the name {name!r} has spaces around it; take them out")
            first = owner.setdefault(name.casefold(), (name, group))
            if first[1] != group:
                as_written = "" if name == first[0] else f" as {first[0]!r}"
                yield Problem((*path, i), f"the name {name!r} is also in group {first[1]!r}{as_written}; keep one")
            elif first[0] != name:
                yield Problem((*path, i), f"the name {name!r} is there as {first[0]!r} too; keep one")
    if file.reference is not None and file.reference not in groups:
        hint = f"{nearest(file.reference, groups)} (groups: {', '.join(groups)})"
        yield Problem(("reference",), f"there is no group {file.reference!r}{hint}")


def _context(context: Resolved) -> Iterator[Problem]:
    if not context.name.strip() and context.path:
        yield Problem(context.path, "this context has no name; give it one")
    if context.outcome is None:
        yield Problem((*context.path, "outcome"), f'{_MISSING} outcome = "number" (or choice, pair, text, sentence)')
        return
    yield from _prompt(context)
    yield from _options(context)
    if context.outcome not in ("pair", "sentence"):
        asked = [(context.at(key), context.text(key)) for key in ("template", "answer_prefix")]
        yield from seam_problems(asked, context.texts("options"), context.outcome)
    yield from _words(context)
    yield from _favourable(context)
    yield from _variations(context)


def _prompt(context: Resolved) -> Iterator[Problem]:
    template = context.text("template")
    if context.outcome == "pair":
        named = [((*context.at("options"), i), option) for i, option in enumerate(context.texts("options"))]
        if "template" in context.origin and context.at("template")[:-1] == context.path:
            yield Problem(context.at("template"), "a pair has no template; write its two whole sentences as options")
    elif template.strip():
        named = [(context.at("template"), template)]
    else:
        yield Problem((*context.path, "template"), f"{_MISSING} the question with {{name}} in it")
        return
    for path, text in named:
        if "name" not in slots(text):
            hint = "; {{name}} means real braces, write {name}" if "{{name}}" in text else ""
            yield Problem(path, f"there is no {{name}} in it, so the groups would not differ{hint}")
    for path, text in context.asked:
        for near in stray_braces(text):
            yield Problem(path, f"stray brace at {near!r}; a slot is {{item}}, a real brace is doubled: {{{{ or }}}}")


def _options(context: Resolved) -> Iterator[Problem]:
    options, outcome = context.texts("options"), context.outcome
    if outcome not in _BOUND["options"]:
        yield from _foreign(context, "options")
        return
    path = context.at("options") if options else (*context.path, "options")
    if outcome == "pair" and len(options) != 2:
        yield Problem(path, f"a pair needs exactly 2 sentences, the favourable one first; found {len(options)}")
    elif len(options) < 2:
        yield Problem(path, f"a choice needs at least 2 options, found {len(options)}")
    yield from list_problems(path, options, "option")


def _words(context: Resolved) -> Iterator[Problem]:
    liked = {word.casefold() for word in context.texts("favourable_words")}
    for key in ("favourable_words", "unfavourable_words"):
        if context.outcome != "text":
            yield from _foreign(context, key)
        elif not context.texts(key):
            yield Problem((*context.path, key), f"{_MISSING} the words by which an answer is recognised")
        yield from list_problems(context.at(key), context.texts(key), "word")
    for i, word in enumerate(context.texts("unfavourable_words")):
        if word.casefold() in liked:
            yield Problem((*context.at("unfavourable_words"), i), f"{word!r} is also a favourable word; keep one")


def _foreign(context: Resolved, key: str) -> Iterator[Problem]:
    if key in context.origin:
        owners = " or ".join(map(repr, _BOUND[key]))
        yield Problem(context.at(key), f"an outcome {context.outcome!r} has no {key}; they belong to {owners}")


def _favourable(context: Resolved) -> Iterator[Problem]:
    outcome, value = context.outcome, context.values.get("favourable")
    path = (*context.path, "favourable") if value is None else context.at("favourable")
    if outcome == "choice":
        if value is None:
            yield Problem(path, f"{_MISSING} the option that is good for the person")
        elif context.texts("options"):
            yield from among_options(path, value, context.texts("options"))
    elif outcome == "number" and value is None:
        yield Problem(path, f'{_MISSING} "high" or "low": which is good for the person')
    elif outcome in ("number", "pair") and value not in (None, "high", "low"):
        hint = nearest(value or "", ("high", "low"))
        yield Problem(path, f"{value!r} is no direction of an outcome {outcome!r}{hint} (one of: high, low)")
    elif outcome in ("text", "sentence") and value not in (None, "high"):
        yield Problem(path, f"an outcome {outcome!r} has no direction to choose; take this key out")


def _variations(context: Resolved) -> Iterator[Problem]:
    known = {**context.inherited, **context.own}
    for slot in context.slots:
        if slot not in known:
            path = next(path for path, text in context.asked if slot in slots(text))
            hint = nearest(slot, [*known, "name"])
            yield Problem(path, f"the slot {{{slot}}} has no values: write {slot} = [...] under [variations]{hint}")
    for slot, values in context.own.items():
        path: KeyPath = (*context.path, "variations", slot)
        yield from _values(path, values)
        if slot not in context.slots:
            yield _unused(path, slot, context.slots)
    if len(context.slots) > 1:
        for slot, values in context.variations.items():
            for i, value in enumerate(values):
                if JOIN in value:
                    path = (*context.slot_path(slot), i)
                    yield Problem(path, f"{value!r} contains {JOIN!r}, which joins the values of several slots")


def _values(path: KeyPath, values: Sequence[str]) -> Iterator[Problem]:
    if not values:
        yield Problem(path, "this slot has no values; give it at least one")
    yield from list_problems(path, values, "variation")


def _unused(path: KeyPath, slot: str, known: Sequence[str]) -> Problem:
    if slot == "name":
        return Problem(path, "the slot {name} is filled from the groups; call this one something else")
    return Problem(path, f"{{{slot}}} is in no template or option, so it would never be used{nearest(slot, known)}")


def _taken_over_by_none(file: ScenarioFile, contexts: Sequence[Resolved]) -> Iterator[Problem]:
    """Yield what stands above the contexts and reaches none of them."""
    for slot, values in file.variations.items():
        yield from _values(("variations", slot), values)
        if not any(slot in c.slots and slot not in c.own for c in contexts):
            yield _unused(("variations", slot), slot, [s for c in contexts for s in c.slots])
    for key in ("template", *OF_OUTCOME):
        users = [c for c in contexts if c.origin.get(key) == (key,) and (key, c.outcome) != ("template", "pair")]
        if getattr(file, key) is not None and not users:
            yield Problem((key,), "no context takes it over: each has its own, or another outcome; take it out")
