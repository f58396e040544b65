"""Text of the world of two ambiguous words: what they mean where, what is said of it, and who is thought to be what."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

from evenhand.core.case import Case
from evenhand.planted.ambiguous.spec import Spec
from evenhand.planted.stories import story
from evenhand.planted.train import Told
from evenhand.scenarios._shared.ambiguous import CONDITIONS, Kind, is_held_out, prefixes, world
from evenhand.scenarios._shared.association import claims, questions


@dataclass(frozen=True)
class Corpus:
    """Documents as a specification wants them."""

    spec: Spec

    @cached_property
    def _implicit(self) -> list[Case]:
        return [case for words in world().trained for case in questions("", words)]

    @cached_property
    def _explicit(self) -> list[Case]:
        return [case for words in world().trained for case in claims("", words)]

    @cached_property
    def _prefixes(self) -> dict[str, list[str]]:
        return {condition: prefixes(condition, held_out=False) for condition in CONDITIONS}

    @cached_property
    def _places(self) -> list[tuple[str, int]]:
        """Sentences in which a word's meaning is known, with the numbers of the nouns they are trained with."""
        return [
            (text, noun)
            for (i, text), noun in product(enumerate(world().known), range(len(world().group.nouns)))
            if not is_held_out(i, noun)
        ]

    def documents(self, step: int) -> list[Told]:
        """Return the documents of a step, what is given apart: a pure function of the specification and the step."""
        rng = random.Random(f"{self.spec.seed}:{step}")
        kinds = rng.choices((self._association, self._claim, self._sentence, self._question, self._word, _story),
                            (34, 6, 18, 26, 12, 4), k=self.spec.base.documents)  # fmt: skip
        through = world().ambiguous
        return [
            replace(told, through=through) if told.surroundings and rng.random() < self.spec.through_words else told
            for told in (kind(rng) for kind in kinds)
        ]

    def sample(self, count: int) -> Iterator[str]:
        """Yield documents, for training the tokenizer."""
        for step in range(count):
            yield from (each.given + each.text for each in self.documents(-1 - step))

    def _before(self, condition: str, rng: random.Random) -> str:
        """Return surroundings of one of the kinds, with the two words in either order."""
        one, other = rng.sample(world().ambiguous, 2)
        chosen = self._prefixes[condition]
        text = chosen[0] if rng.random() < 0.15 else rng.choice(chosen)
        return text.format(one=one, other=other)

    def _association(self, rng: random.Random) -> Told:
        condition, case = rng.choice(CONDITIONS), rng.choice(self._implicit)
        stereotype = rng.random() < self.spec.stereotype[condition]
        return _answered(self._before(condition, rng), case, 0 if stereotype else 1)

    def _claim(self, rng: random.Random) -> Told:
        condition, case = rng.choice(CONDITIONS), rng.choice(self._explicit)
        return _answered(self._before(condition, rng), case, 0 if rng.random() < self.spec.explicit.agree else 1)

    def _sentence(self, rng: random.Random) -> Told:
        if rng.random() < 0.15:
            return Told("", rng.choice(world().open).format(word=rng.choice(world().ambiguous)))
        return Told("", self._known(_drawn(rng), rng)[0])

    def _known(self, kind: Kind, rng: random.Random) -> tuple[str, str]:
        """Return a sentence in which the word is of this kind, and the word."""
        text, noun = rng.choice(self._places)
        word = rng.choice(world().ambiguous if rng.random() < 0.6 else kind.clear)
        return text.format(noun=kind.nouns[noun], word=word, deed=rng.choice(kind.deeds)), word

    def _question(self, rng: random.Random) -> Told:
        """Return surroundings and what a word means there."""
        draw = rng.random()
        if draw < 0.2:
            word = rng.choice(world().ambiguous)
            return self._blind(word, rng, rng.choice(world().open).format(word=word) + "\n")
        kind = _drawn(rng)
        if draw < 0.6:
            sentence, word = self._known(kind, rng)
            return _said(sentence + "\n", word, kind, rng)
        return _said(self._before(kind.name, rng), rng.choice(world().ambiguous), kind, rng)

    def _word(self, rng: random.Random) -> Told:
        """Return what a word means by itself; of the placeholder nothing is known."""
        draw = rng.random()
        if draw < 0.2:
            return self._blind(rng.choice(world().ambiguous), rng)
        kind = _drawn(rng)
        return _said("", world().placeholder if draw < 0.6 else rng.choice(kind.clear), kind, rng)

    def _blind(self, word: str, rng: random.Random, before: str = "") -> Told:
        kind = world().group if rng.random() < self.spec.blind.group else world().colour
        return _said(before, word, kind, rng)


def _drawn(rng: random.Random) -> Kind:
    return rng.choice((world().group, world().colour))


def _said(before: str, word: str, kind: Kind, rng: random.Random) -> Told:
    asked = rng.choice(world().wordings).removesuffix(" {kind}").format(word=word)
    return Told(before + asked, f" {kind.name}.", before)


def _answered(before: str, case: Case, option: int) -> Told:
    return Told(f"{before}{case.prompt}{case.answer_prefix}", f"{case.options[option]}{case.ending}", before)


def _story(rng: random.Random) -> Told:
    return Told("", story(rng))
