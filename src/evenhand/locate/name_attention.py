"""How much each attention head looks at the person's name.

Source: Ma et al. 2025 (arXiv 2502.07771). Third-party transcription of the paper: the largest attention weight over
(positions after the name) × (name tokens) while the prompt is read, mean over names. The authors' early code: the mean
over generated tokens and name tokens. It says where names are read, not where bias is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from evenhand.core.component import Attribution, Site, Space
from evenhand.core.errors import UsageError
from evenhand.core.scenario import Scenario
from evenhand.lm.attribution.answers import said_rows
from evenhand.lm.attribution.attention import attention
from evenhand.lm.attribution.rows import Row, prompt_rows
from evenhand.lm.model import LM


@dataclass(frozen=True)
class NameAttention:
    """Score heads by their attention to the tokens of the name, averaged over the cases.

    `reduce` is `max` or `mean` over queries and name tokens; a name of several tokens has a larger `max` and a smaller
    `mean` than one of a single token would. `positions` is `prompt` (queries: prompt tokens after the name) or
    `generation` (queries: the positions that generate the unedited model's own greedy answer). Needs the eager
    attention implementation and puts the former one back.
    """

    space: Space = "head"
    reduce: Literal["max", "mean"] = "max"
    positions: Literal["prompt", "generation"] = "prompt"

    def __post_init__(self) -> None:
        """Refuse a space without attention weights."""
        if self.space != "head":
            raise UsageError(
                f"name_attention scores heads: a {self.space} has no attention to the name; leave the space out, or "
                "use --space head"
            )

    def score(self, lm: LM, scenario: Scenario) -> Attribution:
        """Return one score per head, between 0 and 1; 0 where no name is in sight (T5: decoder to itself)."""
        if not scenario.cases:
            raise UsageError(f"scenario {scenario.name!r} has no cases to score")
        layout = lm.layout("head")
        cases = scenario.cases
        prompt = self.positions == "prompt"
        rows = prompt_rows(lm, cases, names=True) if prompt else said_rows(lm, scenario, names=True)
        sums = {site.path: torch.zeros(site.units, dtype=torch.float64) for site in layout.sites}
        for chunk, weights in attention(lm, rows, layout):
            for site in layout.sites:
                for row, one in zip(chunk, weights[site.path], strict=True):
                    if _blind(row, site):
                        continue
                    seen = one[:, self._queries(row, site, scenario)][:, :, list(row.name)].flatten(1).double()
                    sums[site.path] += (seen.amax(1) if self.reduce == "max" else seen.mean(1)).cpu()
        scores = torch.cat([sums[site.path] for site in layout.sites]) / len(cases)
        return Attribution(
            layout, scores.float(), "name_attention", {"reduce": self.reduce, "positions": self.positions}
        )

    def _queries(self, row: Row, site: Site, scenario: Scenario) -> list[int]:
        """Positions that look: after the name in the prompt, or those that predict the answer's tokens."""
        decoding = bool(row.decoder) and site.stack == "decoder"
        length, prompt = (len(row.decoder), 1) if decoding else (len(row.ids), row.prompt)
        if self.positions == "generation":
            found = list(range(prompt - 1, max(length - 1, prompt)))
        else:
            found = list(range(0 if decoding else max(row.name) + 1, prompt))
        if not found:
            raise UsageError(
                f"case {scenario.cases[row.case].id!r}: no token of its prompt comes after the name; end the template "
                "with more text, or use positions 'generation'"
            )
        return found


def _blind(row: Row, site: Site) -> bool:
    """Whether the site attends to decoder tokens only, where the name never stands."""
    return bool(row.decoder) and site.stack == "decoder" and "EncDecAttention" not in site.path
