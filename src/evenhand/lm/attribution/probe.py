"""What candidate edits would do, measured by really making them: gaps between groups, shift of the outcome, damage.

Many variants of the model run side by side (see `evenhand.lm.batches.variants`). The outcome is on a bounded scale,
unlike the linear objective that gradients are taken of: expected standardised number among a few answers (`number`),
probability of the favourable option (`choice`), difference of log-likelihoods (`pair`); each in standard deviations of
the unedited model's outcome in that variation, so that contexts of different kinds add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Case, Outcome
from evenhand.core.errors import UsageError
from evenhand.core.scenario import Scenario
from evenhand.lm.attribution.number_answers import number_answers
from evenhand.lm.attribution.objective import cells
from evenhand.lm.batches.variants import Variant
from evenhand.lm.model import LM
from evenhand.lm.scoring.forward import check_scored, score_options, score_texts

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Effects:
    """What each variant does."""

    gap: Float[Tensor, "variant cell"]
    """Mean outcome of the reference − that of another group, per context × variation × other group."""
    level: Float[Tensor, "variant cell"]
    """Mean of the two groups' outcomes."""
    divergence: Float[Tensor, " variant"]
    """KL(model as it stands ‖ variant) per token of the utility texts (nats)."""


@dataclass(frozen=True, eq=False)
class _Cell:
    """One variation: its cases, and how to read an outcome from the log-likelihoods of their options."""

    kind: Outcome
    cases: tuple[Case, ...]
    reference: str
    scale: float = 1.0
    value: Float[Tensor, " opt"] = field(default_factory=lambda: torch.empty(0))
    """Standardised value of each answer (`number` only). An answer that begins another counts what both get."""

    def outcome(self, scores: Sequence[Sequence[Float[Tensor, " _opt"]]]) -> Float[Tensor, "variant case"]:
        """Return the outcome of every case under every variant."""
        rows = [[self._one(case, one) for case, one in zip(self.cases, few, strict=True)] for few in scores]
        return torch.stack([torch.stack(row) for row in rows]) / self.scale

    def _one(self, case: Case, logp: Float[Tensor, " opt"]) -> Float[Tensor, ""]:
        if self.kind == "pair":
            return logp[0] - logp[1]
        share = logp.softmax(0)
        return (share * self.value).sum() if self.kind == "number" else share[case.favourable or 0]


class Probe:
    """Cases and texts to try variants on, and how the outcome is read from each variation's options."""

    def __init__(self, lm: LM, bias: Scenario, utility: Scenario, names: int, texts: int) -> None:
        """Keep at most `names` cases of each group and variation, and `texts` texts, spread evenly."""
        self.lm = lm
        self.texts = tuple(spread([case.prompt for case in utility.cases if not case.options], texts))
        self.cells = [_cell(lm, part, names) for part in cells(bias)]

    @property
    def places(self) -> list[tuple[str, str, str]]:
        """Return context, variation and other group of each column of `Effects.gap`."""
        return [(cell.cases[0].context, cell.cases[0].variation, group)
                for cell in self.cells for group in dict.fromkeys(case.group for case in cell.cases)
                if group != cell.reference]  # fmt: skip

    def effects(self, variants: Sequence[Variant | None]) -> Effects:
        """Measure every variant on the same cases and texts."""
        gap, level = self._outcomes(variants)
        return Effects(gap, level, self._divergence(variants))

    def gaps(self, variants: Sequence[Variant | None]) -> Float[Tensor, "variant cell"]:
        """Return `Effects.gap` alone: no text is read. None is the model as it stands, edits applied to it included."""
        return self._outcomes(variants)[0]

    def _outcomes(
        self, variants: Sequence[Variant | None]
    ) -> tuple[Float[Tensor, "variant cell"], Float[Tensor, "variant cell"]]:
        cases = [case for cell in self.cells for case in cell.cases]
        scores = score_options(self.lm, cases, variants)
        gaps: list[Tensor] = []
        levels: list[Tensor] = []
        first = 0
        for cell in self.cells:
            outcome = cell.outcome([few[first : first + len(cell.cases)] for few in scores])
            first += len(cell.cases)
            groups = [case.group for case in cell.cases]
            mean = {g: outcome[:, torch.tensor([own == g for own in groups])].mean(1) for g in dict.fromkeys(groups)}
            ours = mean.pop(cell.reference)
            gaps.extend(ours - other for other in mean.values())
            levels.extend((ours + other) / 2 for other in mean.values())
        return torch.stack(gaps, dim=1), torch.stack(levels, dim=1)

    def _divergence(self, variants: Sequence[Variant | None]) -> Float[Tensor, " variant"]:
        if not self.texts:
            return torch.zeros(len(variants), dtype=torch.float64)
        found = score_texts(self.lm, self.texts, variants)
        return torch.stack([one.kl.sum() / one.tokens.sum() for one in found])


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """Return at most `most` of the items, evenly spaced, order kept."""
    n = len(items)
    return [items[i * n // most] for i in range(most)] if n > most else list(items)


def _cell(lm: LM, part: Scenario, names: int) -> _Cell:
    context = part.contexts[0]
    groups = dict.fromkeys(case.group for case in part.cases)
    cases = tuple(case for g in groups for case in spread([c for c in part.cases if c.group == g], names))
    reference = part.groups[0]
    if context.outcome == "number":
        answers = number_answers(lm, part.cases)
        cases = tuple(replace(case, options=answers.texts) for case in cases)
        value = torch.tensor(answers.z, dtype=torch.float64) * (-1.0 if context.favourable == "low" else 1.0)
        return _Cell("number", cases, reference, value=value)
    if context.outcome not in ("choice", "pair"):
        raise UsageError(f"context {context.name!r}: outcome {context.outcome!r} cannot be probed")
    cell = _Cell(context.outcome, cases, reference)
    plain = cell.outcome([check_scored(cases, score_options(lm, cases)[0])])[0]
    scale = (plain.mean() * (1 - plain.mean())).sqrt() if context.outcome == "choice" else plain.std()
    return replace(cell, scale=float(scale))
