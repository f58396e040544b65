"""Switch off the few units that carry the gap: found by gradient, kept only if switching them off really helps.

No paper of its own: attribution patching (Nanda 2023; gate gradients of Michel et al. 2019, arXiv 1905.10650) proposes
units, and exact ablation with a guard on utility, as FASP does for heads (Zayed et al., AAAI 2024), disposes.

What it does: (1) `locate/contrast` scores every unit by the first-order change of the gap. (2) With `rerank`, each of
the best `candidates` is switched off alone, many side by side in a batch, and they are put in order of

    loss(S) = (rms gap(S) + shift(S)) / rms gap(∅) + 0.1 KL(S)/tolerance + max(0, KL(S)/tolerance − 1)     (1 for ∅)

with rms over context × variation × other group, gaps in standard deviations; shift = how much further the groups'
common level moved than the gap closed (mean of max(0, |Δlevel| − |Δgap|)); KL per token of the utility texts, in nats:
nearly free up to the tolerance, dear beyond it. (3) In that order each is switched off on top of those already taken,
and taken if the loss falls by `least`. So a unit is left alone if it overshoots, carries the task rather than the gap,
or if ordinary text pays for it.

Defaults: at most 16 units, 48 candidates, 6 names per group and variation, 8 utility texts, tolerance 0.02 nats, least
0.005. `path` returns the first n of one order: units taken; candidates that help alone but not on top; units never
tried, by first-order score; candidates that hurt. Expect no gain beyond the first part (it is for the dose-response).

Pitfalls: a gap carried by many units at once, none of which matters alone, needs more candidates; units that read the
group early in the model count as carriers too, and serve other contexts; scores, choice of size and report need
different names; in a choice context answered with near certainty the probability hardly moves, and one answered with
full certainty has no gap in standard deviations and is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from evenhand.core.component import Selection, Space
from evenhand.core.errors import UsageError
from evenhand.core.scenario import Scenario
from evenhand.edits.scale import Factor, Mechanism, Scale
from evenhand.lm.attribution.probe import Probe
from evenhand.lm.batches.variants import Variant
from evenhand.lm.model import LM
from evenhand.locate.contrast import Contrast as ContrastScores

Count = Annotated[int, Field(ge=1)]

_SLIGHT = 0.1
"""Weight of damage within the tolerance: of two units that do the same for the gap, the gentler one is better."""


@dataclass(frozen=True)
class Contrast:
    """At most `units` units that carry the gap and little else."""

    space: Space = "neuron"
    units: Count = 16
    rerank: bool = True
    candidates: Count = 48
    names: Count = 6
    texts: Count = 8
    tolerance: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.02
    """KL per token of utility text (nats) that is tolerated; twice as much weighs as much as the whole gap."""
    least: Annotated[float, Field(ge=0, le=1)] = 0.005
    """By how much of the whole gap a unit must lower the loss to be taken."""
    factor: Factor = 0.0
    mechanism: Mechanism = "weight"
    """`activation` where the model's weights are offloaded or quantised."""

    def fit(self, lm: LM, bias: Scenario, utility: Scenario) -> Scale:
        """Return the edit of at most `units` units; with `rerank` only those that were worth taking."""
        order, worth = self._order(lm, bias, utility)
        return self._edit(lm, order[: min(self.units, worth)])

    def path(self, lm: LM, bias: Scenario, utility: Scenario, sizes: Sequence[int]) -> list[Scale]:
        """Return the first n units of one order, for each n in `sizes`."""
        size = lm.layout(self.space).size
        if max(sizes, default=0) > size:
            raise UsageError(f"contrast: asked for {max(sizes)} units of a space of {size}")
        order, _ = self._order(lm, bias, utility)
        return [self._edit(lm, order[:n]) for n in sizes]

    def _edit(self, lm: LM, units: Sequence[int]) -> Scale:
        return Scale(Selection.of(lm.layout(self.space), list(units)), self.factor, self.mechanism)

    def _order(self, lm: LM, bias: Scenario, utility: Scenario) -> tuple[list[int], int]:
        """All units, best first, and how many of them are worth taking."""
        scores = ContrastScores(self.space).score(lm, bias).scores
        by_score = [int(unit) for unit in torch.argsort(scores, descending=True, stable=True)]
        if not self.rerank:
            return by_score, len(by_score)
        pool = [unit for unit in by_score[: self.candidates] if scores[unit] > 0]
        loss = Loss(self, lm, bias, utility)
        if undefined := int((~loss.known).sum()):
            lm.notify(
                f"contrast: {undefined} of {len(loss.known)} gaps are undefined and left out (every answer is certain, "
                "so there is no spread to measure them in)"
            )
        if not pool or not loss.gap > 0:
            lm.notify("contrast: there is no gap between the groups that could be closed, so no unit is worth taking")
            return by_score, 0
        taken, left, harmful = taking(loss, pool, self.least)
        tried = set(pool)
        return [*taken, *left, *(unit for unit in by_score if unit not in tried), *harmful], len(taken)


class Loss:
    """The loss of sets of units, measured many at a time by switching them off."""

    def __init__(self, method: Contrast, lm: LM, bias: Scenario, utility: Scenario) -> None:
        self.method = method
        self.layout = lm.layout(method.space)
        self.probe = Probe(lm, bias, utility, method.names, method.texts)
        self.base = self.probe.effects([None])
        self.known = self.base.gap[0].isfinite()
        """Per context × variation × other group whether it has a gap, in standard deviations, that could be closed."""
        self.gap = float(_rms(self.base.gap[:, self.known]))
        """Root mean square of those gaps; NaN without any."""

    def of(self, sets: Sequence[Sequence[int]]) -> list[float]:
        """Return the loss of each set."""
        found = self.probe.effects([Variant(Selection.of(self.layout, list(s)), self.method.factor) for s in sets])
        gap, level = found.gap[:, self.known], found.level[:, self.known]
        closed = (gap - self.base.gap[:, self.known]).abs()
        shift = ((level - self.base.level[:, self.known]).abs() - closed).clamp(min=0).mean(1)
        damage = found.divergence / self.method.tolerance
        loss = (_rms(gap) + shift) / self.gap + _SLIGHT * damage + (damage - 1).clamp(min=0)
        return [float(value) for value in loss]


def _rms(gap: Float[Tensor, "variant cell"]) -> Float[Tensor, " variant"]:
    return gap.square().mean(1).sqrt()


def taking(loss: Loss, pool: Sequence[int], least: float) -> tuple[list[int], list[int], list[int]]:
    """Return the units taken in order, those that help only alone, and those that do not help; each best first."""
    alone = dict(zip(pool, loss.of([[unit] for unit in pool]), strict=True))
    order = sorted(pool, key=lambda unit: alone[unit])
    taken: list[int] = []
    left: list[int] = []
    current = 1.0
    for unit in order:
        if alone[unit] > 1.0 - least:
            continue
        now = loss.of([[*taken, unit]])[0] if taken else alone[unit]
        if now <= current - least:
            taken.append(unit)
            current = now
        else:
            left.append(unit)
    return taken, left, [unit for unit in order if alone[unit] > 1.0 - least]
