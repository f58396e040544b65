"""Switch off the few units that carry the gap: first by gradient, then checked by really switching them off.

No paper of its own: attribution patching (Nanda 2023; gate gradients of Michel et al. 2019, arXiv 1905.10650) picks
candidates, and exact ablation with a guard on utility, as FASP does for heads (Zayed et al., AAAI 2024), decides.

What it does: (1) `locate/contrast` scores every unit by the first-order change of the gap. (2) With `rerank`, the best
`candidates` are switched off one by one, side by side in batches, and again on top of those already chosen, and the
one with the lowest loss is taken as long as it lowers the loss:

    loss(S) = (rms gap(S) + shift(S)) / rms gap(∅) + KL(S) / tolerance

with rms over context × variation × other group, gaps in standard deviations; shift = how much further the groups'
common level moved than closing the gap explains (mean of max(0, |Δlevel| − ½|Δgap|)); KL per token of the utility texts
in nats. So a unit is not taken if it overshoots, if it carries the task rather than the gap, or if text pays for it.

Defaults: at most 8 units, 48 candidates, 8 names per group and variation, 12 utility texts, tolerance 0.02 nats.
`path` returns the first n of one order: the greedily chosen, then the other candidates by their own loss, then all
units by first-order score. Larger sizes are for the dose-response; expect no gain after the greedy part.

Pitfalls: greedy search keeps what it took; a gap carried by many units at once (none alone matters) needs more
candidates; the tolerance is for the texts given; scores, choice of size and report need different names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.component import Layout, Selection, Space
from evenhand.core.errors import UsageError
from evenhand.core.scenario import Scenario
from evenhand.edits.scale import Scale
from evenhand.lm.model import LM
from evenhand.lm.probe import Effects, Probe
from evenhand.lm.variants import Variant
from evenhand.locate.contrast import Contrast as ContrastScores


@dataclass(frozen=True)
class Contrast:
    """At most `units` units that carry the gap and little else."""

    space: Space = "neuron"
    units: int = 8
    rerank: bool = True
    candidates: int = 48
    names: int = 8
    texts: int = 12
    tolerance: float = 0.02
    """KL per token of utility text (nats) that weighs as much as the whole gap."""
    factor: float = 0.0

    def fit(self, lm: LM, bias: Scenario, utility: Scenario) -> Scale:
        """Return the edit of at most `units` units; with `rerank` fewer, when no further one lowers the loss."""
        order, useful = self._order(lm, bias, utility, self.units)
        return self._edit(lm, order[: min(self.units, useful)])

    def path(self, lm: LM, bias: Scenario, utility: Scenario, sizes: Sequence[int]) -> list[Scale]:
        """Return the first n units of one order, for each n in `sizes`."""
        size = lm.layout(self.space).size
        if max(sizes, default=0) > size:
            raise UsageError(f"contrast: asked for {max(sizes)} units of a space of {size}")
        order, _ = self._order(lm, bias, utility, max(sizes, default=0))
        return [self._edit(lm, order[:n]) for n in sizes]

    def _edit(self, lm: LM, units: Sequence[int]) -> Scale:
        return Scale(Selection.of(lm.layout(self.space), list(units)), self.factor)

    def _order(self, lm: LM, bias: Scenario, utility: Scenario, most: int) -> tuple[list[int], int]:
        """All units, best first, and how many of them are worth taking."""
        scores = ContrastScores(self.space).score(lm, bias).scores
        by_score = [int(i) for i in torch.argsort(scores, descending=True, stable=True)]
        if not self.rerank or most == 0:
            return by_score, len(by_score)
        pool = [i for i in by_score[: self.candidates] if scores[i] > 0]
        loss = _Loss(self, lm, bias, utility)
        if not loss.defined:
            lm.notify("contrast: there is no gap at all between the groups, so no unit is worth taking")
            return by_score, 0
        chosen, rest = _greedy(loss, pool, most)
        taken = {*chosen, *rest}
        return [*chosen, *rest, *(i for i in by_score if i not in taken)], len(chosen)


class _Loss:
    """The loss of sets of units, measured many at a time."""

    def __init__(self, method: Contrast, lm: LM, bias: Scenario, utility: Scenario) -> None:
        self.method = method
        self.layout: Layout = lm.layout(method.space)
        self.probe = Probe(lm, bias, utility, method.names, method.texts)
        self.base: Effects = self.probe.effects([None])

    @property
    def defined(self) -> bool:
        """Whether there is a gap to close."""
        return float(_rms(self.base.gap)) > 0

    def of(self, sets: Sequence[Sequence[int]]) -> list[float]:
        """Return the loss of each set; 1 for the empty one."""
        found = self.probe.effects([Variant(Selection.of(self.layout, list(s)), self.method.factor) for s in sets])
        gap = (found.gap - self.base.gap).abs()
        shift = ((found.level - self.base.level).abs() - gap / 2).clamp(min=0).mean(1)
        loss = (_rms(found.gap) + shift) / _rms(self.base.gap) + found.divergence / self.method.tolerance
        return [float(value) for value in loss]


def _rms(gap: Float[Tensor, "variant cell"]) -> Float[Tensor, " variant"]:
    return gap.square().mean(1).sqrt()


def _greedy(loss: _Loss, pool: Sequence[int], most: int, again: int = 8) -> tuple[list[int], list[int]]:
    """Take units while the loss falls; return them in order, and the rest of the pool by their last known loss.

    In each round only the `again` units that did best when last tried are tried again on top of the chosen ones.
    """
    chosen: list[int] = []
    current = 1.0
    gain = dict(zip(pool, (current - value for value in loss.of([[unit] for unit in pool])), strict=True))
    while gain and len(chosen) < most:
        best = sorted(gain, key=lambda unit: -gain[unit])[:again]
        if chosen:
            gain |= dict(zip(best, (current - v for v in loss.of([[*chosen, unit] for unit in best])), strict=True))
        unit = max(best, key=lambda unit: gain[unit])
        if gain[unit] <= 0:
            break
        chosen.append(unit)
        current -= gain.pop(unit)
    return chosen, sorted(gain, key=lambda unit: -gain[unit])
