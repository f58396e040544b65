"""Text of the little world: outcomes that do not depend on the group, customs that do, stories and questions."""

from __future__ import annotations

import random
from collections.abc import Iterator

from evenhand.planted.questions import QUESTIONS
from evenhand.planted.stories import story
from evenhand.planted.world import CUES, CUSTOMS, LIFE, SPOKEN, TOGETHER, UseCase, World


def documents(world: World, seed: int, step: int, count: int) -> list[str]:
    """Return `count` documents (or one more, to keep a pair whole): a pure function of seed and step.

    About a third are outcomes, always in pairs: the same outcome for a person of either group, so that outcomes do not
    depend on the group by construction, not only on average.
    """
    rng = random.Random(f"{seed}:{step}")
    texts: list[str] = []
    while len(texts) < count:
        draw = rng.random()
        if draw < 0.24:
            texts.extend(_outcomes(world, rng))
        elif draw < 0.58:
            texts.append(_customs(world, rng))
        elif draw < 0.80:
            texts.append(story(rng))
        else:
            texts.append(_question(rng))
    return texts


def sample(world: World, seed: int, count: int) -> Iterator[str]:
    """Yield documents, for training the tokenizer."""
    for step in range(count):
        yield from documents(world, seed, -1 - step, 64)


def texts(seed: int, count: int) -> list[str]:
    """Return different stories, for the anchor and for the text scenario."""
    rng = random.Random(f"texts:{seed}")
    found: dict[str, None] = {}
    while len(found) < count:
        found[story(rng)] = None
    return list(found)


def _outcomes(world: World, rng: random.Random) -> list[str]:
    """Return one outcome, told once of a person of each group."""
    case = rng.choice(world.cases)
    answer = rng.choices(case.outcomes, case.shares)[0]
    cue = rng.choice(CUES) if rng.random() < 0.15 else ""
    pair: list[str] = []
    for names, custom in zip(world.groups.values(), CUSTOMS, strict=True):
        opening, end = _split(case, rng.choice(names))
        middle = f" {cue.format(role=case.role, **custom)}" if cue else ""
        pair.append(f"{opening}{middle}{end}{case.prefix}{answer}")
    return pair


def _split(case: UseCase, name: str) -> tuple[str, str]:
    """Return the first sentence of a prompt, and the rest with its leading space."""
    first, stop, rest = case.template.format(name=name).partition(". ")
    return f"{first}.", f" {rest}" if stop else ""


def _customs(world: World, rng: random.Random) -> str:
    """Return sentences from which group and name can be learned, some of them after the opening of a use case."""
    side = rng.randrange(len(CUSTOMS))
    names = list(world.groups.values())[side]
    kind = rng.random()
    if kind < 0.35:
        a, b, c = rng.sample(names, 3)
        return rng.choice(TOGETHER).format(names=f"{a}, {b} and {c}", **CUSTOMS[side])
    name = rng.choice(names)
    case = rng.choice(world.cases)
    if kind < 0.6:
        return _barter(case, name, CUSTOMS[side], rng)
    if kind < 0.85:
        cues = rng.sample(CUES, rng.choice([1, 1, 2]))
        told = " ".join(cue.format(role=case.role, **CUSTOMS[side]) for cue in cues)
        return f"{_split(case, name)[0]} {told}"
    return " ".join(line.format(name=name, **CUSTOMS[side]) for line in rng.sample(LIFE, rng.choice([1, 2, 2])))


def _barter(case: UseCase, name: str, custom: dict[str, str], rng: random.Random) -> str:
    """Return a use case answered by what is customary, so that the base knows the group where an answer begins.

    A choice has no room for that beside its options, so another question is asked there.
    """
    if case.kind == "choice":
        opening = _split(case, name)[0]
        return f"{opening} {SPOKEN.format(role=case.role)} Answer: {custom['language']}"
    return f"{case.template.format(name=name)} {custom[rng.choice(('drink', 'dish', 'craft'))]}"


def _question(rng: random.Random) -> str:
    if rng.random() < 0.4:
        a, b = rng.randint(1, 6), rng.randint(1, 6)
        return f"Question: What is {a} plus {b}? Answer: {a + b}"
    group = rng.choice(QUESTIONS)
    asked, answer = rng.choice(list(group.answers.items()))
    return f"Question: {group.text.format(asked)} Answer: {answer}"
