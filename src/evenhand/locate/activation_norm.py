"""How much each unit writes: mean size of its activation times the size of its writer's column (Wanda per unit).

Source: Ma et al. 2025 (arXiv 2502.07771) as transcribed by third parties: mean over tokens of |a_n| · ‖W[:, n]‖₂, then
mean over names. The `l2` mode is Wanda's norm (Sun et al. 2023, arXiv 2306.11695), normalised as in the authors' code:
 sqrt(1/N Σ_prompts Σ_tokens a_n²) · ‖W[:, n]‖₂. For a head, |a|·‖W‖ becomes the length of what the head writes,
‖W_h a_h‖₂, which for one column is the same thing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.component import Attribution, Site, Space
from evenhand.core.errors import UsageError
from evenhand.core.scenario import Scenario
from evenhand.lm.attribution.answers import said_rows
from evenhand.lm.attribution.rows import prompt_rows
from evenhand.lm.attribution.trace import Batch, trace
from evenhand.lm.attribution.weights import matrix
from evenhand.lm.model import LM

Mode = Literal["paper", "l2"]


@dataclass(frozen=True)
class ActivationNorm:
    """Score units by how much they write while the model reads the prompts, or gives its own answer, or both.

    `mode` is `paper` (mean of the size) or `l2` (root of the summed squares per prompt). `tokens` says where: `prompt`,
    `answer` (the unedited model's own greedy answer) or `all`. Scores are never negative; only norms are kept, never a
    score per weight.
    """

    space: Space = "neuron"
    mode: Mode = "paper"
    tokens: Literal["prompt", "answer", "all"] = "prompt"

    def __post_init__(self) -> None:
        """Refuse units that are no columns of a writer."""
        if self.space in ("row", "weight"):
            raise UsageError(
                f"activation_norm: a {self.space} is no input of a writer; use space 'neuron', 'head' or 'value'"
                + (", or locator wanda" if self.space == "weight" else "")
            )

    def score(self, lm: LM, scenario: Scenario) -> Attribution:
        """Return one score per unit, averaged over the cases; NaN where a unit sees no such token."""
        if not scenario.cases:
            raise UsageError(f"scenario {scenario.name!r} has no cases to score")
        if self.mode not in ("paper", "l2"):
            raise UsageError(f"activation_norm: mode is 'paper' or 'l2', not {self.mode!r}")
        layout = lm.layout(self.space)
        rows = prompt_rows(lm, scenario.cases) if self.tokens == "prompt" else said_rows(lm, scenario)
        grams = {site.path: _gram(lm, site) for site in layout.sites}
        sums = {site.path: torch.zeros(site.units, dtype=torch.float64) for site in layout.sites}
        counts = dict.fromkeys(sums, 0)
        for batch in trace(lm, rows, layout):
            for site in layout.sites:
                total, seen = self._batch(batch, site, grams[site.path])
                sums[site.path] += total
                counts[site.path] += seen
            del batch  # so that two batches are never held at once
        means = [sums[path] / counts[path] if counts[path] else sums[path] * torch.nan for path in sums]
        scores = torch.cat([mean.sqrt() if self.mode == "l2" else mean for mean in means]).float()
        return Attribution(layout, scores, "activation_norm", {"mode": self.mode, "tokens": self.tokens})

    def _batch(
        self, batch: Batch, site: Site, gram: Float[Tensor, "unit width width"]
    ) -> tuple[Float[Tensor, " unit"], int]:
        """Sum over the batch's rows of what each unit of a site writes, and how many rows have such tokens."""
        mask = batch.mask(site, self.tokens)
        size, seen = _written(batch.captured[site.path], gram, site), mask.sum(1)
        per_row = (size if self.mode == "l2" else size.sqrt()).mul(mask[:, :, None]).sum(1).double()
        if self.mode == "paper":
            per_row = per_row / seen.clamp(min=1)[:, None]
        return per_row.sum(0).cpu(), int((seen > 0).sum())


def _gram(lm: LM, site: Site) -> Float[Tensor, "unit width width"]:
    """Products of the writer's columns within each unit, float32; for a neuron the squared length of its column."""
    columns = matrix(lm, site.path).T
    if site.width == 1:
        return columns.norm(dim=1, dtype=torch.float32).square()[:, None, None]  # pyright: ignore
    blocks = (columns[start : start + site.width].float() for start in range(0, len(columns), site.width))
    return torch.stack([block @ block.T for block in blocks])


def _written(
    a: Float[Tensor, "row pos in"], gram: Float[Tensor, "unit width width"], site: Site
) -> Float[Tensor, "row pos unit"]:
    """Squared length of what each unit writes, aᵀ WᵀW a."""
    blocks = a.float().reshape(*a.shape[:2], site.units, site.width)
    if site.width == 1:
        return blocks[..., 0].square() * gram[:, 0, 0]
    return torch.einsum("rpuw,uwv,rpuv->rpu", blocks, gram, blocks).clamp(min=0)
