"""A few numbers, as texts, that stand for the whole distribution of what a model answers in one use case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.numeral import START, Ended, State, advance
from evenhand.lm.attribution.rows import decoder_ids
from evenhand.lm.batches.prefix import Prefix
from evenhand.lm.generation.numbers import exact
from evenhand.lm.generation.numeral_tree import Limits
from evenhand.lm.model import LM
from evenhand.lm.scoring.forward import score_options
from evenhand.lm.tokens import continuations, encode, render
from evenhand.lm.vocabulary import vocabulary

MOST_ANSWERS = 8
_LIMITS = Limits(open_share=0.05, nodes=96)
_LEADS = ("", " ", "$", " $")


@dataclass(frozen=True)
class NumberAnswers:
    """At most eight answers that stand for a distribution of numbers: texts, their share, standardised value, end."""

    texts: tuple[str, ...]
    share: tuple[float, ...]
    z: tuple[float, ...]
    """Mean standardised value of the numbers each answer stands for; Σ share · z = 0."""
    ends: tuple[int, ...]
    """The token that most likely follows, which ends the numeral: 12 is not the beginning of 125."""


def number_answers(lm: LM, cases: Sequence[Case]) -> NumberAnswers:
    """Return the answers that stand for what the model says to these cases, pooled with equal weight per group.

    Values are cut into at most eight bins of equal mass; each bin is represented by its likeliest value, spelt the way
    the model is likeliest to spell numbers here. Raises CannotRun when the model answers none of them with a number, or
    always with the same.
    """
    groups = [case.group for case in cases]
    found = exact(lm, [encode(lm, render(lm, case)).ids for case in cases], limits=_LIMITS)
    pooled: dict[float, float] = {}
    for group, numbers in zip(groups, found, strict=True):
        for value, part in zip(numbers.values, numbers.masses, strict=True):
            pooled[float(value)] = pooled.get(float(value), 0.0) + float(part) / groups.count(group)
    ordered = sorted(pooled)
    values = torch.tensor(ordered, dtype=torch.float64)
    mass = torch.tensor([pooled[value] for value in ordered], dtype=torch.float64)
    where = f"context {cases[0].context!r}, variation {cases[0].variation!r}"
    if not len(values) or float(mass.sum()) <= 0:
        raise CannotRun(f"{where}: the model answers none of the prompts with a number, so nothing can be contrasted")
    share = mass / mass.sum()
    mean = (share * values).sum()
    sd = (share * (values - mean).square()).sum().sqrt()
    if not float(sd) > 0:
        raise CannotRun(
            f"{where}: the model always answers with the number {values[0]:g}, so nothing can be contrasted"
        )
    chosen, bin_share, bin_z = _bins(share, (values - mean) / sd)
    numbers = [float(values[i]) for i in chosen]
    texts = _spelt(lm, cases, numbers)
    return NumberAnswers(texts, bin_share, bin_z, tuple(_end(lm, cases[0], text) for text in texts))


def _bins(
    share: Float[Tensor, " value"], z: Float[Tensor, " value"]
) -> tuple[list[int], tuple[float, ...], tuple[float, ...]]:
    """Likeliest value, mass and mean z of each of at most eight bins of about equal mass; `z` ascending."""
    if len(share) <= MOST_ANSWERS:
        return list(range(len(share))), tuple(map(float, share)), tuple(map(float, z))
    middle = share.cumsum(0) - share / 2
    bins = (middle * MOST_ANSWERS).long().clamp(max=MOST_ANSWERS - 1)
    members = [found for b in range(MOST_ANSWERS) if len(found := (bins == b).nonzero().flatten())]
    chosen = [int(m[share[m].argmax()]) for m in members]
    masses = [float(share[m].sum()) for m in members]
    means = [float((share[m] * z[m]).sum()) / mass for m, mass in zip(members, masses, strict=True)]
    return chosen, tuple(masses), tuple(means)


def _spelt(lm: LM, cases: Sequence[Case], values: Sequence[float]) -> tuple[str, ...]:
    """Spell the values in the one way (lead, thousands' commas) that the model finds likeliest for all of them."""
    plain = [f"{value:.10f}".rstrip("0").rstrip(".") for value in values]
    commas = [f"{int(value):,}{text[len(str(int(value))) :]}" for value, text in zip(values, plain, strict=True)]
    ways = [tuple(lead + text for text in form) for form in (plain, commas) for lead in _LEADS]
    ways = [way for way in dict.fromkeys(ways) if all(_spellable(lm, cases[0], text) for text in way)]
    if not ways:
        raise CannotRun(f"the tokenizer of {lm.identity.source} cannot spell {plain[0]!r} after this prompt")
    some = list({case.group: case for case in cases}.values())
    flat = tuple(text for way in ways for text in way)
    logp = torch.stack(score_options(lm, [replace(case, options=flat) for case in some])[0]).mean(0)
    best = int(logp.reshape(len(ways), len(values)).logsumexp(1).argmax())
    return ways[best]


def _spellable(lm: LM, case: Case, text: str) -> bool:
    try:
        continuations(lm, render(lm, case), [text])
    except UsageError:
        return False
    return True


def _end(lm: LM, case: Case, text: str) -> int:
    """Return the likeliest token after an answer that ends its numeral."""
    if lm.kind == "encoder-decoder":
        prompt, tail = encode(lm, render(lm, case)).ids, decoder_ids(lm, text)
    else:
        parts = continuations(lm, render(lm, case), [text])
        prompt, tail = parts.prefix, parts.tails[0]
    state, known = advance(START, text), vocabulary(lm)
    following = Prefix.open(lm, [prompt]).extend([0], [tail])[0]
    for token in map(int, following.argsort(descending=True)[:1000]):
        if token in known.ends or (isinstance(state, State) and isinstance(advance(state, known.texts[token]), Ended)):
            return token
    raise CannotRun(f"after the number {text!r} the model's 1,000 likeliest tokens all continue it")
