"""Add low-rank changes to linear maps (LoRA): to each weight W its own B A, times alpha / rank.

The change of Hu et al. 2021 (LoRA, arXiv:2106.09685) with plain scaling; biases stay. `evenhand export --adapter`
writes it as an adapter that plain peft loads, `evenhand export` bakes it into the weights.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.edit import Edit
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.trained import Trained
from evenhand.edits._stack import entered
from evenhand.lm.family import transposed, writer_inputs, writer_outputs
from evenhand.lm.model import LM

Factors = tuple[Float[Tensor, "rank in"], Float[Tensor, "out rank"]]
"""A and B of one map."""


@final
@dataclass(frozen=True, eq=False)
class Lora(Edit):
    """Add `alpha / rank` times B A to the weight of each named linear map (`nn.Linear`, or GPT-2's `Conv1D`).

    The product is made in float32 and the sum rounded once to the weight's own number format, by `applied` and `bake`
    alike; what a half-precision weight cannot hold of a small change is lost there, while an adapter that plain peft
    runs beside the weight keeps it. Raises UsageError for factors that do not fit together.
    """

    factors: Mapping[str, Factors]
    alpha: float
    trained: Trained | None = None

    def __post_init__(self) -> None:
        """Check that all maps have one rank, and freeze the mapping."""
        for path, (a, b) in self.factors.items():
            if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[1] or a.shape[0] != self.rank:
                raise UsageError(
                    f"{path}: factors of shape {tuple(a.shape)} and {tuple(b.shape)}; expected [{self.rank}, in] and "
                    f"[out, {self.rank}], of the same rank for all maps"
                )
        object.__setattr__(self, "factors", MappingProxyType(dict(self.factors)))

    @property
    def rank(self) -> int:
        """Rank of every change; 0 without maps."""
        return next((a.shape[0] for a, _ in self.factors.values()), 0)

    @property
    def scaling(self) -> float:
        """What B A is multiplied by."""
        return self.alpha / self.rank if self.rank else 0.0

    def change(self, path: str) -> Float[Tensor, "out in"]:
        """Return what is added to the weight of one map, in float32."""
        a, b = self.factors[path]
        return (b.float() @ a.float()) * self.scaling

    def applied(self, lm: LM) -> AbstractContextManager[None]:
        """Add the changes for the length of a `with` block."""
        return entered(lm, self, self._in_weights(lm))

    @contextmanager
    def _in_weights(self, lm: LM) -> Generator[None]:
        weights = dict(self._weights(lm))
        kept = {path: weight.clone() for path, weight in weights.items()}
        try:
            self._add(lm, weights)
            yield
        finally:
            with torch.no_grad():
                for path, weight in weights.items():
                    weight.copy_(kept[path])

    def bake(self, lm: LM) -> None:
        """Add the changes for good; equal to `applied`."""
        self._add(lm, dict(self._weights(lm)))

    def _add(self, lm: LM, weights: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for path, weight in weights.items():
                change = self.change(path).to(weight.device)
                summed = weight.float() + (change.T if transposed(lm.module(path)) else change)
                weight.copy_(summed.to(weight.dtype))

    def _weights(self, lm: LM) -> Iterator[tuple[str, Tensor]]:
        """Every weight that is changed, all checked before the first is touched."""
        if lm.quantised():
            raise CannotRun(
                f"{lm.identity.source}: the model is quantised, so nothing can be added to its weights; load it "
                "unquantised, or export the edit as an adapter and load that with peft"
            )
        for path, (a, b) in self.factors.items():
            try:
                module = lm.module(path)
            except AttributeError as error:
                raise _elsewhere(lm, path, "is not there") from error
            if not hasattr(module, "weight") or (writer_outputs(module), writer_inputs(module)) != (
                b.shape[0], a.shape[1],
            ):  # fmt: skip
                raise _elsewhere(lm, path, f"is not {b.shape[0]} by {a.shape[1]}")
            if module.get_parameter("weight").device.type == "meta":
                raise CannotRun(
                    f"{path}: the weight is offloaded, so adding to it in place would change nothing; load the model "
                    "with a device_map that keeps it in memory"
                )
            yield path, lm.editable_weight(path).data

    def tensors(self) -> dict[str, Tensor]:
        """Return both factors of every map."""
        named = {f"{path}.lora_A": a for path, (a, _) in self.factors.items()}
        return named | {f"{path}.lora_B": b for path, (_, b) in self.factors.items()}

    def settings(self) -> dict[str, Any]:
        """Return alpha and the maps in their order."""
        return {"alpha": self.alpha, "maps": list(self.factors)}

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], settings: dict[str, Any]) -> Lora:
        """Rebuild from file."""
        factors = {path: (tensors[f"{path}.lora_A"], tensors[f"{path}.lora_B"]) for path in settings["maps"]}
        return cls(factors, float(settings["alpha"]))

    def control(self, seed: int) -> Lora:
        """Return a random change of the same rank, and of each map the same Frobenius norm."""
        generator = torch.Generator().manual_seed(seed)
        drawn: dict[str, Factors] = {}
        for path, (a, b) in self.factors.items():
            other = torch.randn(a.shape, generator=generator), torch.randn(b.shape, generator=generator)
            share = norm(a, b) / norm(*other)
            drawn[path] = (other[0], other[1] * share)
        return Lora(drawn, self.alpha)

    def describe(self) -> str:
        """Return one plain sentence."""
        changed = [path for path, (_, b) in self.factors.items() if bool(b.any())]
        if not changed:
            return "adds nothing"
        maps = "map" if len(changed) == 1 else "maps"
        return f"adds rank-{self.rank} changes to {len(changed)} {maps} in {places(changed)}"


def norm(a: Float[Tensor, "rank in"], b: Float[Tensor, "out rank"]) -> float:
    """Return the Frobenius norm of B A without making the product: the root of tr(BᵀB AAᵀ)."""
    a, b = a.double(), b.double()
    return float(((b.T @ b) * (a @ a.T)).sum().clamp(min=0).sqrt())


def places(paths: list[str]) -> str:
    """Return the layers of some maps in words, each stack by itself where a model has two."""
    layers: dict[str, set[int]] = {}
    for path in paths:
        found = re.search(r"(?:^|\.)(\d+)\.", path)
        if found is None:
            layers.setdefault("the part outside its layers", set())
        else:
            layers.setdefault(path[: found.start()].partition(".")[0], set()).add(int(found.group(1)))
    alone = len(layers) == 1
    return ", ".join(
        f"{'' if alone else f'{stack} '}layer{'s' if len(found) > 1 else ''} {_ranges(found)}" if found else stack
        for stack, found in layers.items()
    )


def _ranges(numbers: set[int]) -> str:
    """Numbers in order, runs of them by their ends: 0-3, 7."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _elsewhere(lm: LM, path: str, how: str) -> UsageError:
    return UsageError(
        f"this edit changes {path}, which {how} in {lm.identity.source}; use it on the model it was fitted on"
    )
