"""Which neurons write what the most telling attention units read: one step back along the path to the logits.

An attention unit a (head × dimension × source position s) adds Imp(a) = A · ⟨W_v[a], norm(h_s)⟩ · slope to a read-out.
Attention A and the norm's size r held fixed, neuron k of an earlier MLP, which added m_k v_k to h_s, has the part

    Q(k) = Σ_a A · r · slope(a) · ⟨m_k v_k, γ_in ∘ W_v[a]⟩.

Where values have no bias (Llama) this is the paper's Σ_a Imp(a) · ⟨m_k v_k, γ_in W_v[a]⟩ / ⟨h_s, γ_in W_v[a]⟩; where
they have one, the paper's quotient shares the bias out among what is in h_s, and has no limit where h_s brings nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from evenhand.core.component import Site
from evenhand.core.errors import CannotRun
from evenhand.lm.attribution.attention import eager
from evenhand.lm.attribution.direct import Parts, through
from evenhand.lm.attribution.rows import Row
from evenhand.lm.attribution.sources import Sources, ValueMap, sources
from evenhand.lm.attribution.stream import Stream, size_of, stream_at, writers
from evenhand.lm.batches.tail import FixedNorm, Tail
from evenhand.lm.model import LM


def query_parts(lm: LM, rows: Sequence[Row], take: Callable[[Parts], None], top: int) -> None:
    """Call `take` with batches of rows and Q of every neuron, for the `top` attention units of each row by |Imp|.

    Raises CannotRun for masked models, mixtures of experts, and where a norm before the values is not found.
    """
    layout = lm.layout("neuron")
    paths = [site.path for site in layout.sites]
    for found in sources(lm, rows):
        q = {site.path: torch.zeros(len(found.rows), site.units) for site in layout.sites}
        for path, chosen in _chosen(found, top).items():
            site = next(site for site in writers(lm) if site.path == path)
            for fed, parts in _fed(lm, found, site, chosen).items():
                q[fed].index_add_(0, chosen[:, 0].cpu(), parts.cpu())
        take(Parts(found.rows, found.values.cpu(), torch.cat([q[path] for path in paths], dim=1)))


def _chosen(found: Sources, top: int) -> dict[str, Int[Tensor, "some 3"]]:
    """By writer the (row, source, column) of the attention units with the largest |Imp| of each row."""
    pieces = {path: found.parts(path).flatten(1) for path in found.slopes}
    sizes = torch.cat([piece.abs() for piece in pieces.values()], dim=1)
    order = sizes.topk(min(top, sizes.shape[1]), dim=1).indices
    out: dict[str, Tensor] = {}
    start = 0
    for path, piece in pieces.items():
        inside = (order >= start) & (order < start + piece.shape[1])
        row, place = inside.nonzero().T
        flat = order[row, place] - start
        width = found.slopes[path].shape[1]
        if len(row):
            out[path] = torch.stack([row, flat // width, flat % width], dim=1)
        start += piece.shape[1]
    return out


@torch.no_grad()
def _fed(lm: LM, found: Sources, site: Site, chosen: Int[Tensor, "some 3"]) -> dict[str, Float[Tensor, "some in"]]:
    """By earlier MLP writer, each neuron's part in these attention units of one site."""
    row, source, column = chosen.T
    values = ValueMap.of(lm, site)
    stack = next(each.sees or each.stack for each in lm.layout("row").sites if each.path == values.path)
    with eager(lm):
        stream = stream_at(lm, found.rows, [(int(r), int(s)) for r, s in chosen[:, :2]], stack)
    read = stream.before(site.path) if stack == site.stack else stream.end
    norm, size = _norm(lm, site, read, found.entries[site.path][row, source], stack)
    amount = found.weights[site.path][row, source, column] * found.slopes[site.path][row, column]
    u = FixedNorm.of(norm).back(values.weight(lm)[column]) * (amount * size)[:, None]
    return {each.path: _parts(lm, stream, each, u) for each in _earlier(lm, site, stack)}


def _earlier(lm: LM, site: Site, stack: str) -> list[Site]:
    """MLP writers that add to the stream before this attention reads it."""
    mlps = {each.path for each in lm.layout("neuron").sites}
    return [each for each in writers(lm, stack)
            if each.path in mlps and (stack != site.stack or each.layer < site.layer)]  # fmt: skip


def _parts(lm: LM, stream: Stream, site: Site, u: Float[Tensor, "some d"]) -> Float[Tensor, "some in"]:
    behind = stream.behind.get(site.path)
    return stream.inputs[site.path] * through(lm, site, u if behind is None else u * behind[:, None])


def _norm(
    lm: LM, site: Site, read: Float[Tensor, "some d"], entries: Float[Tensor, "some in"], stack: str
) -> tuple[nn.Module, Float[Tensor, " some"]]:
    """The norm through which values read the stream: the one that gives the entries which were seen; and 1 / size."""
    values = ValueMap.of(lm, site)
    make: Any = lm.module(values.path)
    dtype = next(make.parameters()).dtype
    for norm in _candidates(lm, site, stack, read.shape[1]):
        made = make(norm(read.to(dtype)[:, None]))[:, 0, values.rows.to(read.device)].float()
        if torch.allclose(made, entries, atol=0.05 * float(entries.abs().max()), rtol=0.05):
            return norm, size_of(norm, read)
    raise CannotRun(
        f"{site.path}: no norm between the stream and {values.path} gives the values it reads, so what feeds them "
        "cannot be told apart"
    )


def _candidates(lm: LM, site: Site, stack: str, width: int) -> list[nn.Module]:
    if stack != site.stack:
        tail = Tail.of(lm, writers(lm, stack)[0])
        return [] if tail.norm is None else [tail.norm]
    block = lm.module(site.path.split(f".{site.layer}.")[0] + f".{site.layer}")
    norms = [module for module in block.modules() if "norm" in type(module).__name__.lower()]
    return [norm for norm in norms if len(next(norm.parameters())) == width]
