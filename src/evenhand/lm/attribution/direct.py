"""What units add straight to a read-out of the logits at one position, the final norm's scale held fixed.

A row's read-out is Σ weight · log p(token) over its targets, all predicted at one position. With r the final norm's
1 / size there, γ its weight, E the output embedding, m_k the input of a writer's column v_k:

- **Contrast** (weights sum to 0): the log-sum-exp cancels, so that a unit's part is exactly m_k · ⟨v_k, u⟩ with
  u = r γ ∘ Σ weight · E[token]. One forward pass; ⟨v_k, u / r⟩ does not depend on the prompt and is computed once per
  set of targets. Under a soft-cap it is of first order at the final logits: weight · (1 − tanh²(logit / cap)).
- **Target** (weights sum to anything else, as for log p of one token): first order at the stream the writer adds to,
  u = r γ ∘ (E[w] − pᵀE), p = softmax of that stream's logits. The `exact` largest of each row are then computed as
  log p(w | stream + m_k v_k) − log p(w | stream), soft-cap included.

Norms behind a writer (Gemma) are held fixed like the final one. Activations, columns, embeddings: float32.
Source: Yu and Ananiadou, EMNLP 2024 main.191 (target) and its closed contrast; see `evenhand.locate.logit_score`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from evenhand.core.component import Layout, Site
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.progress import Progress, silent
from evenhand.lm.attribution.rows import Row
from evenhand.lm.attribution.stream import ReadOut, read_out, writers
from evenhand.lm.batches.batching import Cost, Work, in_batches
from evenhand.lm.batches.tail import FixedNorm, Tail, norm_behind, writer_columns
from evenhand.lm.model import LM

_Key = tuple[tuple[int, float], ...]
"""Targets as (token, weight), sorted."""
_CHUNK = 64
"""Units whose logits are held at once."""
_KEPT = 64
"""Sets of targets whose products are kept: 90 MB for a model of 7 billion weights."""


@dataclass(frozen=True, eq=False)
class Parts:
    """Rows with their read-outs taken apart."""

    rows: tuple[Row, ...]
    values: Float[Tensor, " row"]
    """The read-out, nats, float32."""
    units: Float[Tensor, "row unit"]
    """What each unit adds to it, float32, on the CPU; 0 for units of an encoder, which have no direct path."""


def direct_parts(
    lm: LM, rows: Sequence[Row], layout: Layout, take: Callable[[Parts], None], exact: int = 0,
    progress: Progress = silent,
) -> None:  # fmt: skip
    """Call `take` with batches of rows and what every unit of a `neuron`, `head` or `value` layout adds to them.

    Raises CannotRun where there is no direct path (see `evenhand.lm.attribution.stream`) or no unit of the layout lies
    on it.
    """
    reader = Reader(lm, layout)

    def run(batch: list[Row]) -> None:
        take(reader.parts(batch, exact))

    in_batches(lm, Work(rows, lambda row: Cost(row.length), run, label="reading logits"), progress)


class Reader:
    """Takes read-outs apart, and keeps the products of columns with the targets that it saw last."""

    def __init__(self, lm: LM, layout: Layout) -> None:
        known = {site.path for site in writers(lm)}
        self.lm, self.layout = lm, layout
        self.sites = tuple(site for site in layout.sites if site.path in known)
        if layout.space not in ("neuron", "head", "value"):
            raise UsageError(f"units of space {layout.space!r} do not write to the logits; use neuron, head or value")
        if not self.sites:
            raise CannotRun(f"{lm.identity.source}: none of its {layout.space}s writes straight to the logits")
        self.tail = Tail.of(lm, self.sites[0])
        self.known: dict[str, dict[_Key, Float[Tensor, " in"]]] = {site.path: {} for site in self.sites}

    @torch.no_grad()
    def parts(self, rows: Sequence[Row], exact: int = 0) -> Parts:
        """Run rows as one batch and take their read-outs apart."""
        found = read_out(self.lm, rows, self.tail)
        weights = target_weights(rows, found.raw)
        slopes = self.slopes(rows, found, weights)
        pieces: list[Tensor] = []
        for site in self.layout.sites:
            part = torch.zeros(len(rows), site.units * site.width)
            if site.path in slopes:
                part = found.stream.inputs[site.path] * slopes[site.path]
            pieces.append(part.reshape(len(rows), site.units, site.width).sum(2).cpu())
        units = torch.cat(pieces, dim=1)
        if exact and not all(map(_balanced, rows)):
            self._exact(units, found, weights, exact)
        return Parts(tuple(rows), values_of(found.capped(found.raw), weights).cpu(), units)

    @torch.no_grad()
    def slopes(
        self, rows: Sequence[Row], found: ReadOut, weights: Float[Tensor, "row vocab"]
    ) -> dict[str, Float[Tensor, "row in"]]:
        """Return by writer what a unit of each of its inputs adds to the read-outs of a batch."""
        balanced = all(map(_balanced, rows))
        u = self._direction(found.raw.float(), found, weights) if balanced and found.cap is not None else None
        out: dict[str, Tensor] = {}
        for site in self.sites:
            if balanced and u is None:
                products = self._products(rows, site)
            else:
                here = self._direction(self._logits_before(site, found), found, weights) if u is None else u
                products = through(self.lm, site, here)
            out[site.path] = self.sizes(site, found)[:, None] * products
        return out

    def sizes(self, site: Site, found: ReadOut) -> Float[Tensor, " row"]:
        """Return the fixed sizes on the way from a writer to the logits, multiplied."""
        behind = found.stream.behind.get(site.path)
        return found.scale if behind is None else found.scale * behind.to(found.scale.device)

    def _products(self, rows: Sequence[Row], site: Site) -> Float[Tensor, "row in"]:
        """⟨column, u / r⟩ of each row's targets: computed once for all rows that have the same ones."""
        keys, known = [_key(row) for row in rows], self.known[site.path]
        new = [key for key in dict.fromkeys(keys) if key not in known]
        found = {key: known[key] for key in keys if key in known}
        if new:
            embedded = [
                torch.tensor([weight for _, weight in key], device=self.tail.head.weight.device)
                @ self.tail.rows(torch.tensor([token for token, _ in key]))
                for key in new
            ]
            products = through(self.lm, site, self.tail.back(torch.stack(embedded)))
            found |= dict(zip(new, products, strict=True))
        self._keep(known, found)
        return torch.stack([found[key] for key in keys])

    @staticmethod
    def _keep(known: dict[_Key, Float[Tensor, " in"]], found: dict[_Key, Float[Tensor, " in"]]) -> None:
        """Put what was used last in the place of what was used longest ago."""
        for key, product in list(found.items())[-_KEPT:]:
            kept = known.pop(key, None)
            known[key] = product.clone() if kept is None else kept  # a view would hold the whole batch's products
        for key in list(known)[:-_KEPT]:
            del known[key]

    def _direction(
        self, logits: Float[Tensor, "row vocab"], found: ReadOut, weights: Float[Tensor, "row vocab"]
    ) -> Float[Tensor, "row d"]:
        """Derivative of the read-outs by the stream at these logits, times the final norm's size."""
        slopes = weights - weights.sum(1, keepdim=True) * found.capped(logits).softmax(1)
        return self.tail.back(self.tail.read_outs(slopes * found.slope(logits)))

    def _logits_before(self, site: Site, found: ReadOut) -> Float[Tensor, "row vocab"]:
        """Logits of the stream before a writer adds to it, through the final norm as it is at the end."""
        if self.lm.family.moe:
            raise CannotRun(
                f"{self.lm.family.model_type}: what its experts add to the stream is not known layer by layer, so only "
                "a contrast of tokens can be taken apart, not the log-probability of one; use kind 'contrast'"
            )
        rest = found.stream.end - found.stream.before(site.path)
        return found.raw.float() - found.scale[:, None] * self.tail.logits(rest)

    def _exact(
        self, units: Float[Tensor, "row unit"], found: ReadOut, weights: Float[Tensor, "row vocab"], count: int
    ) -> None:
        """Put the exact change of the read-out in the place of the largest first-order ones of each row."""
        best = units.abs().topk(min(count, units.shape[1]), dim=1).indices
        for start, site in zip(self.layout.starts(), self.layout.sites, strict=True):
            inside = (best >= start) & (best < start + site.units)
            if not bool(inside.any()):
                continue
            base = self._logits_before(site, found)
            for r in (r for r in range(len(best)) if bool(inside[r].any())):
                chosen = best[r][inside[r]]
                for some in torch.split(chosen, _CHUNK):
                    moved = base[r] + found.scale[r] * self.tail.logits(self._written(site, found, r, some - start))
                    here = values_of(found.capped(base[r : r + 1]), weights[r : r + 1])
                    units[r, some] = (values_of(found.capped(moved), weights[r]) - here).cpu()

    def _written(self, site: Site, found: ReadOut, r: int, units: Int[Tensor, " k"]) -> Float[Tensor, "k d"]:
        """What units of a writer add to the stream of a row."""
        columns = writer_columns(self.lm, site)
        at = site.columns(units).to(columns.device)
        written = found.stream.inputs[site.path][r, at][:, None] * columns[at].float()
        written = written.reshape(len(units), site.width, -1).sum(1)
        after = norm_behind(self.lm, site)
        return written if after is None else found.stream.behind[site.path][r] * FixedNorm.of(after)(written)


def through(lm: LM, site: Site, u: Float[Tensor, "row d"]) -> Float[Tensor, "row in"]:
    """Return ⟨column, u⟩ for every input column of a writer, the norm behind it included but for its size."""
    after, columns = norm_behind(lm, site), writer_columns(lm, site)
    u = u if after is None else FixedNorm.of(after).back(u)
    return u.to(columns.device) @ columns.float().T


def _key(row: Row) -> _Key:
    return tuple(sorted((target.token, target.weight) for target in row.targets))


def _balanced(row: Row) -> bool:
    """Whether a row's weights sum to 0, so that its read-out is linear in the logits."""
    weights = [target.weight for target in row.targets]
    return abs(sum(weights)) <= 1e-5 * sum(map(abs, weights))


def target_weights(rows: Sequence[Row], logits: Float[Tensor, "row vocab"]) -> Float[Tensor, "row vocab"]:
    """Return the weight of every token in each row's read-out."""
    weights = torch.zeros_like(logits, dtype=torch.float32)
    for r, row in enumerate(rows):
        for target in row.targets:
            weights[r, target.token] += target.weight
    return weights


def values_of(logits: Float[Tensor, "row vocab"], weights: Float[Tensor, "*row vocab"]) -> Float[Tensor, " row"]:
    """Return each row's read-out, Σ weight · log p."""
    return (weights * logits).sum(-1) - weights.sum(-1) * logits.logsumexp(-1)
