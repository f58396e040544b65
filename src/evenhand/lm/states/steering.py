"""Vectors to steer along: how the residual stream differs between the two sides of a contrast, per layer.

`mean`: the mean of the differences. `pca`: their first principal component, not centred (centring would take out the
very mean that is looked for), its sign that of most differences, as long as the differences are along it on average: a
sign left to the decomposition would be random. Both are in the stream's own units, so that layers whose streams differ
in size are steered alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.errors import UsageError
from evenhand.core.scenario import Scenario
from evenhand.lm.attribution.objective import cells
from evenhand.lm.attribution.probe import spread
from evenhand.lm.model import LM
from evenhand.lm.states.occurrences import occurrence_of
from evenhand.lm.states.residual import capture
from evenhand.lm.tokens import encode_all, render

Reduce = Literal["mean", "pca"]


@dataclass(frozen=True, eq=False)
class Direction:
    """What tells two sides apart, per layer; float32 on the CPU."""

    layers: tuple[int, ...]
    vectors: Float[Tensor, "layer d"]
    """From the second side to the first."""
    centres: Float[Tensor, "layer d"]
    """Half-way between the mean streams of the two sides."""
    firsts: Float[Tensor, "layer d"]
    """Mean stream of the first side."""
    stream: Float[Tensor, " layer"]
    """Mean length of the streams they were taken from."""
    agree: Float[Tensor, " layer"]
    """Share of the differences that point along the vector; 0.5 by chance."""

    def told(self) -> str:
        """Say per layer how long the vector is, beside the stream, and how many differences agree with it."""
        parts = zip(self.layers, self.vectors.square().sum(1).sqrt(), self.stream, self.agree, strict=True)
        return "; ".join(
            f"layer {layer}: {float(norm):.3g} of a stream of {float(stream):.3g}, {float(agree):.0%} agree"
            for layer, norm, stream, agree in parts
        )


def between_texts(
    lm: LM, pairs: Sequence[tuple[str, str]], layers: Sequence[int], reduce: Reduce = "mean", word: str = ""
) -> Direction:
    """Return what tells the first texts of some pairs from the second ones, at the last token or at a word's last one.

    Texts are read as prompts are. Of a word that stands there several times the last occurrence counts. Raises
    UsageError without pairs or layers, and for a text without the word.
    """
    if not pairs:
        raise UsageError("there are no texts to contrast; give at least one pair")
    states = _states(lm, [text for pair in pairs for text in pair], layers, word)
    return _direction(layers, states[0::2], states[1::2], reduce)


def between_groups(
    lm: LM, scenario: Scenario, layers: Sequence[int], reduce: Reduce = "mean", names: int = 16
) -> Direction:
    """Return what tells prompts about the first group from those about the others, at the last token.

    Every context × variation × other group counts the same; of each group there at most `names` prompts are read.
    Raises UsageError without layers, and where a variation lacks a group.
    """
    first: list[Tensor] = []
    second: list[Tensor] = []
    for ours, theirs in _sides(lm, scenario, names):
        states = _states(lm, [*ours, *theirs], layers)
        mine, others = states[: len(ours)], states[len(ours) :]
        if reduce == "mean":
            mine, others = mine.mean(0, keepdim=True), others.mean(0, keepdim=True)
        n = min(len(mine), len(others))
        first.append(mine[:n])
        second.append(others[:n])
    return _direction(layers, torch.cat(first), torch.cat(second), reduce)


def _sides(lm: LM, scenario: Scenario, names: int) -> Iterator[tuple[list[str], list[str]]]:
    """The rendered prompts of the reference and of each other group, variation by variation."""
    for part in cells(scenario):
        by_group: dict[str, list[str]] = {}
        for case in part.cases:
            by_group.setdefault(case.group, []).append(render(lm, case))
        ours = spread(by_group.pop(part.groups[0]), names)
        for theirs in by_group.values():
            yield ours, spread(theirs, names)


def _states(lm: LM, texts: Sequence[str], layers: Sequence[int], word: str = "") -> Float[Tensor, "text layer d"]:
    if not layers:
        raise UsageError("there are no layers to take a vector from; give at least one")
    encoded = encode_all(lm, texts)
    if empty := [text for text, each in zip(texts, encoded, strict=True) if not each.ids]:
        raise UsageError(f"the text {empty[0]!r} has no tokens, so it has no state to read; write one")
    places = [
        occurrence_of(text, each, word).last if word else len(each.ids) - 1
        for text, each in zip(texts, encoded, strict=True)
    ]
    return torch.cat(capture(lm, [each.ids for each in encoded], [[place] for place in places], layers))


def _direction(
    layers: Sequence[int], first: Float[Tensor, "pair layer d"], second: Float[Tensor, "pair layer d"], reduce: Reduce
) -> Direction:
    differences = first - second
    mean = differences.mean(0)
    vectors = mean if reduce == "mean" else torch.stack([_component(each) for each in differences.unbind(1)])
    agree = (torch.einsum("pld,ld->pl", differences, vectors) > 0).float().mean(0)
    both = torch.cat([first, second])
    return Direction(
        tuple(layers), vectors, (first.mean(0) + second.mean(0)) / 2, first.mean(0),
        both.square().sum(-1).sqrt().mean(0), agree,
    )  # fmt: skip


def _component(differences: Float[Tensor, "pair d"]) -> Float[Tensor, " d"]:
    """The first principal component, as long as the differences are along it on average, pointing as most of them."""
    unit = cast("Tensor", torch.linalg.svd(differences.double(), full_matrices=False)[2])[0]
    along = differences.double() @ unit
    positive, negative = int((along > 0).sum()), int((along < 0).sum())
    sign = 1.0 if (positive, float(along.sum())) >= (negative, 0.0) else -1.0
    return (sign * along.abs().mean() * unit).float()
