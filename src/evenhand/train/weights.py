"""The parameters being trained, lent by the model and given back to the bit."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from evenhand.core.errors import CannotRun, UsageError
from evenhand.lm.model import LM
from evenhand.train.contracts import Recipe, Values

_HALF = (torch.float16, torch.bfloat16)


class Weights:
    """The values being trained and the optimiser's state.

    A parameter in half precision has a float32 master copy that is updated and rounded into it; others are updated in
    place. Their `grad` is never used. Only `lent` may change the model, and it puts everything back.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], recipe: Recipe) -> None:
        self.names = tuple(parameters)
        self.parameters = tuple(parameters.values())
        self.masters = [p.detach().float() if p.dtype in _HALF else p.detach() for p in self.parameters]
        fused = {m.device.type for m in self.masters} <= {"cpu", "cuda"}
        self.optimiser = torch.optim.AdamW(
            self.masters, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=fused or None
        )

    def update(self, gradients: list[Tensor], lr: float) -> None:
        """Make one step; `gradients` is emptied on the way, so that they are not held twice."""
        self.optimiser.param_groups[0]["lr"] = lr
        for master in reversed(self.masters):
            gradient = gradients.pop()
            master.grad = gradient.to(master.dtype)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self._round()

    def values(self) -> Values:
        """Return a copy of the values, on the CPU, in the model's number format."""
        return {n: p.detach().to("cpu", copy=True) for n, p in zip(self.names, self.parameters, strict=True)}

    @contextmanager
    def holding(self, values: Values) -> Generator[None]:
        """Put other values into the model for the length of a `with` block."""
        now = self.values()
        try:
            self._put(values)
            yield
        finally:
            self._put(now)

    def _put(self, values: Values) -> None:
        for name, parameter in zip(self.names, self.parameters, strict=True):
            parameter.data.copy_(values[name])

    def state(self) -> dict[str, Any]:
        """Return everything `restore` needs, not copied."""
        return {"masters": self.masters, "optimiser": self.optimiser.state_dict()["state"]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        for master, value in zip(self.masters, state["masters"], strict=True):
            master.copy_(value)
        whole = self.optimiser.state_dict()
        self.optimiser.load_state_dict({"state": state["optimiser"], "param_groups": whole["param_groups"]})
        self._round()

    def _round(self) -> None:
        for parameter, master in zip(self.parameters, self.masters, strict=True):
            if parameter.dtype in _HALF:
                parameter.data.copy_(master)


@contextmanager
def lent(lm: LM, parameters: Mapping[str, nn.Parameter], original: Values) -> Generator[None]:
    """Let only these parameters have gradients; at the end values, flags, modes and random state are as before."""
    known = {id(p): p for p in [*lm.model.parameters(), *parameters.values()]}
    flags = [(p, p.requires_grad) for p in known.values()]
    modes = [(module, module.training) for module in lm.model.modules()]
    chosen = {id(p) for p in parameters.values()}
    devices = range(torch.cuda.device_count()) if _on_accelerator(parameters) else ()
    with torch.random.fork_rng(devices=[*devices]):
        try:
            for parameter, _ in flags:
                parameter.requires_grad_(id(parameter) in chosen)
            yield
        finally:
            for name, parameter in parameters.items():
                parameter.data.copy_(original[name])
            for parameter, flag in flags:
                parameter.requires_grad_(flag)
            for module, training in modes:
                module.training = training


def check(lm: LM, parameters: Mapping[str, nn.Parameter]) -> None:
    """Raise where these parameters cannot be trained: none, one twice, quantised, offloaded."""
    if not parameters:
        raise UsageError("there are no parameters to train; name at least one")
    if len({id(p) for p in parameters.values()}) < len(parameters):
        raise UsageError("a parameter to train is named twice (tied weights?); name each once")
    for name, parameter in parameters.items():
        if not parameter.is_floating_point() or parameter.device.type == "meta":
            raise CannotRun(
                f"{name}: is quantised or offloaded, so it cannot be trained; load {lm.identity.source} "
                "unquantised and in memory, or train an adapter on it"
            )


def seeded(parameters: Sequence[nn.Parameter], seed: int) -> None:
    """Seed what dropout draws from, inside `lent`."""
    if any(p.device.type == "cuda" for p in parameters):
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


def _on_accelerator(parameters: Mapping[str, nn.Parameter]) -> bool:
    return any(p.device.type == "cuda" for p in parameters.values())
