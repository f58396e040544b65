"""The same model before any training: what it shows comes from its shape and its tokenizer, not from what it learnt."""

from __future__ import annotations

import copy
import dataclasses

import torch

from evenhand.core.errors import CannotRun
from evenhand.lm.load import wrap
from evenhand.lm.model import LM


def untrained(lm: LM, seed: int) -> LM:
    """Return a model of the same shape, number format and device with random weights, as its own class draws them.

    It takes as much memory as the model itself. Raises CannotRun where there is no room for it, and
    where the model is quantised or spread over devices.
    """
    if lm.quantised() or getattr(lm.model, "hf_device_map", None):
        raise CannotRun("random weights are only made for a model that is not quantised and lies on one device")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        try:
            model = type(lm.model)(copy.deepcopy(lm.model.config))
            model = model.to(device=lm.device, dtype=next(iter(lm.model.parameters())).dtype)
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise CannotRun("there is no room for a second model of this size; leave `untrained` out") from error
    identity = dataclasses.replace(lm.identity, source=f"{lm.identity.source} before training", sha256="", revision="")
    fresh = wrap(model, lm.tokenizer, identity, lm.family, lm.notify)
    fresh.budget = lm.budget
    return fresh
