"""From what a block writes to the logits: norm behind the writer, final norm, projection, output embedding.

A norm is a fixed linear map here: its weight on each coordinate (and the mean taken off, where the norm does that),
without the size it divides by, which is one number per position and is measured where it is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from evenhand.core.component import Site
from evenhand.core.errors import CannotRun
from evenhand.lm.model import LM

_CHUNK = 1 << 25
"""Entries of the output embedding turned to float32 at once (128 MiB)."""


@dataclass(frozen=True, eq=False)
class FixedNorm:
    """A norm without the size it divides by: x ↦ weight ∘ (x − mean), the mean only where the norm removes it."""

    weight: Float[Tensor, " d"]
    centres: bool

    @staticmethod
    @torch.no_grad()
    def of(norm: Any) -> FixedNorm:
        """Read the factors off the norm's output, because some store the weight and some 1 + it.

        A vector of alternating signs has mean 0 and size 1, so the norm leaves it as it is but for factors and bias.
        Raises CannotRun for an offloaded norm.
        """
        _in_memory(norm)
        parameter: Tensor = next(norm.parameters())
        probe = torch.ones(1, 1, len(parameter), dtype=parameter.dtype, device=parameter.device)
        probe[..., 1::2] = -1
        weight = ((norm(probe) - norm(-probe)) / (2 * probe)).flatten().float()
        return FixedNorm(weight, isinstance(norm, nn.LayerNorm))

    def __call__(self, x: Float[Tensor, "*k d"]) -> Float[Tensor, "*k d"]:
        """Apply the map to directions in the stream."""
        x = x.to(self.weight.device)
        return self.weight * (x - x.mean(-1, keepdim=True) if self.centres else x)

    def back(self, u: Float[Tensor, "*k d"]) -> Float[Tensor, "*k d"]:
        """Apply its transpose: from read-outs behind the norm to read-outs before it."""
        u = self.weight * u.to(self.weight.device)
        return u - u.mean(-1, keepdim=True) if self.centres else u


@dataclass(frozen=True, eq=False)
class Tail:
    """What stands between the last block and the logits, as a linear map without biases and without sizes."""

    norm: nn.Module | None
    fixed: FixedNorm | None
    project: Any
    head: Any

    @staticmethod
    def of(lm: LM, site: Site) -> Tail:
        """Return the tail behind the stack of this site.

        Raises CannotRun where its weights are offloaded.
        """
        trunk = lm.module(site.path.split(f".{site.layer}.")[0].rsplit(".", 1)[0])
        norm, project = _final_norm(trunk), getattr(trunk, "project_out", None)
        for module in (lm.head, project):
            if module is not None:
                _in_memory(module)
        return Tail(norm, None if norm is None else FixedNorm.of(norm), project, lm.head)

    def hidden(self, x: Float[Tensor, "k d"]) -> Float[Tensor, "k e"]:
        """From directions in the stream to what the output embedding sees."""
        x = x if self.fixed is None else self.fixed(x)
        return x if self.project is None else x.to(self.project.weight.device) @ self.project.weight.float().T

    def back(self, u: Float[Tensor, "k e"]) -> Float[Tensor, "k d"]:
        """From read-outs of what the output embedding sees to read-outs of the stream."""
        u = u if self.project is None else u.to(self.project.weight.device) @ self.project.weight.float()
        return u if self.fixed is None else self.fixed.back(u)

    def rows(self, tokens: Int[Tensor, " k"]) -> Float[Tensor, "k e"]:
        """Return the output embeddings of tokens, float32."""
        weight: Tensor = self.head.weight
        return weight[tokens.to(weight.device)].float()

    def logits(self, x: Float[Tensor, "k d"]) -> Float[Tensor, "k vocab"]:
        """Return what directions in the stream add to the logits per unit of 1 / size, float32."""
        hidden = self.hidden(x)
        return torch.cat([hidden.to(part.device) @ part.T for part in self._embedding()], dim=1)

    def read_outs(self, g: Float[Tensor, "k vocab"]) -> Float[Tensor, "k e"]:
        """Return Σ over the vocabulary of g · output embedding, float32."""
        parts = list(self._embedding())
        pieces = torch.split(g.to(parts[0].device), [len(part) for part in parts], dim=1)
        return sum((piece @ part for piece, part in zip(pieces, parts, strict=True)), torch.zeros(()))

    def _embedding(self) -> Iterator[Float[Tensor, "some e"]]:
        weight: Tensor = self.head.weight
        for part in torch.split(weight, max(1, _CHUNK // weight.shape[1])):
            yield part.float()


def norm_behind(lm: LM, site: Site) -> nn.Module | None:
    """Return the norm that stands between a writer and the stream (Gemma 2 and 3), or none."""
    block = lm.module(site.path.split(f".{site.layer}.")[0] + f".{site.layer}")
    if getattr(block, "post_feedforward_layernorm", None) is None:
        return None
    # Only beside that norm is the one called post-attention behind attention, not before the MLP.
    attends = site.path in {writer.path for writer in lm.layout("value").sites}
    return block.get_submodule("post_attention_layernorm" if attends else "post_feedforward_layernorm")


def writer_columns(lm: LM, site: Site) -> Float[Tensor, "in d"]:
    """Return what each input column of a writer adds to the stream per unit of activation, as a view of the weight.

    Raises CannotRun for weights that cannot be read.
    """
    module: Any = lm.module(site.path)
    weight: Tensor = module.weight
    if lm.quantised() or weight.device.type == "meta" or not weight.is_floating_point():
        raise CannotRun(f"{site.path}: its weights cannot be read (offloaded or quantised); load the model in memory")
    return weight if type(module).__name__ == "Conv1D" else weight.T


def _in_memory(module: nn.Module) -> None:
    """Refuse modules whose weights accelerate keeps elsewhere between passes."""
    if any(parameter.device.type == "meta" for parameter in module.parameters()):
        raise CannotRun(
            f"the path to the logits leads through {type(module).__name__}, whose weights are offloaded, and they must "
            "be read; load the model in memory, or use a locator that needs passes alone, such as contrast"
        )


def _final_norm(trunk: nn.Module) -> nn.Module | None:
    """The norm that stands beside the list of blocks (there is none in some OPT models)."""
    norms = [child for child in trunk.children() if "norm" in type(child).__name__.lower()]
    return norms[-1] if norms else None
