"""Readouts of likelihoods written out by hand, one case per line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from evenhand.core.case import Case, Outcome
from evenhand.core.readout import Readout


def readout(
    kind: Outcome, logp: Sequence[Sequence[float]], facts: Sequence[Mapping[str, str]], right: Sequence[int] = ()
) -> Readout:
    """One case per row of log-likelihoods, its own cluster; of a choice, `right` names the favourable options."""
    cases = tuple(
        Case(str(i), "", "here", cluster=str(i), options=tuple(map(str, range(len(row)))), facts=tuple(known.items()),
             favourable=right[i] if right else None)
        for i, (row, known) in enumerate(zip(logp, facts, strict=True))
    )  # fmt: skip
    table = torch.tensor(logp, dtype=torch.float64)
    one = torch.ones(len(cases), dtype=torch.float64)
    value = table[:, 0] - table[:, 1] if kind == "pair" else one / 2
    return Readout(kind, cases, (), value, one, torch.arange(len(cases)), {"valid": one}, one.bool(),
                   arrays={"logp": table, "tokens": torch.ones_like(table)})  # fmt: skip
