"""Records of edited units: the words each writes, what drives it, and what it does alone."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.component import Layout, Selection
from evenhand.core.explained import RANDOM_UNITS, AnswerEffect, GapEffect, GroupEffect, UnitRecord
from evenhand.lm.attribution.probe import Probe, spread
from evenhand.lm.attribution.promote import promoted
from evenhand.lm.batches.variants import Variant
from evenhand.lm.model import LM
from evenhand.lm.scoring.forward import score_options
from evenhand.lm.scoring.texts import score_texts
from evenhand.study.driven import driven
from evenhand.study.ground import Ground
from evenhand.study.readings import labelled
from evenhand.study.right_answers import answer_effects

_AT_ONCE = 32
"""Variants measured in one go: their scores are held until the last of them is done."""


@dataclass(frozen=True)
class Explained:
    """Units, and what their numbers are to be set against (see `Explanation`)."""

    units: tuple[UnitRecord, ...] = ()
    first: float = math.nan
    delimiters: float = math.nan
    random_units: int = 0
    random_change: float = math.nan
    random_answer: float = math.nan
    random_divergence: float = math.nan


@dataclass(frozen=True, eq=False)
class Alone:
    """What each of several variants does."""

    effects: tuple[tuple[GapEffect, ...], ...]
    divergence: tuple[float, ...]
    outcomes: tuple[tuple[GroupEffect, ...], ...] = ()
    """Empty where there is no gap, or where none was asked for."""
    answers: tuple[tuple[AnswerEffect, ...], ...] = ()
    """What each does to the right answers; empty where a gap is measured, or without such questions."""

    def change(self, variant: int) -> float:
        """Mean change of the size of the gaps under a variant; NaN where there is no gap."""
        return mean([effect.change for effect in self.effects[variant]])

    def answer(self, variant: int) -> float:
        """Mean change of the right answers' log-probability under a variant; NaN without such questions."""
        return mean([effect.change for effect in self.answers[variant]])


def addresses(selection: Selection, order: Mapping[int, int], shown: int) -> list[int]:
    """Return the first `shown` selected units by `order` (address → rank); those without a rank count as first."""
    return sorted((int(unit) for unit in selection.units), key=lambda unit: (order.get(unit, 0), unit))[:shown]


def named(lm: LM, layout: Layout, units: Sequence[int]) -> list[UnitRecord]:
    """Return these units with the words they write, in the order given."""
    found = Selection.of(layout, list(units))
    ascending = [int(unit) for unit in found.units]
    called = matrix_names(layout)
    records = [
        UnitRecord(path=each.site.path, layer=each.site.layer, stack=each.site.stack, unit=each.unit,
                   matrix=called[each.site.path], promotes=each.promotes, suppresses=each.suppresses)
        for each in promoted(lm, found)
    ]  # fmt: skip
    at = dict(zip(ascending, records, strict=True))
    return [at[unit] for unit in units]


def matrix_names(layout: Layout) -> dict[str, str]:
    """Return path → its last parts (two or more), as many as no other matrix of the layer ends with.

    Empty for the only matrix of a layer.
    """
    layers: dict[tuple[str, int], list[str]] = {}
    for site in layout.sites:
        layers.setdefault((site.stack, site.layer), []).append(site.path)
    return {path: _ending(path, paths) if len(paths) > 1 else "" for paths in layers.values() for path in paths}


def _ending(path: str, paths: Sequence[str]) -> str:
    parts = path.split(".")
    for count in range(2, len(parts)):
        ending = ".".join(parts[-count:])
        if sum(f".{each}".endswith(f".{ending}") for each in paths) == 1:
            return ending
    return path


def explained(ground: Ground, layout: Layout, units: Sequence[int], factor: float) -> Explained:
    """Return these units, in the order given, with all that can be said about each, beside random units.

    `factor` is what the edit multiplies them by. Not for single weights. What units do alone is measured exactly, on at
    most `depth.names` names of each group and variation; the random ones lie in the same layers.
    """
    if not units:
        return Explained()
    chosen = sorted(units)
    random = _beside(layout, chosen)
    found = alone(ground, [Variant(Selection.of(layout, [unit]), factor) for unit in (*chosen, *random)])
    on, k = driven(ground, Selection.of(layout, chosen)), len(chosen)
    records = [
        record.model_copy(update={**fields, "effects": found.effects[i], "outcomes": found.outcomes[i],
                                  "answers": found.answers[i], "divergence": found.divergence[i]})
        for i, (record, fields) in enumerate(zip(named(ground.lm, layout, chosen), on.fields, strict=True))
    ]  # fmt: skip
    at = dict(zip(chosen, records, strict=True))
    return Explained(
        tuple(at[unit] for unit in units), on.first, on.delimiters, len(random),
        max((abs(found.change(k + i)) for i in range(len(random))), default=math.nan),
        max((abs(found.answer(k + i)) for i in range(len(random))), default=math.nan),
        max(found.divergence[k:], default=math.nan),
    )  # fmt: skip


def _beside(layout: Layout, chosen: Sequence[int]) -> list[int]:
    """Random units other than the chosen ones, in the matrices of these in turn until they are RANDOM_UNITS."""
    generator, starts = torch.Generator().manual_seed(len(chosen)), layout.starts()
    turns = islice(cycle(spread(chosen, RANDOM_UNITS)), RANDOM_UNITS)
    drawn: list[int] = []
    for at, count in sorted(Counter(bisect_right(starts, unit) - 1 for unit in turns).items()):
        others = sorted(set(range(starts[at], starts[at] + layout.sites[at].units)) - set(chosen))
        drawn += [others[int(i)] for i in torch.randperm(len(others), generator=generator)[:count]]
    return drawn


def alone(ground: Ground, variants: Sequence[Variant]) -> Alone:
    """Return what each variant does to every gap (mean over variations) or right answer, and to neutral text."""
    probe, none = ground.probe, ((),) * len(variants)
    if probe is None:
        return Alone(none, _divergence(ground, variants), none, _answers(ground, variants))
    effects: list[tuple[GapEffect, ...]] = []
    outcomes: list[tuple[GroupEffect, ...]] = []
    divergence: list[float] = []
    for start in range(0, len(variants), _AT_ONCE):
        few = variants[start : start + _AT_ONCE]
        found = probe.effects([None, *few])
        effects += [gap_effects(probe, found.gap[0], row) for row in found.gap[1:]]
        gaps, levels = found.gap[1:] - found.gap[0], found.level[1:] - found.level[0]
        outcomes += [_outcomes(ground, probe, *each) for each in zip(gaps, levels, strict=True)]
        divergence += [float(kl) if probe.texts else math.nan for kl in found.divergence[1:]]
        ground.progress("what units do alone", min(start + _AT_ONCE, len(variants)), len(variants))
    return Alone(tuple(effects), tuple(divergence), tuple(outcomes), none)


def _answers(ground: Ground, variants: Sequence[Variant]) -> tuple[tuple[AnswerEffect, ...], ...]:
    if not ground.questions:
        return ((),) * len(variants)
    progress = labelled(ground.progress, "right answers")
    before, *each = score_options(ground.lm, ground.questions, [None, *variants], progress)
    return tuple(answer_effects(ground.questions, before, after) for after in each)


def _divergence(ground: Ground, variants: Sequence[Variant]) -> tuple[float, ...]:
    """KL of each variant per token of the neutral texts; NaN without a text."""
    texts = spread([case.prompt for case in ground.texts.cases if not case.options], ground.depth.texts)
    if not texts:
        return (math.nan,) * len(variants)
    return tuple(float(one.kl.sum() / one.tokens.sum()) for one in score_texts(ground.lm, texts, variants))


def gap_effects(probe: Probe, before: Float[Tensor, " cell"], after: Float[Tensor, " cell"]) -> tuple[GapEffect, ...]:
    """Return the mean gaps over the variations of a context, before and after."""
    pairs: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for (context, _, other), a, b in zip(probe.places, before, after, strict=True):
        pairs.setdefault((context, other), []).append((float(a), float(b)))
    return tuple(
        GapEffect(context=context, other=other, before=mean([a for a, _ in few]), after=mean([b for _, b in few]))
        for (context, other), few in pairs.items()
    )


def _outcomes(
    ground: Ground, probe: Probe, gaps: Float[Tensor, " cell"], levels: Float[Tensor, " cell"]
) -> tuple[GroupEffect, ...]:
    """Mean changes of the groups' outcomes over the variations of a context, from those of gaps and levels."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for (context, variation, other), gap, level in zip(probe.places, gaps, levels, strict=True):
        for group, half in ((ground.bias.groups[0], gap / 2), (other, -gap / 2)):
            found.setdefault((context, group), {})[variation] = float(level + half)
    return tuple(
        GroupEffect(context=context, group=group, change=mean([*each.values()]))
        for (context, group), each in found.items()
    )


def mean(values: Sequence[float]) -> float:
    """Return the mean of the defined values; NaN without one."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
