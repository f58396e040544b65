"""What a model writes with the states of words in place of a word of a prompt, counted by what it speaks of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evenhand.core.case import Case
from evenhand.core.represented import FreeRow, FreeText
from evenhand.lm.model import LM
from evenhand.lm.states.interpret import written
from evenhand.lm.states.places import Place, place_of
from evenhand.study.concepts import FreeConfig, ReadingFile
from evenhand.study.parts import Parts
from evenhand.study.said import kind_of
from evenhand.study.word_states import Read


@dataclass(frozen=True)
class Free:
    """The prompt of the free reading, the layer that is written to, and what is written with nothing in place."""

    place: Place
    target: int
    tokens: int
    plain: str


def free_reading(lm: LM, free: FreeConfig, targets: Sequence[int]) -> Free:
    """Write with nothing in place: what does not fit the model is raised before the long work."""
    case = Case("free", free.prompt, "reading", answer_prefix=free.answer)
    place = place_of(lm, case, free.placeholder, free.occurrence)
    target = targets[0] if free.target is None else free.target
    return Free(place, target, free.tokens, written(lm, place, target, None, free.tokens)[0])


def free_texts(lm: LM, reading: ReadingFile, free: Free, read: Read, parts: Parts) -> dict[str, Any]:
    """What is written with every state in place, at one target layer; of the random vectors the first draw."""
    chosen = [
        *range(read.real),
        *(i for i in range(read.real, len(read.cases)) if read.cases[i].id.startswith("random 0 ")),
    ]
    said = [
        parts.of(f"free texts of {layer}",
                 lambda m=m: written(lm, free.place, free.target, read.states[chosen][:, m], free.tokens))
        for m, layer in enumerate(read.layers)
    ]  # fmt: skip
    texts: list[FreeText] = []
    for n, i in enumerate(chosen):
        for m, layer in enumerate(read.layers):
            text = said[m][n]
            texts.append(FreeText(series=read.cases[i].group, layer=layer, text=text,
                                  prompt=i if i < read.real else int(read.cases[i].id.split()[-1]),
                                  kind=kind_of(text, reading.concepts, free.plain)))  # fmt: skip
    counts: dict[tuple[str, int], Counter[str]] = {}
    for each in texts:
        counts.setdefault((each.series, each.layer), Counter())[each.kind] += 1
    rows = tuple(FreeRow(series=s, layer=layer, counts=dict(found)) for (s, layer), found in counts.items())
    return {"free_question": free.place.text, "free_target": free.target, "plain": free.plain, "free": rows,
            "texts": tuple(texts)}  # fmt: skip
