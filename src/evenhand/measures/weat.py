"""Word Embedding Association Test: which of two sets of target words lies closer to which set of attribute words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.declared import Facts
from evenhand.core.errors import UsageError
from evenhand.core.level import Level
from evenhand.core.readout import Readout

SIDES = ("target_x", "target_y", "attribute_a", "attribute_b")


@dataclass(frozen=True)
class Weat(Level):
    """Effect size d of Caliskan, Bryson and Narayanan (2017): how far targets X, more than Y, lie towards A, not B.

    With s(w) = mean over a in A of cos(w, a) − mean over b in B of cos(w, b), d = (mean of s over X − mean over Y) /
    standard deviation of s over all targets, from −2 to 2 for sets of equal size; positive: X with A. `difference` is
    the numerator alone: d says how well s separates the sets, also where all cosines are nearly the same.

    `permutation_p` is the share of all partitions of the targets into sets of these sizes whose difference is at least
    the observed one: one-sided, never 0. Caliskan et al. compare sums, which order partitions in the same way.

    Intervals resample target words (each set by itself, where `Case.group` names the set); the attribute words are
    fixed: their cases carry no statistics, though they count in n. What the p of a resampled set varies by says only
    how much hangs on single words. (wefe 1.0.1 draws its "permutations" with replacement, so its p is another.)
    Undefined with fewer than two words in a set, with equal s everywhere, without attributes, and for several tests
    (fact `test`) put together: they make no one number.
    """

    ddof: Literal[0, 1] = 0
    """Of the standard deviation, which the paper leaves open: 0 as wefe, 1 as sent-bias (SEAT); with n targets the
    latter's d is smaller by √((n − 1) / n)."""
    strict: bool = False
    """Count only partitions with a larger difference, as the paper writes; False: also ties, as sent-bias."""
    exact: Annotated[int, Field(ge=1)] = 20_000
    """Most partitions that are all looked at (12,870 for two sets of 8); of more, `samples` are drawn."""
    samples: Annotated[int, Field(ge=1)] = 10_000
    """Random partitions, to which the observed one is added."""
    seed: Annotated[int, Field(ge=0)] = 0

    kinds: ClassVar[tuple[Outcome, ...]] = ("embedding",)
    headline: ClassVar[tuple[str, ...]] = ("value", "permutation_p")
    neutral: ClassVar[float] = 0.0
    neutrals: ClassVar[Mapping[str, float]] = {"value": 0.0, "difference": 0.0}
    range: ClassVar[tuple[float, float] | None] = (-2.0, 2.0)
    facts: ClassVar[Facts] = {"side": SIDES, "test": ("a test",)}

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return for each target word its side, s, what the deviation needs, and s under every partition's signs."""
        association, member = associations(readout)
        known = ~association.isnan()
        order = sorted(range(len(readout)), key=lambda i: readout.cases[i].id)
        chosen = torch.tensor([i for i in order if known[i] and bool(member[i, :2].any())], dtype=torch.long)
        s, of_x = association[chosen], member[chosen, 0]
        centred = s - s.mean()
        signed = _signed(torch.cat([of_x[None], self.partitions(of_x)]), centred)
        own = [of_x, ~of_x, s * of_x, s * ~of_x, centred, centred**2, signed[:, 0].abs()]
        stats = torch.zeros(len(readout), len(own) + signed.shape[1], dtype=torch.float64)
        stats[chosen] = torch.cat([torch.stack([column.double() for column in own], dim=1), signed], dim=1)
        stats[~known] = torch.nan
        return stats

    def combine(
        self, stats: Float[Tensor, "case stat"], weights: Float[Tensor, "*boot case"]
    ) -> dict[str, Float[Tensor, "*boot"]]:
        """Return `value` (d), `difference` (of mean cosines) and `permutation_p`."""
        summed = weights @ stats
        x, y, of_x, of_y, first, second, size = summed[..., :7].unbind(-1)
        observed, all_ = summed[..., 7:8], summed[..., 8:]
        difference = of_x / x - of_y / y
        spread = second - first**2 / (x + y)
        # Cosines are at most 1: a standard deviation below 1e-12 is what rounding leaves of equal associations.
        defined = (x >= 2) & (y >= 2) & (spread > 1e-24 * (x + y))
        margin = 1e-9 * size[..., None]
        reached = all_ > observed + margin if self.strict else all_ >= observed - margin
        found = {
            "value": difference / (spread / (x + y - self.ddof)).sqrt(),
            "difference": difference,
            "permutation_p": reached.sum(-1).double() / reached.shape[-1],
        }
        return {key: torch.where(defined, value, torch.nan) for key, value in found.items()}

    def partitions(self, observed: Bool[Tensor, " target"]) -> Bool[Tensor, "partition target"]:
        """Return which targets are in the first set: in all partitions, or in the observed one and random ones."""
        n, first = len(observed), int(observed.sum())
        count = math.comb(n, first)
        if count <= self.exact:
            flat = np.fromiter(chain.from_iterable(combinations(range(n), first)), dtype=np.int64, count=count * first)
            return _chosen(torch.from_numpy(flat.reshape(count, first)), n)
        draw = torch.Generator().manual_seed(self.seed)
        uniform = torch.rand(self.samples, n, generator=draw).numpy()
        picks = torch.from_numpy(np.argpartition(uniform, first, axis=1)[:, :first])
        return torch.cat([observed[None], _chosen(picks, n)])


def associations(readout: Readout) -> tuple[Float[Tensor, " case"], Bool[Tensor, "case side"]]:
    """Return s of every case, NaN where it has no vector, no attributes or other tests beside, and its side."""
    sides = [[case.fact("side") == side for side in SIDES] for case in readout.cases]
    member = torch.tensor(sides, dtype=torch.bool).reshape(-1, len(SIDES))
    if not bool(member.any(dim=1).all()):
        case = readout.cases[int(member.any(dim=1).long().argmin())]
        raise UsageError(f"case {case.id!r}: its side is one of {', '.join(SIDES)}, not {case.fact('side')!r}")
    vectors = readout.arrays["vector"].double()
    length = (vectors**2).sum(dim=1).sqrt()
    known = readout.defined & length.isfinite() & (length > 0) & (len({c.fact("test") for c in readout.cases}) < 2)
    unit = torch.where(known[:, None], vectors / length[:, None], 0.0)
    a, b = ((member[:, side] & known).double() for side in (2, 3))
    # The mean of cosines is the cosine with the mean of unit vectors, times its length.
    towards = (a @ unit) / a.sum() - (b @ unit) / b.sum()
    return (unit @ towards).masked_fill(~known, torch.nan), member


def _chosen(picks: Int[Tensor, "partition first"], n: int) -> Bool[Tensor, "partition target"]:
    return torch.zeros(len(picks), n, dtype=torch.bool).scatter_(1, picks, True)


def _signed(in_x: Bool[Tensor, "partition target"], s: Float[Tensor, " target"]) -> Float[Tensor, "target partition"]:
    """Return s / |X| of the first set's words and −s / |Y| of the others, whose sum is the difference of means."""
    x = max(1, int(in_x[0].sum()))
    y = max(1, len(s) - x)
    return torch.where(in_x.T, s[:, None] / x, -s[:, None] / y)
