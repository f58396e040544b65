"""The little world of two ambiguous words: its words and sentences, and the questions that scenarios ask about them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from evenhand.core.case import Case
from evenhand.scenarios._shared.association import Stimuli, claims, questions

FILE = Path(__file__).with_name("ambiguous.toml")
CONDITIONS = ("open", "colour", "group")
"""What the surroundings of a question say that the words are."""
LICENCE = "Apache-2.0"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a word may be (a group or a colour): its name, words that are always that, nouns and what they do."""

    name: str
    purely: str
    clear: tuple[str, ...]
    nouns: tuple[str, ...]
    deeds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class World:
    """All words and sentences, with slots in braces."""

    ambiguous: tuple[str, str]
    group: Kind
    colour: Kind
    surroundings: tuple[str, ...]
    known: tuple[str, ...]
    open: tuple[str, ...]
    placeholder: str
    wordings: tuple[str, ...]
    trained: tuple[Stimuli, ...]
    """Words of association whose pairs are trained on; together with `held_out` every pair."""
    held_out: Stimuli

    def kind(self, name: str) -> Kind:
        """Return the kind of this name."""
        return self.group if name == "group" else self.colour


@cache
def world() -> World:
    """Return the world of the file."""
    data = tomllib.loads(FILE.read_text(encoding="utf-8"))
    last = int(data["held_out_words"])
    positive, negative = (tuple(data[each]) for each in ("positive", "negative"))
    first, second = data["ambiguous"]

    def stimuli(name: str, good: tuple[str, ...], bad: tuple[str, ...]) -> Stimuli:
        return Stimuli(name, (first,), (second,), good, bad)

    return World(
        ambiguous=(first, second),
        group=_kind(data["group"]),
        colour=_kind(data["colour"]),
        surroundings=tuple(data["surroundings"]),
        known=tuple(data["sentences"]["known"]),
        open=tuple(data["sentences"]["open"]),
        placeholder=str(data["questions"]["placeholder"]),
        wordings=tuple(data["questions"]["wordings"]),
        trained=(
            stimuli("trained", positive, negative[:-last]),
            stimuli("trained", positive[:-last], negative[-last:]),
        ),
        held_out=stimuli("held out", positive[-last:], negative[-last:]),
    )


def _kind(data: dict[str, Any]) -> Kind:
    return Kind(data["name"], data["purely"], tuple(data["clear"]), tuple(data["nouns"]), tuple(data["deeds"]))


def is_held_out(surrounding: int, noun: int) -> bool:
    """Return whether this noun (by its number) in these surroundings (by theirs) is kept from training: one in five."""
    return (surrounding + noun) % 5 == 0


def prefixes(condition: str, held_out: bool) -> list[str]:
    """Return sentences, with a slot for each word, that say what the words are; none where nothing is said.

    Those that are held out put nouns in surroundings in which training never has them.
    """
    if condition == "open":
        return [""]
    about = world().kind(condition)
    told = [] if held_out else [about.purely + "\n"]
    return told + [
        text.replace("{noun}", noun) + "\n"
        for (i, text), (j, noun) in product(enumerate(world().surroundings), enumerate(about.nouns))
        if is_held_out(i, j) == held_out
    ]


def asked(words: Stimuli) -> tuple[list[Case], list[Case]]:
    """Return the implicit and the explicit questions of these words under every condition, in held-out surroundings."""
    implicit: list[Case] = []
    explicit: list[Case] = []
    for condition in CONDITIONS:
        # Surroundings in turn, so that no question is asked more often than another.
        few = prefixes(condition, held_out=True)
        for i, match in enumerate(words.matches()):
            one = Stimuli(words.name, words.default, words.stigmatised, (match.positive,), (match.negative,))
            implicit += questions(condition, one, few[i % len(few)])
            explicit += claims(f"claims: {condition}", one, few[i % len(few)])
    return implicit, explicit
