"""The states of the words that a reading reads, with random vectors beside them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Case
from evenhand.core.represented import RANDOM
from evenhand.lm.model import LM
from evenhand.lm.states.places import Place, place_of
from evenhand.lm.states.residual import capture
from evenhand.study.concepts import ReadingFile


@dataclass(frozen=True, eq=False)
class Read:
    """The states of every prompt, random ones behind them."""

    cases: tuple[Case, ...]
    """Group: the series; cluster: the text; name: the word."""
    places: tuple[Place, ...]
    states: Float[Tensor, "case layer d"]
    layers: tuple[int, ...]
    targets: tuple[int, ...]

    @property
    def real(self) -> int:
        """How many of the cases are prompts; the others are random vectors."""
        return len(self.places)


def read_words(lm: LM, reading: ReadingFile, layers: tuple[int, ...], targets: tuple[int, ...]) -> Read:
    """Find every word and take its states; random vectors have the norms of those of the first series."""
    cases: list[Case] = []
    places: list[Place] = []
    for series in reading.series:
        for prompt in series.prompts:
            for text, word in prompt.written():
                case = Case(f"{series.name} {len(cases)}", text, "reading", group=series.name, name=word,
                            cluster=f"{series.name}: {prompt.text}")  # fmt: skip
                cases.append(case)
                places.append(place_of(lm, case, word, prompt.occurrence))
    states = torch.cat(capture(lm, [p.ids for p in places], [[p.position] for p in places], layers))
    generator = torch.Generator().manual_seed(reading.seed)
    few = [i for i, case in enumerate(cases) if case.group == reading.series[0].name]
    real = states[few]
    noise = [torch.randn(real.shape, generator=generator) for _ in range(reading.draws)]
    drawn = [each * (real.square().sum(-1) / each.square().sum(-1)).sqrt()[..., None] for each in noise]
    for draw in range(reading.draws):
        cases += [Case(f"random {draw} {i}", cases[i].prompt, "reading", group=RANDOM, cluster=cases[i].cluster,
                       name=cases[i].name) for i in few]  # fmt: skip
    return Read(tuple(cases), tuple(places), torch.cat([states, *drawn]), layers, targets)
