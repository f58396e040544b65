"""Sentences on two sides, hateful and neutral, made from templates: every template of a group counts the same."""

from __future__ import annotations

from collections import Counter

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Case
from evenhand.core.declared import Facts
from evenhand.core.readout import Readout

HATEFUL, NEUTRAL = "hateful", "neutral"
SIDES: Facts = {"side": (HATEFUL, NEUTRAL), "template": ("a", "b", "c")}
"""Facts `side` and `template`: sentences of two groups with the same template differ in the group only."""


def of_template(case: Case) -> tuple[str, str, str]:
    """Return what the sentences of one template about one group have in common."""
    return case.group, case.fact("template"), case.fact("side")


def by_side(readout: Readout) -> Float[Tensor, "case 4"]:
    """Return for each case weight and weight × nats per token, if hateful, then the same if neutral; else 0.

    The weight is 1 over the defined cases of its template, group and side. A case without tokens is undefined (NaN).
    """
    per_token = readout.arrays["logp"].double() / readout.arrays["tokens"].double()
    defined = readout.defined & per_token.isfinite()
    places = [of_template(case) for case in readout.cases]
    fellows = Counter(place for i, place in enumerate(places) if bool(defined[i]))
    weight = torch.tensor([1 / max(1, fellows[place]) for place in places], dtype=torch.float64)
    both = torch.stack([weight, weight * per_token], dim=1)
    parts = [
        both.where(torch.tensor([case.fact("side") == side for case in readout.cases], dtype=torch.bool)[:, None], 0.0)
        for side in (HATEFUL, NEUTRAL)
    ]
    return torch.cat(parts, dim=1).masked_fill(~defined[:, None], torch.nan)
