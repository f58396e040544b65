"""The residual stream at single positions, taken apart: its start, what every writer adds to it, its end.

Everything here is verified on the numbers of each batch: the start and all that is written add up to the end, the end
times a fixed scale gives what the output embedding sees, and nothing but a soft-cap comes after it. Where one of these
fails (norms after the sum as in BERT, residual multipliers, scaled logits), it raises CannotRun.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from evenhand.core.component import Site
from evenhand.core.errors import CannotRun
from evenhand.lm.attribution.rows import Row
from evenhand.lm.attribution.trace import frozen, inputs
from evenhand.lm.batches.logits import forward
from evenhand.lm.batches.tail import FixedNorm, Tail, norm_behind
from evenhand.lm.model import LM

_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
"""Relative error up to which sums are taken as equal; 0.05 in half precision, where every addition is rounded."""


@dataclass(frozen=True, eq=False)
class Stream:
    """One stack's residual stream at k places, float32; `inputs` and `writes` by the path of the writer, in order."""

    start: Float[Tensor, "k d"]
    inputs: dict[str, Float[Tensor, "k in"]]
    writes: dict[str, Float[Tensor, "k d"]]
    """What each writer adds (its bias included, behind the norm where there is one)."""
    behind: dict[str, Float[Tensor, " k"]]
    """1 / size in the norm behind a writer; only for writers that have one."""
    end: Float[Tensor, "k d"]

    def before(self, path: str) -> Float[Tensor, "k d"]:
        """Return the stream before this writer adds to it: for an MLP, after attention (h + A in the paper)."""
        total = self.start.clone()
        for other, write in self.writes.items():
            if other == path:
                break
            total += write
        return total


@dataclass(frozen=True, eq=False)
class ReadOut:
    """The end of a decoder's stream and the logits it leads to."""

    stream: Stream
    scale: Float[Tensor, " k"]
    """1 / size in the final norm (and T5's constant factor), so that logits = scale · tail.logits(end) + constant."""
    raw: Float[Tensor, "k vocab"]
    """Logits before the soft-cap, in the model's dtype."""
    cap: float | None

    def capped(self, logits: Float[Tensor, "*k vocab"]) -> Float[Tensor, "*k vocab"]:
        """Return logits as the model gives them, float32."""
        logits = logits.float()
        return logits if self.cap is None else self.cap * torch.tanh(logits / self.cap)

    def slope(self, logits: Float[Tensor, "*k vocab"]) -> Float[Tensor, "*k vocab"]:
        """Return the derivative of `capped`; 1 where nothing is capped."""
        logits = logits.float()
        return torch.ones_like(logits) if self.cap is None else 1 - torch.tanh(logits / self.cap).square()


def writers(lm: LM, stack: str = "decoder") -> tuple[Site, ...]:
    """Return the writers of a stack in the order in which they are reached; without the MLPs of mixtures of experts.

    Raises CannotRun for masked models.
    """
    if lm.kind == "masked":
        raise CannotRun(
            "masked models have norms after every sum and a transform before the logits, so units do not write to "
            "logits directly; use another locator, such as contrast"
        )
    sites = [(site.layer, 0, site) for site in lm.layout("value").sites if site.stack == stack]
    if not lm.family.moe:
        sites += [(site.layer, 1, site) for site in lm.layout("neuron").sites if site.stack == stack]
    return tuple(site for *_, site in sorted(sites, key=lambda each: each[:2]))


@torch.no_grad()
def read_out(lm: LM, rows: Sequence[Row], tail: Tail) -> ReadOut:
    """Run rows and return the decoder's stream and logits where each row's targets are predicted (one position)."""
    at = [(r, row.targets[0].position) for r, row in enumerate(rows)]
    seen: dict[str, Tensor] = {}

    def head(module: Any, args: tuple[Tensor, ...], output: Tensor) -> None:
        seen["hidden"], seen["raw"] = args[0][0].float(), output[0]

    stream, logits = _observed(lm, rows, at, "decoder", lambda: lm.head.register_forward_hook(head))
    cap: float | None = getattr(lm.model.config, "final_logit_softcapping", None)
    found = ReadOut(stream, _scale(lm, tail, stream.end, seen["hidden"]), seen["raw"], cap)
    _check(lm, logits[:1].float(), found.capped(found.raw[:1]), "something but a soft-cap comes after its logits")
    return found


@torch.no_grad()
def stream_at(lm: LM, rows: Sequence[Row], at: Sequence[tuple[int, int]], stack: str) -> Stream:
    """Run rows and return a stack's residual stream at (row, position) places."""
    return _observed(lm, rows, at, stack)[0]


@torch.no_grad()
def size_of(norm: Any, x: Float[Tensor, "k d"]) -> Float[Tensor, " k"]:
    """Return 1 / size that a norm applies to each vector, read off its output."""
    fixed, dtype = FixedNorm.of(norm), next(norm.parameters()).dtype
    out = norm(x.to(dtype)[:, None])[:, 0].float() - norm(torch.zeros_like(x[:1], dtype=dtype)[:, None])[:, 0]
    return _ratio(out, fixed(x))


def _observed(
    lm: LM, rows: Sequence[Row], at: Sequence[tuple[int, int]], stack: str, more: Callable[[], Any] | None = None
) -> tuple[Stream, Float[Tensor, "k vocab"]]:
    sites = writers(lm, stack)
    row, place = torch.tensor(at).T
    taken, written, ends = dict[str, Tensor](), dict[str, Tensor](), dict[str, Tensor]()

    def gathered(x: Tensor) -> Tensor:
        return x.detach().reshape(len(rows), -1, x.shape[-1])[row.to(x.device), place.to(x.device)].float()

    def writer(path: str) -> Callable[[Any, tuple[Tensor, ...], Tensor], None]:
        def hook(module: Any, args: tuple[Tensor, ...], output: Tensor) -> None:
            taken[path], written[path] = gathered(args[0]), gathered(output)

        return hook

    def edge(name: str) -> Callable[[Any, tuple[Any, ...], dict[str, Any]], None]:
        def hook(module: Any, args: tuple[Any, ...], given: dict[str, Any]) -> None:
            ends[name] = gathered(args[0] if args else given["hidden_states"])

        return hook

    with ExitStack() as hooks:
        hooks.enter_context(frozen(lm, gradients=False))
        for site in sites:
            hooks.callback(lm.module(site.path).register_forward_hook(writer(site.path)).remove)
        for name, module in _edges(lm, sites[0]).items():
            hooks.callback(module.register_forward_pre_hook(edge(name), with_kwargs=True).remove)
        if more is not None:
            hooks.callback(more().remove)
        where = (row, place) if stack == "decoder" else (row[:1] * 0, place[:1] * 0)
        logits, _ = forward(lm, inputs(lm, rows), *where)
    return _stream(lm, sites, taken, written, ends), logits


def _edges(lm: LM, first: Site) -> dict[str, nn.Module]:
    """The module that sees the start of the stream, and the one that sees its end."""
    tail = Tail.of(lm, first)
    if tail.norm is None:
        raise CannotRun(f"{lm.family.model_type}: no norm stands behind the last block, so its scale cannot be fixed")
    return {"start": lm.module(first.path.split(f".{first.layer}.")[0] + f".{first.layer}"), "end": tail.norm}


def _stream(
    lm: LM, sites: Sequence[Site], taken: dict[str, Tensor], written: dict[str, Tensor], ends: dict[str, Tensor]
) -> Stream:
    writes: dict[str, Tensor] = {}
    behind: dict[str, Tensor] = {}
    for site in sites:
        after, write = norm_behind(lm, site), written[site.path]
        if after is not None:
            behind[site.path] = size_of(after, write)
            write = behind[site.path][:, None] * FixedNorm.of(after)(write)
        writes[site.path] = write.to(ends["start"].device)
    stream = Stream(ends["start"], {site.path: taken[site.path] for site in sites}, writes, behind, ends["end"])
    if not lm.family.moe:
        total = stream.start + sum(writes.values(), torch.zeros_like(stream.start))
        _check(lm, stream.end.to(total.device), total, "its residual stream is not the sum of what its blocks write")
    return stream


def _scale(lm: LM, tail: Tail, end: Float[Tensor, "k d"], hidden: Float[Tensor, "k e"]) -> Float[Tensor, " k"]:
    """1 / size in the final norm, from what the output embedding sees."""
    norm: Any = tail.norm
    zero = torch.zeros(1, 1, end.shape[1], dtype=next(norm.parameters()).dtype, device=end.device)
    constant = norm(zero) if tail.project is None else tail.project(norm(zero))
    flat, constant = tail.hidden(end).to(hidden.device), constant[0].float().to(hidden.device)
    scale = _ratio(hidden - constant, flat)
    _check(lm, hidden, scale[:, None] * flat + constant, "more than a norm stands between its blocks and its logits")
    return scale


def _ratio(y: Float[Tensor, "k d"], x: Float[Tensor, "k d"]) -> Float[Tensor, " k"]:
    """The number per row for which number · x is nearest to y."""
    return (y * x).sum(1) / x.square().sum(1)


def _check(lm: LM, found: Tensor, expected: Tensor, what: str) -> None:
    """Raise CannotRun where two tensors differ by more than rounding."""
    error = float((found - expected).square().sum().sqrt() / found.square().sum().sqrt().clamp(min=1e-12))
    if not error <= _TOLERANCE.get(lm.model.dtype, 0.05):
        raise CannotRun(
            f"{lm.family.model_type}: {what} (relative error {error:.2g}), so units have no direct path to the logits "
            "that is known here; use another locator, such as contrast"
        )
