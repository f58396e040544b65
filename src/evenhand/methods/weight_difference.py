"""Prune the single weights that matter for the minority group but not for the majority group (set difference).

Paper: Ma, Salinas, Henderson, Nyarko, "Breaking Down Bias: On the Limits of Generalizable Pruning Strategies", FAccT
2025 (arXiv 2502.07771), whose "neurons" are single weights in the authors' code; after the set difference of Wei et al.
2024 (arXiv 2402.05162). `set_difference` does the same for whole units.

What it does: scores every weight of every linear map in the blocks on the prompts of each group, and switches off
P = Top_τmin(S_minority) − Top_τmaj(S_majority), the tops taken in every matrix by itself (`among = "matrix"`), in every
row of it, or over all matrices (`"global"`). `score = "wanda"`: S_ij = |W_ij| · ‖X_j‖₂, with ‖X_j‖₂² = 1/N Σ_prompts
Σ_tokens x_j² over the prompts with the unedited model's own answer after them (`tokens = "all"`). `score = "snip"`:
S = |W| · mean over prompts of |dL/dW|, L the negative log-likelihood of that answer (Wei et al.). The first group is
the majority, the others are minorities (their sets are united).

Defaults: τ = 0.15 / 0.15 (authors' code). A third-party transcription of the final paper has 0.40 / 0.35; its units are
not verified. `less = "utility"` subtracts the top on the utility texts instead, as Wei et al. do (their norms are of
the answer's tokens: `tokens = "answer"`). `combine` as in `set_difference`: in P for every variation (the paper's
general sets), for at least `votes` of them, or one score over all. `modules` keeps to matrices whose path a regular
expression finds, such as `mlp|o_proj` (Wei et al. prune only modules in which the two sets overlap little).

`path` gives the sets that lie between: with τmaj fixed, it finds for each number of weights the τmin at which that many
are in P. Weights are only read, group after group, from the unedited model (the authors' loop prunes on and on without
a reload); nothing as large as the model is ever held but the chosen places.

Pitfalls: a score is never negative, and a set taken with the sign turned is of what matters least; nothing here looks
at the outcome, and what matters for both groups is protected however much more it matters for one (on the bundled
planted model the planted neurons' weights are in P no more often than by chance); where τmin exceeds τmaj at least that
difference goes; tops in a whole matrix pile onto few input columns (`fit` says how few; `among = "row"` does not);
intersections shrink as variations are added; other prompts give other sets; a pruned model is neither smaller nor
faster. `snip` runs the model again for every pass over the scores.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from evenhand.core.component import Selection, Site, Space
from evenhand.core.entries import Among, MatrixScores, difference, highest_share, places, widened
from evenhand.core.errors import UsageError
from evenhand.core.highest import nested
from evenhand.core.scenario import Scenario
from evenhand.core.select import vote
from evenhand.edits.scale import Factor, Scale
from evenhand.lm.family import writer_inputs
from evenhand.lm.model import LM
from evenhand.locate._sides import Combine, Prune, by_group, parts_of, sides, votes_needed
from evenhand.locate.snip import Snip
from evenhand.locate.wanda import Wanda

Share = Annotated[float, Field(ge=0, le=1)]
Pair = tuple[MatrixScores, MatrixScores]
"""Scores of a group to prune, and of what is protected."""


@dataclass(frozen=True)
class WeightDifference:
    """Top weights for the minority minus top weights for the majority; τ are shares."""

    score: Literal["wanda", "snip"] = "wanda"
    minority: Share = 0.15
    majority: Share = 0.15
    among: Among = "matrix"
    """Of what τ is a share: of every matrix, of every row (an output feature), or of all matrices (`global`)."""
    prune: Prune = "minority"
    less: Literal["majority", "utility"] = "majority"
    combine: Combine = "intersection"
    votes: Annotated[int, Field(ge=0)] = 0
    """For `vote`: in how many variations a weight must be chosen; 0 is a majority of them."""
    tokens: Literal["all", "answer", "prompt"] = "all"
    """Wanda: where inputs are read; the answer is the unedited model's own."""
    modules: str = ""
    """Regular expression that a matrix's path must contain; empty: all matrices."""
    factor: Factor = 0.0

    def __post_init__(self) -> None:
        """Refuse a `modules` that is no regular expression."""
        try:
            re.compile(self.modules)
        except re.error as error:
            raise UsageError(
                f"weight_difference: modules is a regular expression, not {self.modules!r} ({error})"
            ) from error

    @property
    def space(self) -> Space:
        """Single weights, always."""
        return "weight"

    def fit(self, lm: LM, bias: Scenario, utility: Scenario) -> Scale:
        """Return the edit at τmin and τmaj."""
        parts = self._parts(lm, bias, utility)
        shares = self.minority, self.majority
        sets = [vote([difference(*pair, shares, self.among) for pair in pairs], 1) for pairs in parts]
        edit = self._edit(lm, vote(sets, votes_needed(self.combine, self.votes, len(parts))))
        if not len(edit.selection):
            lm.notify("weight_difference: no weight is left; fewer variations, a larger τ for the minority, or combine "
                      "'vote'")  # fmt: skip
        else:
            lm.notify(f"weight_difference: {_concentration(lm, edit.selection)}")
        return edit

    def path(self, lm: LM, bias: Scenario, utility: Scenario, sizes: Sequence[int]) -> list[Scale]:
        """Return the edits that τmin would give at these numbers of weights; raises when too few are unprotected."""
        parts = self._parts(lm, bias, utility)
        votes = votes_needed(self.combine, self.votes, len(parts))

        def stream(sites: Sequence[Site]) -> Iterator[Float[Tensor, "_out _in"]]:
            every = [[self._reached(*pair) for pair in pairs] for pairs in parts]
            for site in sites:
                each = (torch.stack([next(one) for one in pairs]).nan_to_num(nan=torch.inf).amin(0) for pairs in every)
                reached = _smallest(each, votes, len(parts))
                inputs = writer_inputs(lm.module(site.path))
                yield -reached.masked_fill(reached == torch.inf, torch.nan).view(-1, inputs)

        reach = MatrixScores(parts[0][0][0].layout, stream)
        return [self._edit(lm, chosen) for chosen in nested(reach, sizes)]

    def _edit(self, lm: LM, selection: Selection) -> Scale:
        return Scale(widened(selection, lm.layout("weight")), self.factor)

    def _parts(self, lm: LM, bias: Scenario, utility: Scenario) -> list[list[Pair]]:
        """For every variation the pairs of scores whose differences are united."""
        general = self._scores(lm, utility, "the utility texts") if self.less == "utility" else None
        found: list[list[Pair]] = []
        for part in parts_of(bias, self.combine):
            own = {group: self._scores(lm, cases, f"group {group!r}") for group, cases in by_group(part).items()}
            found.append([(own[pruned], general or own[kept]) for pruned, kept in sides(part, self.prune)])
        return found

    def _scores(self, lm: LM, part: Scenario, whose: str) -> MatrixScores:
        if not part.cases:
            raise UsageError(f"weight_difference: there are no cases of {whose}")
        scores = Wanda(tokens=self.tokens).score(lm, part) if self.score == "wanda" else Snip().of_weights(lm, part)
        kept = scores.only(lambda site: re.search(self.modules, site.path) is not None)
        if not kept.layout.sites:
            paths = ", ".join(site.path for site in scores.layout.sites[:8])
            raise UsageError(f"weight_difference: no matrix has {self.modules!r} in its path; the first are {paths}")
        return kept

    def _reached(self, pruned: MatrixScores, kept: MatrixScores) -> Iterator[Float[Tensor, " _entry"]]:
        """For each matrix the share that τmin must reach for an entry to be in P; NaN where it never is."""
        safe = highest_share(kept, self.majority, self.among)
        for place, mask in zip(places(pruned, self.among), safe, strict=True):
            yield place.masked_fill(mask, torch.nan)


def _smallest(each: Iterator[Float[Tensor, " n"]], place: int, of: int) -> Float[Tensor, " n"]:
    """The `place`-th smallest of several values; for the last one a running maximum, so that few are held."""
    if place < of:
        return torch.stack([*each]).kthvalue(place, dim=0).values
    largest = next(each)
    for other in each:
        largest = torch.maximum(largest, other)
    return largest


def _concentration(lm: LM, selection: Selection) -> str:
    """In how few input columns half of the chosen weights stand."""
    counts = torch.cat([
        torch.bincount(units % (width := writer_inputs(lm.module(site.path))), minlength=width)
        for site, units in zip(selection.layout.sites, selection.pieces(), strict=True)
    ])  # fmt: skip
    reached = counts.sort(descending=True).values.cumsum(0)
    few = int((reached < len(selection) / 2).sum()) + 1
    return f"half of the {len(selection)} chosen weights stand in {few / len(counts):.1%} of the input columns"
