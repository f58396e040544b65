"""Add a stored change to whole parameters: what a training made of them less what they were.

The change is kept in float32 whatever the model's number format: the difference of two numbers in half precision is
exact there, so that base + change, rounded once, gives the trained bits; of a float32 model it gives them to one
rounding. A part of it may be kept: of each parameter the largest entries, or of each matrix the low-rank change that is
nearest to it (its first singular directions, stored as two factors). The change means something beside the base it was
made from only: an edit's file names that model, and `evenhand.load_edit` refuses another before anything is applied.
"""

from __future__ import annotations

import math
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from evenhand.core.edit import Edit
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.trained import Trained
from evenhand.edits._stack import entered
from evenhand.lm.model import LM


@dataclass(frozen=True, eq=False)
class Change:
    """What is added to one parameter: all of it, or the entries at `at` in the order they are stored."""

    shape: tuple[int, ...]
    values: Float[Tensor, " entry"]
    """Float32, on the CPU."""
    at: Int[Tensor, " entry"] | None = None

    def whole(self) -> Float[Tensor, "..."]:
        """Return the change in the parameter's shape, 0 where nothing is added."""
        if self.at is None:
            return self.values.reshape(self.shape)
        return torch.zeros(math.prod(self.shape)).index_copy_(0, self.at.long(), self.values).reshape(self.shape)

    def largest(self, share: float) -> Change:
        """Return the change with only this share of the parameter's entries, the largest (at least one)."""
        flat = self.whole().flatten()
        at = flat.abs().topk(max(1, round(share * len(flat))), sorted=False).indices.sort().values
        return Change(self.shape, flat[at], at.int())

    def tensors(self) -> dict[str, Tensor]:
        """Return what is stored: the values, and where they stand in a sparse change."""
        return {"values": self.values} | ({} if self.at is None else {"at": self.at})

    def random(self, generator: torch.Generator) -> Change:
        """Return another change of as many entries and the same norm."""
        drawn = torch.randn(len(self.values), generator=generator)
        drawn = drawn * _norm(self.values) / max(_norm(drawn), 1e-30)
        if self.at is None:
            return Change(self.shape, drawn)
        places = torch.randperm(math.prod(self.shape), generator=generator)[: len(drawn)].sort().values
        return Change(self.shape, drawn, places.int())


@dataclass(frozen=True, eq=False)
class LowRank:
    """What is added to one matrix: the product of two factors, float32, on the CPU."""

    left: Float[Tensor, "out rank"]
    right: Float[Tensor, "rank in"]

    @classmethod
    def nearest(cls, change: Float[Tensor, "out in"], rank: int) -> LowRank:
        """Return the change of at most this rank that is nearest by the Frobenius norm (Eckart and Young 1936)."""
        left, values, right = cast("tuple[Tensor, Tensor, Tensor]", torch.linalg.svd(change, full_matrices=False))
        return cls((left[:, :rank] * values[:rank]).contiguous(), right[:rank].contiguous())

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the matrix."""
        return (len(self.left), self.right.shape[1])

    def whole(self) -> Float[Tensor, "out in"]:
        """Return the change in the parameter's shape."""
        return self.left @ self.right

    def tensors(self) -> dict[str, Tensor]:
        """Return what is stored."""
        return {"left": self.left, "right": self.right}

    def random(self, generator: torch.Generator) -> LowRank:
        """Return another change of the same rank and norm."""
        left, right = (torch.randn(each.shape, generator=generator) for each in (self.left, self.right))
        return LowRank(left * (_norm(self.whole()) / max(_norm(left @ right), 1e-30)), right)


@final
@dataclass(frozen=True, eq=False)
class Delta(Edit):
    """Add its own change to each named parameter, in float32, rounded once to the parameter's number format.

    `applied` and `bake` compute the same. Parameters that share their memory (tied embeddings) are named once.
    """

    changes: Mapping[str, Change | LowRank]
    trained: Trained | None = None

    def __post_init__(self) -> None:
        """Freeze the mapping."""
        object.__setattr__(self, "changes", MappingProxyType(dict(self.changes)))

    @classmethod
    def between(
        cls, base: Mapping[str, Tensor], trained: Mapping[str, Tensor], share: float = 1.0, rank: int = 0
    ) -> Delta:
        """Return the change from `base` to `trained`; parameters that did not change are left out.

        Of a share below 1 the largest changes of each parameter are kept; with a rank above 0, of each matrix with more
        rows and columns the nearest change of that rank, and what is no matrix whole.
        """
        changes: dict[str, Change | LowRank] = {}
        for name, value in trained.items():
            before = base[name].detach().cpu()
            if not torch.equal(before, value.cpu()):
                whole = value.cpu().float() - before.float()
                change = Change(tuple(value.shape), whole.flatten())
                if rank and whole.ndim == 2 and rank < min(whole.shape):
                    changes[name] = LowRank.nearest(whole, rank)
                else:
                    changes[name] = change if share >= 1 else change.largest(share)
        return cls(changes)

    def applied(self, lm: LM) -> AbstractContextManager[None]:
        """Add the changes for the length of a `with` block."""
        return entered(lm, self, self._in_weights(lm))

    @contextmanager
    def _in_weights(self, lm: LM) -> Generator[None]:
        weights = dict(self._weights(lm))
        kept = {name: weight.clone() for name, weight in weights.items()}
        try:
            self._add(weights)
            yield
        finally:
            for name, weight in weights.items():
                weight.copy_(kept[name])

    def bake(self, lm: LM) -> None:
        """Add the changes for good; equal to `applied`."""
        self._add(dict(self._weights(lm)))

    def _add(self, weights: Mapping[str, Tensor]) -> None:
        for name, weight in weights.items():
            weight.copy_((weight.float() + self.changes[name].whole().to(weight.device)).to(weight.dtype))

    def _weights(self, lm: LM) -> Iterator[tuple[str, Tensor]]:
        """Every parameter that is changed, all checked before the first is touched."""
        known: dict[str, Tensor] = dict(lm.model.named_parameters())
        for name, change in self.changes.items():
            weight = known.get(name)
            if weight is None or tuple(weight.shape) != change.shape:
                what = "is not there" if weight is None else f"has the shape {tuple(weight.shape)}, not {change.shape}"
                raise UsageError(
                    f"this edit changes {name}, which {what} in {lm.identity.source}; use it on the model it was "
                    "fitted on"
                )
            if lm.quantised() or not weight.is_floating_point() or weight.device.type == "meta":
                raise CannotRun(
                    f"{name}: the weight is quantised or offloaded, so nothing can be added to it; load "
                    f"{lm.identity.source} unquantised and in memory"
                )
            yield name, weight.detach()

    def tensors(self) -> dict[str, Tensor]:
        """Return the values of every change, where they stand in a sparse one, and the factors of a low-rank one."""
        return {
            f"{name}.{what}": each for name, change in self.changes.items() for what, each in change.tensors().items()
        }

    def settings(self) -> dict[str, Any]:
        """Return the parameters in their order, with their shapes."""
        return {"parameters": [[name, list(change.shape)] for name, change in self.changes.items()]}

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], settings: dict[str, Any]) -> Delta:
        """Rebuild from file."""
        changes: dict[str, Change | LowRank] = {}
        for name, shape in settings["parameters"]:
            if f"{name}.left" in tensors:
                changes[name] = LowRank(tensors[f"{name}.left"], tensors[f"{name}.right"])
            else:
                changes[name] = Change(tuple(shape), tensors[f"{name}.values"], tensors.get(f"{name}.at"))
        return cls(changes)

    def control(self, seed: int) -> Delta:
        """Return a random change: of each parameter as many entries, or the same rank, and the same norm."""
        generator = torch.Generator().manual_seed(seed)
        return Delta({name: change.random(generator) for name, change in self.changes.items()})

    def describe(self) -> str:
        """Return one plain sentence."""
        if not self.changes:
            return "adds nothing"
        return f"adds a trained change to {len(self.changes)} parameters{self._kept()} in {_places(self.changes)}"

    def _kept(self) -> str:
        """What was kept of the whole change, in words."""
        ranks = {len(change.right) for change in self.changes.values() if isinstance(change, LowRank)}
        if ranks:
            return f" (matrices by rank {max(ranks)})"
        plain = [change for change in self.changes.values() if isinstance(change, Change)]
        entries, size = sum(len(each.values) for each in plain), sum(math.prod(each.shape) for each in plain)
        return "" if entries == size else f" ({entries / size:.1%} of their entries)"


def _places(names: Mapping[str, object]) -> str:
    """The layers of some parameters in words."""
    numbers = [int(found.group(1)) for name in names if (found := re.search(r"\.(\d+)\.", name))]
    outside = "the part outside the layers" if len(numbers) < len(names) else ""
    if not numbers:
        return outside
    first, last = min(numbers), max(numbers)
    return (f"layer {first}" if first == last else f"layers {first} to {last}") + (f" and {outside}" if outside else "")


def _norm(values: Float[Tensor, "..."]) -> float:
    return math.sqrt(float(values.double().square().sum()))
