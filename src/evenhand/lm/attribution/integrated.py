"""Integrated gradients of an outcome with respect to what goes into one layer's writer: knowledge-neuron attribution.

For the writer's input w of one layer, at the places where the path runs, and a baseline b,

    attr_i = (w_i − b_i) · ∫₀¹ ∂F(b + α (w − b))/∂w_i dα

where only that layer's input is moved and all that comes after it is recomputed. Σ_i attr_i = F(w) − F(b) for the exact
integral (completeness); how far the sum is off is measured for every case and layer. Below the layer nothing depends on
α, so that a batch is run once and each layer starts from its own block, many α side by side.

Sources: Sundararajan et al. 2017 (arXiv 1703.01365); per layer and as a left Riemann sum, Dai et al. 2022 (ACL
long.581).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from evenhand.core.component import Layout, Site
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.progress import Progress, silent
from evenhand.lm.attribution.begun import Last, Whole
from evenhand.lm.attribution.paths import Path
from evenhand.lm.attribution.rows import Row
from evenhand.lm.attribution.trace import frozen
from evenhand.lm.batches.batching import Cost, Work, attempt, in_batches
from evenhand.lm.batches.logits import check_length
from evenhand.lm.batches.resume import blocks
from evenhand.lm.model import LM

_GRAPH = 1024
"""With gradients a quarter of the budget, because the graph is kept; but not less than this where the budget allows."""


@dataclass(frozen=True, eq=False)
class Integrated:
    """Of some cases, on the CPU; scores float32, the rest float64."""

    layout: Layout
    cases: tuple[int, ...]
    scores: Float[Tensor, "case unit"]
    """Attributions, summed over the places of the path and the columns of each unit."""
    value: Float[Tensor, " case"]
    """The outcome as the model stands."""
    start: Float[Tensor, "case site"]
    """The outcome with the input of one writer at its baseline."""

    @property
    def moved(self) -> Float[Tensor, "case site"]:
        """What the attributions of a layer should add up to."""
        return self.value[:, None] - self.start

    @property
    def error(self) -> Float[Tensor, "case site"]:
        """By how much they miss it."""
        pieces = torch.split(self.scores.double(), [site.units for site in self.layout.sites], dim=1)
        return (torch.stack([piece.sum(1) for piece in pieces], 1) - self.moved).abs()


def integrate(lm: LM, rows: Sequence[Row], layout: Layout, path: Path, progress: Progress = silent) -> Integrated:
    """Return the attributions of every case, cases in ascending order; rows of one case are one outcome.

    `layout` is of the space `neuron`, `head` or `value`. The model is left as it was. Raises UsageError for other
    spaces, CannotRun when memory does not suffice for one case at one α or no gradient reaches a writer.
    """
    if layout.space not in ("neuron", "head", "value"):
        raise UsageError(f"integrated gradients are of what goes into writers, not of {layout.space}s; use neurons")
    bundles: dict[int, list[Row]] = {}
    for row in rows:
        bundles.setdefault(row.case, []).append(row)
    if not rows:
        raise ValueError("there are no rows to integrate over")
    check_length(lm, max(row.length for row in rows), "the longest prompt with its answer")
    found: list[Integrated] = []

    def run(few: list[list[Row]]) -> None:
        batch = _Batch(lm, [row for bundle in few for row in bundle], layout, path)
        while not attempt(lambda: found.append(batch.run())):
            if batch.side == 1:
                raise torch.OutOfMemoryError
            batch.side //= 2

    def cost(bundle: list[Row]) -> Cost:
        targets = sum(len(row.targets) for row in bundle)
        return Cost(max(row.length for row in bundle), len(bundle) * _takes(lm), targets * _takes(lm))

    in_batches(lm, Work(list(bundles.values()), cost, run, label="integrating"), progress)
    return _joined(layout, found)


def _takes(lm: LM) -> float:
    """How much of the budget a token takes whose graph is kept."""
    return lm.budget / min(lm.budget, max(_GRAPH, lm.budget // 4))


def _joined(layout: Layout, parts: Sequence[Integrated]) -> Integrated:
    """One table of all, cases in ascending order."""
    cases = torch.tensor([case for part in parts for case in part.cases])
    order = cases.argsort()
    scores, value, start = (
        torch.cat([getattr(part, name) for part in parts])[order] for name in ("scores", "value", "start")
    )
    return Integrated(layout, tuple(int(case) for case in cases[order]), scores, value, start)


def completeness(
    layout: Layout, error: Float[Tensor, "case site"], moved: Float[Tensor, "case site"]
) -> dict[str, dict[str, float]]:
    """Return for every writer the largest and the mean error over cases, and the mean as a share of the mean |move|."""
    rows = zip(layout.sites, error.amax(0), error.mean(0), moved.abs().mean(0), strict=True)
    return {
        site.path: {"largest": float(largest), "mean": float(mean), "relative": float(mean / far)}
        for site, largest, mean, far in rows
    }


class _Batch:
    """Rows run together: once as the model stands, then each layer's path from its own block on.

    Where a causal model's path runs at the end of the prompt and in the answer alone, what comes before is read once.
    """

    def __init__(self, lm: LM, rows: Sequence[Row], layout: Layout, path: Path) -> None:
        self.lm, self.rows, self.layout, self.path = lm, rows, layout, path
        self.cases = tuple(dict.fromkeys(row.case for row in rows))
        number = {case: i for i, case in enumerate(self.cases)}
        self.owner = torch.tensor([number[row.case] for row in rows], device=lm.device)
        self.alpha, self.weight = (x.to(lm.device) for x in path.nodes())
        self.side = len(self.alpha)
        """How many α are run side by side, at most."""

    def run(self) -> Integrated:
        order = {key: number for number, key in enumerate(blocks(self.lm))}
        begin = Last if self.path.tokens == "last" and _at_the_end(self.lm, self.rows) else Whole
        with frozen(self.lm, False):
            with _caught(self.lm, self.layout) as inputs:
                begun = begin(self.lm, self.rows, range(len(order)))
            tokens = sum(cost.length * cost.rows for cost in map(begun.cost, range(len(self.rows))))
            self.side = max(1, min(self.side, int(self.lm.budget / (_takes(self.lm) * tokens))))
            with torch.enable_grad():
                parts = [
                    self._site(begun, order[site.stack, site.layer], site, inputs[site.path])
                    for site in self.layout.sites
                ]
        return Integrated(
            self.layout,
            self.cases,
            torch.cat([scores for scores, _ in parts], 1).float().cpu(),
            self._outcome(begun.base.double()[None])[0].cpu(),
            torch.stack([start for _, start in parts], 1).cpu(),
        )

    def _site(
        self, begun: Whole, block: int, site: Site, inputs: Tensor
    ) -> tuple[Float[Tensor, "case unit"], Float[Tensor, " case"]]:
        """Attributions of one layer, and the outcome with its input at the baseline."""
        row, position = self._places(begun.rows, site)
        whole = inputs.reshape(len(self.rows), -1, inputs.shape[-1])[row, position]
        begin = self.path.baseline.get(site.path, torch.zeros(())).to(whole.device)
        step = whole.float() - begin
        total = torch.zeros(len(self.cases), step.shape[1], dtype=torch.float64, device=step.device)
        starts: list[Tensor] = []
        for alpha, weight in zip(torch.split(self.alpha, self.side), torch.split(self.weight, self.side), strict=True):
            moved = (begin + alpha[:, None, None].to(step) * step).to(whole.dtype).requires_grad_()
            index = torch.arange(len(self.rows), device=self.lm.device).repeat(len(alpha))
            with _put_in(self.lm, site, moved, (row, position), len(self.rows)):
                scores = begun.again(index, block)
            slope = _gradient(scores, moved, site.path).float()
            values = self._outcome(scores.detach().double().reshape(len(alpha), -1))
            starts.append(values[0])
            # By hand, because a probability times a gradient leaves the range of half precision.
            outer = values if self.path.outcome == "probability" else torch.ones_like(values)
            share = (outer * weight[:, None])[:, self.owner.to(values.device)[row]]
            each = (slope * share[:, :, None].to(slope)).sum(0) * step
            total.index_add_(0, self.owner.to(step.device)[row], each.double())
        units = total.reshape(len(self.cases), site.units, site.width).sum(2)
        return units.to(self.lm.device), starts[0].to(self.lm.device)

    def _places(self, rows: Sequence[Row], site: Site) -> tuple[Int[Tensor, " place"], Int[Tensor, " place"]]:
        """Row and position of every place of the path."""
        found = [(r, place) for r, row in enumerate(rows) for place in self.path.places(row, site.stack)]
        at = torch.tensor(found, dtype=torch.long, device=self.lm.device)
        return at[:, 0], at[:, 1]

    def _outcome(self, scores: Float[Tensor, "node row"]) -> Float[Tensor, "node case"]:
        """From the scores of rows to the outcomes of their cases."""
        total = scores.new_zeros(len(scores), len(self.cases))
        total = total.index_add(1, self.owner.to(scores.device), scores)
        return total.exp() if self.path.outcome == "probability" else total


def _at_the_end(lm: LM, rows: Sequence[Row]) -> bool:
    """Whether nothing before the last token of any prompt is predicted or moved."""
    ends = all(row.prompt > 1 and min(t.position for t in row.targets) >= row.prompt - 1 for row in rows)
    return lm.kind == "causal" and ends


def _gradient(scores: Float[Tensor, " row"], moved: Tensor, path: str) -> Tensor:
    """Gradient of each row's score, all at once: rows do not mix."""
    slope: Tensor | None = None
    if scores.requires_grad:
        (slope,) = torch.autograd.grad(scores.sum(), [moved], allow_unused=True)
    if slope is None:
        raise CannotRun(f"{path}: no gradient reaches this writer, so its units cannot be scored by gradient")
    return slope


@contextmanager
def _caught(lm: LM, layout: Layout) -> Generator[dict[str, Tensor]]:
    """Keep what went into every writer last, by its path."""
    inputs: dict[str, Tensor] = {}

    def catcher(path: str) -> Callable[[Any, tuple[Tensor, ...]], None]:
        return lambda module, args: inputs.update({path: args[0]})

    with ExitStack() as hooks:
        for site in layout.sites:
            hooks.callback(lm.module(site.path).register_forward_pre_hook(catcher(site.path)).remove)
        yield inputs


@contextmanager
def _put_in(
    lm: LM, site: Site, moved: Float[Tensor, "node place in"], places: tuple[Tensor, Tensor], rows: int
) -> Generator[None]:
    """Put these into the writer's input at (row, position) of a batch in which all rows come once for each node."""

    def hook(module: Any, args: tuple[Tensor, ...]) -> tuple[Any, ...]:
        row, position = (place.to(args[0].device) for place in places)
        flat = args[0].reshape(-1, args[0].shape[-1])  # OPT's is flat already
        length = len(flat) // (len(moved) * rows)
        node = torch.arange(len(moved), device=flat.device)[:, None] * rows * length
        at = (node + row * length + position).flatten()
        changed = flat.index_put((at,), moved.flatten(0, 1).to(flat.device)).view_as(args[0])
        return (changed, *args[1:])

    handle = lm.module(site.path).register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()
