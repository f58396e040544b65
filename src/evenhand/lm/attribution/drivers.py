"""What drives units: how active each is on which text, on which kind of token, and the tokens it is most active at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from evenhand.core.component import Layout, Selection, Site
from evenhand.core.errors import UsageError
from evenhand.core.progress import Progress, silent
from evenhand.lm.attribution.rows import Row, start
from evenhand.lm.attribution.trace import Batch, trace
from evenhand.lm.batches.logits import context_length
from evenhand.lm.model import LM
from evenhand.lm.tokens import encode_all, special_ids


@dataclass(frozen=True, slots=True)
class Peak:
    """A token at which a unit was active: its case, the tokens around it, and the activation there."""

    case: int
    before: tuple[int, ...]
    token: int
    after: tuple[int, ...]
    value: float


@dataclass(frozen=True, eq=False)
class Activity:
    """What k units did while the model read texts, in the order of their addresses.

    The activation of a neuron, an attention value or a row is its number (with sign); that of a head is the length of
    its output before the writer, which has none.
    """

    mean: Float[Tensor, "case k"]
    """Over the tokens of each text; NaN where the unit sees no token of it."""
    size: Float[Tensor, " k"]
    """Σ |activation| over all tokens."""
    positive: Float[Tensor, " k"]
    """The part of `size` that is positive; NaN for heads."""
    first: Float[Tensor, " k"]
    """The part of `size` on the first token of a text."""
    delimiters: Float[Tensor, " k"]
    """The part of `size` on later tokens without a letter or digit and on special tokens."""
    tokens: tuple[int, int, int]
    """How many tokens were read: all, first ones, delimiters (as the first unit's stack sees them)."""
    peaks: tuple[tuple[Peak, ...], ...]
    """Of each unit the largest |activation|, every token once, largest first."""


def text_rows(lm: LM, texts: Sequence[str], longest: int = 128) -> list[Row]:
    """Return one row per text, cut to its first `longest` tokens and to the context; a decoder gets its start token."""
    if not all(texts):
        raise UsageError("a text to read is empty; remove it, or write one")
    most = min(longest, context_length(lm) or longest)
    found = [encoded.ids[:most] for encoded in encode_all(lm, texts, whole=True)]
    return [Row(i, ids, len(ids), decoder=start(lm)) for i, ids in enumerate(found)]


def activity(
    lm: LM, rows: Sequence[Row], selection: Selection, top: int = 4, around: int = 8, progress: Progress = silent
) -> Activity:
    """Return what the selected units did over rows, one row per case; one forward pass each.

    Not for the space `weight`, whose entries have no activation of their own (UsageError).
    """
    if selection.layout.space == "weight":
        raise UsageError("single weights have no activation of their own; ask for the rows or neurons they lie in")
    sites = tuple(site for site, _ in selection.by_site())
    sums = _Sums(lm, selection, len(rows), top, around)
    for batch in trace(lm, rows, Layout(selection.layout.space, sites), progress=progress):
        sums.add(batch)
        del batch  # so that two batches are never held at once
    return sums.finished()


class _Sums:
    """Running sums over batches."""

    def __init__(self, lm: LM, selection: Selection, cases: int, top: int, around: int) -> None:
        self.lm, self.top, self.around = lm, top, around
        self.sites = [*selection.by_site()]
        k = len(selection)
        self.mean = torch.full((cases, k), torch.nan, dtype=torch.float64)
        self.parts = torch.zeros(4, k, dtype=torch.float64)
        self.tokens = torch.zeros(3, dtype=torch.long)
        self.peaks: list[dict[int, Peak]] = [{} for _ in range(k)]
        self._breaks: dict[int, bool] = {}

    def add(self, batch: Batch) -> None:
        """Take up a batch."""
        done = 0
        for number, (site, units) in enumerate(self.sites):
            here = slice(done, done + len(units))
            done += len(units)
            active, mask = _active(batch, site, units), batch.mask(site)
            ids, places = self._tokens(batch, site, mask)
            first = places == 0
            breaks = torch.tensor([self._break(int(token)) for token in ids], dtype=torch.bool) & ~first
            flat = active[mask].double().cpu()
            size = flat.abs()
            found = [size, flat.clamp(min=0), size * first[:, None], size * breaks[:, None]]
            self.parts[:, here] += torch.stack([each.sum(0) for each in found])
            counts = mask.sum(1, keepdim=True)
            means = ((active * mask[:, :, None]).sum(1).double() / counts).cpu()
            for r, row in enumerate(batch.rows):
                self.mean[row.case, here] = means[r]
            if number == 0:
                self.tokens += torch.tensor([len(ids), int(first.sum()), int(breaks.sum())])
            self._peaks(batch, site, here, (flat, ids, mask.cpu().nonzero()))

    def _tokens(
        self, batch: Batch, site: Site, mask: Bool[Tensor, "row pos"]
    ) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
        """The id and the place in its text of every token the site is applied to."""
        where = mask.cpu().nonzero()
        sequences = [_sequence(row, site) for row in batch.rows]
        return torch.tensor([sequences[int(r)][int(p)] for r, p in where], dtype=torch.long), where[:, 1]

    def _break(self, token: int) -> bool:
        if token not in self._breaks:
            text = str(self.lm.tokenizer.decode([token]))
            # A part of a character decodes to the replacement sign; it may belong to a letter.
            wordless = not any(sign.isalnum() or sign == "�" for sign in text)
            self._breaks[token] = wordless or token in special_ids(self.lm)
        return self._breaks[token]

    def _peaks(self, batch: Batch, site: Site, here: slice, found: tuple[Tensor, Tensor, Tensor]) -> None:
        flat, ids, where = found
        distinct = sorted({int(token) for token in ids})
        place = torch.searchsorted(torch.tensor(distinct), ids)
        size = flat.abs()
        highest = size.new_full((len(distinct), size.shape[1]), -1)
        highest.scatter_reduce_(0, place[:, None].expand_as(size), size, "amax")
        best = highest.topk(min(self.top, len(distinct)), dim=0).indices
        for j, unit in enumerate(range(here.start, here.stop)):
            for token in best[:, j]:
                n = int(((place == token) & (size[:, j] == highest[token, j])).nonzero()[0])
                row = batch.rows[int(where[n, 0])]
                self._keep(unit, row, _sequence(row, site), int(where[n, 1]), float(flat[n, j]))

    def _keep(self, unit: int, row: Row, ids: tuple[int, ...], p: int, value: float) -> None:
        known = self.peaks[unit].get(ids[p])
        if known is None or abs(value) > abs(known.value):
            before, after = ids[max(0, p - self.around) : p], ids[p + 1 : p + 1 + self.around // 2]
            self.peaks[unit][ids[p]] = Peak(row.case, before, ids[p], after, value)
            kept = sorted(self.peaks[unit].values(), key=lambda peak: -abs(peak.value))[: self.top]
            self.peaks[unit] = {peak.token: peak for peak in kept}

    def finished(self) -> Activity:
        """Return what was summed."""
        size = self.parts[0]
        positive, first, breaks = (torch.where(size > 0, part / size, torch.nan) for part in self.parts[1:])
        if self.sites and self.sites[0][0].width > 1:
            positive = torch.full_like(size, torch.nan)
        read, beginnings, delimiters = (int(count) for count in self.tokens)
        peaks = tuple(tuple(each.values()) for each in self.peaks)
        return Activity(self.mean, size, positive, first, breaks, (read, beginnings, delimiters), peaks)


def _active(batch: Batch, site: Site, units: Int[Tensor, " k"]) -> Float[Tensor, "row pos k"]:
    x = batch.captured[site.path]
    if site.width == 1:
        return x[..., units.to(x.device)].float()
    heads = x.reshape(*x.shape[:2], site.units, site.width)[:, :, units.to(x.device)]
    return heads.float().square().sum(-1).sqrt()


def _sequence(row: Row, site: Site) -> tuple[int, ...]:
    """The tokens a site is applied to."""
    return row.decoder if row.decoder and (site.sees or site.stack) == "decoder" else row.ids
