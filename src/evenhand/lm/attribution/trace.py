"""What units say, and its gradients: all layers from one forward and at most one backward pass per batch.

A writer's input at a position holds every neuron (or head) of its layer there, and a map's output every row, so scores
of units are sums over it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from evenhand.core.component import Layout, Site
from evenhand.core.errors import CannotRun
from evenhand.core.progress import Progress, silent
from evenhand.lm.attribution.rows import Row
from evenhand.lm.batches.batching import LOGITS_PER_TOKEN, attempt, shrink
from evenhand.lm.batches.logits import after, check_length, log_likelihood, padded, positions, vocabulary
from evenhand.lm.model import LM

Tokens = Literal["all", "prompt", "last", "answer", "name"]
_GRAPH = 1024
"""With gradients a quarter of the budget, because the graph is kept; but not less than this where the budget allows."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows that went through the model together, padded on the right; rows of one case are never parted."""

    layout: Layout
    rows: tuple[Row, ...]
    captured: dict[str, Float[Tensor, "row pos _width"]]
    """Input of each site's map (space `row`: its output), by path, in the model's dtype, cut off from the graph."""
    objective: Float[Tensor, " row"]
    """Σ over a row's targets of weight · log-probability (nats, float32); zeros for rows without targets."""
    gradients: dict[str, Float[Tensor, "row pos _width"]] = field(default_factory=dict[str, Tensor])
    """Gradient of each row's objective with respect to `captured`; empty unless asked for."""

    @property
    def cases(self) -> tuple[int, ...]:
        """Cases in this batch, in order of appearance."""
        return tuple(dict.fromkeys(row.case for row in self.rows))

    def mask(self, site: Site, tokens: Tokens = "all") -> Bool[Tensor, "row pos"]:
        """Return which of the positions that the site is applied to hold such tokens; padding never does."""
        length = self.captured[site.path].shape[1]
        places = torch.zeros(len(self.rows), length, dtype=torch.bool)
        for r, row in enumerate(self.rows):
            places[r, list(row.places(site.sees or site.stack, tokens))] = True
        return places.to(self.captured[site.path].device)

    def effect(self, site: Site, tokens: Tokens = "all") -> Float[Tensor, "case unit"]:
        """Return Σ a·g over rows, positions and columns of each unit, per case, in the order of `cases`.

        Minus this number is the first-order change of the case's objective when the unit is switched off.
        """
        a, g = (x[site.path].float() * self.mask(site, tokens)[:, :, None] for x in (self.captured, self.gradients))
        return self.per_case(torch.einsum("rpuw,rpuw->ru", _units(a, site), _units(g, site)))

    def per_case(self, values: Float[Tensor, "row *rest"]) -> Float[Tensor, "case *rest"]:
        """Sum over the rows of each case, in the order of `cases`."""
        place = {case: i for i, case in enumerate(self.cases)}
        index = torch.tensor([place[row.case] for row in self.rows], device=values.device)
        return values.new_zeros((len(place), *values.shape[1:])).index_add(0, index, values)


def _units(x: Float[Tensor, "row pos in"], site: Site) -> Float[Tensor, "row pos unit width"]:
    return x.reshape(*x.shape[:2], site.units, site.width)


def trace(
    lm: LM, rows: Sequence[Row], layout: Layout, *, gradients: bool = False, progress: Progress = silent
) -> Iterator[Batch]:
    """Yield batches of rows with what the units of the layout say and, if asked, its gradients.

    Batches hold at most `lm.budget` tokens (fewer with gradients, whose graph is kept), halved when memory runs out.
    Parameters get no gradient; flags, mode and random state are as before whenever a batch is handed out.
    Raises CannotRun when memory does not suffice for one case, or a writer was not reached.
    """
    waiting, progress = _by_case(rows), lm.progress if progress is silent else progress
    done, total = 0, len(waiting)
    if waiting:
        check_length(lm, max(row.length for row in waiting[-1]), "the longest prompt with its answer")
    ready: list[Batch] = []
    while waiting:
        count = _fitting(lm, waiting, min(lm.budget, max(_GRAPH, lm.budget // 4)) if gradients else lm.budget)
        chunk = tuple(row for bundle in waiting[:count] for row in bundle)
        if not attempt(lambda chunk=chunk: ready.append(_run(lm, chunk, layout, gradients))):
            shrink(lm, len(chunk) * max(row.length for row in chunk), "case" if count == 1 else "")
            continue
        del waiting[:count]
        yield ready.pop()  # not kept here: only one batch is alive at a time
        done += count
        progress("tracing", done, total)


def _by_case(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of each case together, longest case last."""
    bundles: dict[int, list[Row]] = {}
    for row in rows:
        bundles.setdefault(row.case, []).append(row)
    return sorted(bundles.values(), key=lambda bundle: max(row.length for row in bundle))


def _fitting(lm: LM, bundles: Sequence[Sequence[Row]], budget: int) -> int:
    """How many of the first cases fit into a budget of tokens (padding counted) and of logits; at least one."""
    rows = targets = 0
    for count, bundle in enumerate(bundles):
        rows, targets = rows + len(bundle), targets + sum(len(row.targets) for row in bundle)
        over = rows * max(row.length for row in bundle) > budget or targets * vocabulary(lm) > budget * LOGITS_PER_TOKEN
        if over:
            return max(1, count)
    return len(bundles)


def _run(lm: LM, rows: tuple[Row, ...], layout: Layout, gradients: bool) -> Batch:
    captured: dict[str, Tensor] = {}
    with ExitStack() as stack:
        stack.enter_context(frozen(lm, gradients))
        for site in layout.sites:
            stack.callback(_catch(lm, site, layout.space == "row", captured).remove)
        objective = target_scores(lm, rows)
        missed = [site.path for site in layout.sites if site.path not in captured]
        if missed:
            raise CannotRun(f"{missed[0]}: the forward pass never reached this writer; is the family row right?")
        slopes = _gradients(objective, captured) if gradients else {}
    n = len(rows)
    flat = {path: x.detach().reshape(n, -1, x.shape[-1]) for path, x in captured.items()}
    return Batch(layout, rows, flat, objective.detach(), {p: g.reshape(n, -1, g.shape[-1]) for p, g in slopes.items()})


def _catch(lm: LM, site: Site, output: bool, captured: dict[str, Tensor]) -> Any:
    def before(module: Any, args: tuple[Tensor, ...]) -> None:
        captured[site.path] = args[0]

    def after(module: Any, args: tuple[Tensor, ...], out: Tensor) -> None:
        captured[site.path] = out

    module = lm.module(site.path)
    return module.register_forward_hook(after) if output else module.register_forward_pre_hook(before)


def _gradients(objective: Float[Tensor, " row"], captured: dict[str, Tensor]) -> dict[str, Tensor]:
    if not objective.requires_grad:
        raise ValueError("no row has a target, so there is nothing to take a gradient of")
    known = [path for path, x in captured.items() if x.requires_grad]
    found: Any = torch.autograd.grad(objective.sum(), [captured[path] for path in known], allow_unused=True)
    slopes: dict[str, Tensor] = {p: g for p, g in zip(known, found, strict=True) if g is not None}
    for path in captured:
        if path not in slopes:
            raise CannotRun(f"{path}: no gradient reaches this writer, so its units cannot be scored by gradient")
    return slopes


@contextmanager
def frozen(lm: LM, gradients: bool) -> Generator[None]:
    """Evaluation mode, parameters without gradients, forked random state; all flags come back at the end.

    With `gradients` the embeddings' output requires a gradient instead, in every stack (T5 has two), so that
    activations get one and no parameter does.
    """
    modes = [(module, module.training) for module in lm.model.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in lm.model.parameters()]
    enable = gradients and not getattr(lm.model, "_require_grads_hooks", None)
    devices = [lm.device] if lm.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.inference_mode(False), torch.set_grad_enabled(gradients):
        try:
            lm.model.eval()
            for parameter, _ in flags:
                parameter.requires_grad_(False)
            if enable:
                lm.model.enable_input_require_grads()
            yield
        finally:
            if enable:
                lm.model.disable_input_require_grads()
            for parameter, flag in flags:
                parameter.requires_grad_(flag)
            for module, mode in modes:
                module.training = mode


def target_scores(lm: LM, rows: Sequence[Row], given: dict[str, Any] | None = None) -> Float[Tensor, " row"]:
    """Run rows as one batch; return Σ weight · log p(token) over each row's targets, in float32, with its graph.

    Logits are computed only at the targets (or, without any, at one position), whatever the family. `given` are the
    model's arguments where they are more than these rows (a cache of what comes before them).
    """
    targets = [(r, t) for r, row in enumerate(rows) for t in row.targets]
    places = sorted({(r, t.position) for r, t in targets}) or [(0, 0)]
    at, position = torch.tensor(places, device=lm.device).T

    def gather(module: Any, args: tuple[Tensor, ...]) -> tuple[Any, ...]:
        return (args[0][at.to(args[0].device), position.to(args[0].device)][None], *args[1:])

    handle = lm.head.register_forward_pre_hook(gather)
    try:
        logits: Tensor = lm.run(inputs(lm, rows) if given is None else given).logits[0]
    finally:
        handle.remove()
    total = torch.zeros(len(rows), device=logits.device)
    if not targets:
        return total
    order = {place: i for i, place in enumerate(places)}
    where = torch.tensor([order[r, t.position] for r, t in targets], device=logits.device)
    logp = log_likelihood(logits, where, torch.tensor([t.token for _, t in targets], device=logits.device))
    weight = torch.tensor([t.weight for _, t in targets], device=logits.device)
    return total.index_add(0, torch.tensor([r for r, _ in targets], device=logits.device), weight * logp)


def inputs(lm: LM, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the model's keyword arguments for these rows, padded on the right, mask and positions given."""
    ids, mask = padded(lm, [row.ids for row in rows])
    given: dict[str, Any] = {"input_ids": ids, "attention_mask": mask, **positions(lm, mask)}
    if lm.kind != "masked":
        given["use_cache"] = False
    if lm.kind == "causal":
        given |= after([row.prompt for row in rows], mask)
    if lm.kind == "encoder-decoder":
        given["decoder_input_ids"], given["decoder_attention_mask"] = padded(lm, [row.decoder for row in rows])
    return given
