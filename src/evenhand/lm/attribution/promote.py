"""Which tokens a unit promotes: its writer column, seen through the final norm's scale and the unembedding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from evenhand.core.component import Selection, Site, Space
from evenhand.core.errors import CannotRun
from evenhand.lm.attribution.stream import writers
from evenhand.lm.batches.tail import FixedNorm, Tail, norm_behind
from evenhand.lm.family import transposed, writer_outputs
from evenhand.lm.model import LM

_CHUNK = 64


@dataclass(frozen=True, slots=True)
class Promoted:
    """One unit, and the tokens whose logits rise and fall most when it fires."""

    site: Site
    unit: int
    promotes: tuple[str, ...] = ()
    suppresses: tuple[str, ...] = ()


@torch.no_grad()
def promoted(lm: LM, selection: Selection, top: int = 8) -> Iterator[Promoted]:
    """Yield every selected unit with its `top` promoted and suppressed tokens (direct path only, logit lens).

    Source: Geva et al. 2022, *Transformer feed-forward layers build predictions by promoting concepts in the vocabulary
    space*. The lists are empty where there is no single linear path from unit to logits: attention heads (they write a
    subspace), rows of maps that do not write into the residual stream, single weights, encoder stacks, masked models (a
    transform follows), quantised or offloaded weights. A row of a writer is one coordinate of the residual stream.
    """
    for site, units in selection.by_site():
        found = _directions(lm, site, units, selection.layout.space)
        if found is None:
            yield from (Promoted(site, int(unit)) for unit in units)
            continue
        directions, tail = found
        for start in range(0, len(units), _CHUNK):
            logits = tail.logits(directions[start : start + _CHUNK])
            for unit, row in zip(units[start : start + _CHUNK], logits, strict=True):
                best, worst = row.topk(top).indices, (-row).topk(top).indices
                yield Promoted(site, int(unit), token_texts(lm, best), token_texts(lm, worst))


def _directions(lm: LM, site: Site, units: Int[Tensor, " k"], space: Space) -> tuple[Float[Tensor, "k d"], Tail] | None:
    """What each unit adds to the residual stream per unit of activation, and what is behind that.

    None where that is not one direction, or where weights on the way cannot be read.
    """
    module = lm.module(site.path)
    weight = module.get_parameter("weight") if not lm.quantised() else None
    if site.width != 1 or site.stack != "decoder" or lm.kind == "masked" or weight is None or space == "weight":
        return None
    if weight.device.type == "meta" or not weight.is_floating_point():
        return None
    if space == "row":
        if site.path not in {writer.path for writer in writers(lm)}:
            return None
        width = writer_outputs(module)
        directions = nn.functional.one_hot(units.to(weight.device), width).float()
    else:
        columns = weight if transposed(module) else weight.T
        directions = columns[units.to(weight.device)].float()
    after = norm_behind(lm, site)
    try:
        return directions if after is None else FixedNorm.of(after)(directions), Tail.of(lm, site)
    except CannotRun:
        return None


def token_texts(lm: LM, ids: Sequence[int] | Int[Tensor, " k"]) -> tuple[str, ...]:
    """Return each token's text with its leading space kept, by decoding it after another token."""
    anchor: list[int] = lm.tokenizer("a", add_special_tokens=False)["input_ids"][:1]

    def decode(tokens: list[int]) -> str:
        return str(lm.tokenizer.decode(tokens, clean_up_tokenization_spaces=False))

    start = decode(anchor)
    return tuple(decode([*anchor, int(i)]).removeprefix(start) for i in ids)
