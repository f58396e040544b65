"""How much each single weight passes on: its size times the size of the input it multiplies (Wanda).

Source: Sun et al. 2023 (arXiv 2306.11695), normalised as in the authors' code of Ma et al. 2025 (arXiv 2502.07771):
S_ij = |W_ij| · ‖X_j‖₂ with ‖X_j‖₂² = 1/N Σ_prompts Σ_tokens x_j² over the N prompts, in float32. Wanda itself switches
off the lowest scores and compares them within each row; here a high score is what is looked for.

Only the norms of the inputs are kept (a few numbers per matrix), and they are read in ordinary forward passes; the
scores are made from them one matrix at a time whenever they are asked for, from the weights as they are then.
Pitfalls: where an input is an outlier its whole column scores high; longer prompts have larger norms.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.component import Site, Space
from evenhand.core.entries import MatrixScores
from evenhand.core.errors import UsageError
from evenhand.core.scenario import Scenario
from evenhand.lm.attribution.answers import said_rows
from evenhand.lm.attribution.rows import prompt_rows
from evenhand.lm.attribution.trace import Batch, trace
from evenhand.lm.attribution.weights import matrix
from evenhand.lm.model import LM


@dataclass(frozen=True)
class Wanda:
    """Score weights by |W_ij| · ‖X_j‖₂; `tokens` says where the inputs are read.

    `all` is the prompt with the unedited model's own answer after it (the authors' choice), `answer` only that answer
    (Wei et al. 2024, arXiv 2402.05162), `prompt` only the prompt. Padding never counts. Masked models read the text as
    it is written, once, with nothing masked.
    """

    space: Space = "weight"
    tokens: Literal["all", "answer", "prompt"] = "all"

    def __post_init__(self) -> None:
        """Refuse a space whose units are not weights."""
        if self.space != "weight":
            raise UsageError(
                f"wanda scores single weights, not space {self.space!r}; leave the space out, or use activation_norm, "
                "which is the same for neurons and heads"
            )

    def score(self, lm: LM, scenario: Scenario) -> MatrixScores:
        """Return a score per weight, never negative; 0 where no such token is seen (T5's encoder sees no answer)."""
        if not scenario.cases:
            raise UsageError(f"scenario {scenario.name!r} has no cases to score")
        layout = lm.layout("weight")
        rows = prompt_rows(lm, scenario.cases) if self.tokens == "prompt" else said_rows(lm, scenario)
        sums: dict[str, Tensor] = {}
        for batch in trace(lm, rows, layout):
            for path, added in self._squares(batch).items():
                sums[path] = sums[path] + added if path in sums else added
            del batch  # so that two batches are never held at once
        norms = {path: (total / len(scenario.cases)).sqrt().float() for path, total in sums.items()}

        def stream(sites: Sequence[Site]) -> Iterator[Float[Tensor, "_out _in"]]:
            for site in sites:
                weight = matrix(lm, site.path)
                yield weight.abs().float() * norms[site.path].to(weight.device)

        return MatrixScores(layout, stream, "wanda", {"tokens": self.tokens})

    def _squares(self, batch: Batch) -> dict[str, Float[Tensor, " _in"]]:
        """Sum of the squared inputs of each matrix over its tokens; matrices with the same input share it."""
        known: dict[tuple[int, torch.Size, str], Tensor] = {}
        found: dict[str, Tensor] = {}
        for site in batch.layout.sites:
            inputs = batch.captured[site.path]
            key = (inputs.data_ptr(), inputs.shape, site.sees or site.stack)
            if key not in known:
                seen = inputs.float().square() * batch.mask(site, self.tokens)[:, :, None]
                known[key] = seen.sum((0, 1), dtype=torch.float64).cpu()
            found[site.path] = known[key]
        return found
