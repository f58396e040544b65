"""Attention units by the position they read from: attention weight × entry of the value there × the writer's column."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from evenhand.core.component import Layout, Site
from evenhand.core.errors import CannotRun
from evenhand.lm.attribution.attention import attention, eager
from evenhand.lm.attribution.direct import Reader, target_weights, values_of
from evenhand.lm.attribution.rows import Row
from evenhand.lm.attribution.stream import read_out, writers
from evenhand.lm.model import LM


@dataclass(frozen=True)
class ValueMap:
    """The linear map that makes a site's values, and the output of it that each of the writer's columns reads."""

    path: str
    rows: Int[Tensor, " in"]

    @staticmethod
    def of(lm: LM, site: Site) -> ValueMap:
        """Find the map beside an attention writer; query heads share the values of their group (GQA).

        `v_proj` and `v` hold values alone; `c_attn` and `qkv_proj` queries, keys and values one after the other;
        `query_key_value` those of each head together. Raises CannotRun for others.
        """
        around = site.path.rsplit(".", 1)[0]
        (head,) = (each for each in lm.layout("head").sites if each.path == site.path)
        known = dict(lm.module(around).named_children())
        name = next((name for name in ("v_proj", "v", "c_attn", "qkv_proj", "query_key_value") if name in known), "")
        if not name:
            raise CannotRun(f"{around}: no map of values is known in it, so attention cannot be told apart by source")
        module: Any = known[name]
        outputs = int(module.weight.shape[1 if type(module).__name__ == "Conv1D" else 0])
        query, column = torch.arange(head.units)[:, None], torch.arange(head.width)[None]
        blocks = outputs // head.width
        if name == "query_key_value":
            rows = (query * 3 + 2) * head.width + column
        else:
            shared = blocks if name in ("v_proj", "v") else (blocks - head.units) // 2
            rows = (blocks - shared + query // (head.units // shared)) * head.width + column
        return ValueMap(f"{around}.{name}", rows.flatten())

    def weight(self, lm: LM) -> Float[Tensor, "in d"]:
        """Return for each column the row of the map that makes its value, float32."""
        module: Any = lm.module(self.path)
        weight: Tensor = module.weight.detach()
        return (weight.T if type(module).__name__ == "Conv1D" else weight)[self.rows.to(weight.device)].float()


@dataclass(frozen=True, eq=False)
class Sources:
    """A batch of rows, its read-outs, and by attention writer what its columns read from where."""

    rows: tuple[Row, ...]
    values: Float[Tensor, " row"]
    """The read-out, nats."""
    slopes: dict[str, Float[Tensor, "row in"]]
    """What a unit of the writer's input adds to the read-out."""
    weights: dict[str, Float[Tensor, "row source in"]]
    """Attention from the predicting position to each source, repeated over the columns of a head."""
    entries: dict[str, Float[Tensor, "row source in"]]
    """The value there."""

    def parts(self, path: str) -> Float[Tensor, "row source in"]:
        """Return what each attention unit (head × dimension × source) adds to the read-out, nats."""
        return self.slopes[path][:, None] * self.weights[path] * self.entries[path]


def sources(lm: LM, rows: Sequence[Row]) -> Iterator[Sources]:
    """Yield batches of rows with every attention unit of the decoder told apart by source.

    Sources of cross-attention are positions in the encoder. Runs the eager attention implementation, and puts the
    former one back. Raises CannotRun where what is read from all sources is not what the writer sees.
    """
    known = {site.path for site in writers(lm)}
    heads = Layout("head", tuple(site for site in lm.layout("head").sites if site.path in known))
    reader = Reader(lm, lm.layout("value"))
    maps = {site.path: ValueMap.of(lm, site) for site in heads.sites}
    for chunk, attended in attention(lm, rows, heads):
        yield _batch(reader, chunk, maps, attended, heads)


@torch.no_grad()
def _batch(
    reader: Reader, rows: tuple[Row, ...], maps: dict[str, ValueMap], attended: dict[str, Tensor], heads: Layout
) -> Sources:
    made: dict[str, Tensor] = {}

    def catch(path: str) -> Callable[[Any, Any, Tensor], None]:
        def hook(module: Any, args: Any, output: Tensor) -> None:
            made[path] = output.detach().float()

        return hook

    with ExitStack() as hooks:
        hooks.enter_context(eager(reader.lm))  # in half precision another implementation rounds values differently
        for each in maps.values():
            hooks.callback(reader.lm.module(each.path).register_forward_hook(catch(each.path)).remove)
        found = read_out(reader.lm, rows, reader.tail)
    at = torch.tensor([row.targets[0].position for row in rows])
    weights: dict[str, Tensor] = {}
    entries: dict[str, Tensor] = {}
    for site in heads.sites:
        each = maps[site.path]
        entries[site.path] = made[each.path].reshape(len(rows), -1, made[each.path].shape[-1])[:, :, each.rows]
        chosen = attended[site.path][torch.arange(len(rows)), :, at]
        weights[site.path] = chosen.transpose(1, 2).repeat_interleave(site.width, dim=2)
        read = (weights[site.path] * entries[site.path]).sum(1)
        if not torch.allclose(read, found.stream.inputs[site.path], atol=0.05 * float(read.abs().max()), rtol=0.05):
            raise CannotRun(
                f"{site.path}: attention × values of {each.path} is not what it sees, so it cannot be told apart by "
                "source"
            )
    wanted = target_weights(rows, found.raw)
    values = values_of(found.capped(found.raw), wanted)
    return Sources(rows, values, reader.slopes(rows, found, wanted), weights, entries)
