"""Bias neurons: units that push towards a wrong answer and do not serve the right one.

Source: Yang et al. 2024, "Mitigating Biases for Instruction-following Language Models via Bias Neurons Elimination"
(CRISPR; ACL 2024, long.490). Here a neuron is a *row*: one output feature, with its bias, of any linear map but the
output embedding. Other spaces are scored by the same formulas. Cases are questions whose options are scored and whose
`favourable` option is the right answer; a scenario's variations are the synonymous instructions.

For instruction ι, case x with right answer y, and h the unit's output at token t (k of them in x):

    ŷ = argmax_{c ≠ y} P(c | ι, x)                     the most probable wrong option, found without gradient        (2)
    A^y(h_t) = h_t · dP(y | ι, x)/dh_t                 activation × gradient                                         (1)
    B(h_t) = A^ŷ(h_t) − λ max(0, A^y(h_t))             a unit that serves the right answer is spared                 (3)
    B(ι, x) = max_t B(h_t)                             token maximum                                                 (4)
    B(ι) = Σ_x α_x B(ι, x),   α_x = P(ŷ | ι, x)        a case counts by how probable the wrong option is             (5)
    score = mean_ι B(ι)                                                                                              (6)

`mode = "paper"` is this. `mode = "code"` is what the authors' published code computes instead: log P in place of P,
over all tokens with the end token (encoder–decoder), so that α, here on both terms, stands once; token maxima of the
two terms taken apart; the right answer's term summed over a batch of `batch_size` cases and only then cut at 0, so that
the score depends on the batch; divided by the number of cases of the instruction.

`tokens` is what is done over tokens, `clamp` where max(0, ·) is taken (None: at each token in `paper`, over the batch
in `code`), `strength` is λ, `weight` whether α counts.

Where we are exact and faster: both answers are rows of one batch with one backward pass, beside which an encoder reads
each question once (its own backward pass runs once per answer), no parameter has a gradient, tokens are reduced while
the gradient flows. Σ_t h_t g_t also equals (W ∘ dL/dW) summed over a row + b · dL/db; that needs a gradient as large as
every matrix, so it serves only as a test.

Where we differ from the paper: P is that of the answer's tokens without an end token in `paper`, the very number that
options are compared by when answers are scored. In a decoder beside an encoder the two answers are other tokens;
their places are compared one by one, and a place that the right answer does not have counts nothing for it. Masked
models: pseudo-likelihood, and the tokens of all masked copies of a case count as its tokens.

Pitfalls: the maximum over tokens is not the effect of removal (that is the sum, with a minus sign); where P is near 1
the gradient of P vanishes, and where P(ŷ) is near 0 so does α, so certain and biased answers are hidden; what moves
probability to "cannot be determined" looks like less bias on questions that cannot be answered and costs the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from evenhand.core.component import Attribution, Layout, Space
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.scenario import Scenario
from evenhand.lm.attribution.outputs import Reduce, Tokens, contributions, over_tokens
from evenhand.lm.attribution.rows import Row
from evenhand.lm.batches.batching import Cost, Work, in_batches
from evenhand.lm.model import LM
from evenhand.lm.tokens import render
from evenhand.locate._answers import Pair, candidates, chosen, pair

Mode = Literal["paper", "code"]
Clamp = Literal["token", "instance", "batch", "dataset"]
_GRAPH = 4
"""A token with its graph takes as much of the budget as so many that are only forwarded."""


@dataclass(frozen=True)
class Crispr:
    """Score units by how much they push towards the most probable wrong option, less what they do for the right one."""

    space: Space = "row"
    mode: Mode = "paper"
    tokens: Tokens = "max"
    clamp: Clamp | None = None
    strength: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    weight: bool = True
    batch_size: Annotated[int, Field(ge=1)] = 4
    """Cases that `clamp = "batch"` sums together, in their order; computing is batched by memory, not by this."""

    @property
    def clamped(self) -> Clamp:
        """Where the right answer's term is cut at 0."""
        return self.clamp or ("token" if self.mode == "paper" else "batch")

    def score(self, lm: LM, scenario: Scenario) -> Attribution:
        """Return one score per unit: `paper` in probability, `code` in nats weighted by α.

        `notes` say how many cases and instructions there were, the mean α, and how often ŷ is likelier than the right
        answer. Raises UsageError for cases that are not questions with a right answer.
        """
        check_asked(scenario)
        layout = lm.layout(self.space)
        wrong = candidates(lm, scenario.cases)
        sums = _Sums(self, layout)

        def run(batch: list[_Item]) -> None:
            pairs = [
                pair(lm, item.case, scenario.cases[item.case], wrong[item.case], self.mode == "code") for item in batch
            ]
            sums.add(batch, *_terms(self, lm, layout, pairs))

        lengths = [len(lm.tokenizer(render(lm, case))["input_ids"]) for case in scenario.cases]
        work = Work([*self._items(scenario)], lambda item: Cost(lengths[item.case], 2 * _GRAPH, 2), run,
                    label="scoring units")  # fmt: skip
        in_batches(lm, work)
        self._check(lm, len(scenario.cases), sums.silent)
        return Attribution(layout, sums.scores().float(), "crispr", self._notes(scenario, sums))

    def _items(self, scenario: Scenario) -> Iterator[_Item]:
        """Every case, with the name of those whose right answers' terms are summed with its own before they are cut."""
        instructions: dict[str, list[int]] = {}
        for i, case in enumerate(scenario.cases):
            instructions.setdefault(case.variation, []).append(i)
        for name, places in instructions.items():
            share = 1 / len(instructions) / (len(places) if self.mode == "code" else 1)
            for at, place in enumerate(places):
                key = f"{name}/{at // self.batch_size}" if self.clamped == "batch" else name
                yield _Item(place, key, share)

    def _check(self, lm: LM, count: int, silent: int) -> None:
        """Raise CannotRun where no case counts, tell how many do not."""
        if not silent:
            return
        why = "their answers are less probable than float32 can hold; use mode 'code' with weight = false"
        if silent == count:
            raise CannotRun(f"crispr: none of the {count} cases counts: {why}, or questions with shorter options")
        lm.notify(f"crispr: {silent} of {count} cases count nothing: {why}, to count all alike")

    def _notes(self, scenario: Scenario, sums: _Sums) -> dict[str, str | int | float]:
        count = len(scenario.cases)
        return {
            "mode": self.mode,
            "clamp": self.clamped,
            "cases": count,
            "instructions": len({case.variation for case in scenario.cases}),
            "mean_alpha": sums.alpha / count,
            "wrong_share": sums.confused / count,
        }


@dataclass(frozen=True)
class _Item:
    case: int
    key: str
    share: float
    """What it counts in the score."""


class _Sums:
    """The score as it grows; where terms are summed before they are cut, the two sums of each such group of cases."""

    def __init__(self, locator: Crispr, layout: Layout) -> None:
        self.locator = locator
        self.total = torch.zeros(layout.size, dtype=torch.float64)
        self.open: dict[str, Float[Tensor, "2 unit"]] = {}
        self.shares: dict[str, float] = {}
        self.alpha, self.confused, self.silent = 0.0, 0, 0
        """Sum of P(ŷ), cases in which ŷ is likelier than the right answer, and those that count nothing at all."""

    def add(self, items: Sequence[_Item], chance: Float[Tensor, "2 case"], terms: Float[Tensor, "k unit"]) -> None:
        """Take up the terms of a batch: of ŷ, then of the right answers unless they are subtracted already.

        Nothing is taken up before all is computed: a batch for which memory runs out comes again.
        """
        if chance.isnan().any():
            raise CannotRun("crispr: an answer's probability is no number, so the model is broken; load it in float32")
        by_case = terms.cpu().double().reshape(-1, len(items), terms.shape[-1])
        shares = torch.tensor([item.share for item in items], dtype=torch.float64)
        added, opened = torch.zeros(0), dict[str, Tensor]()
        if self.locator.clamped in ("token", "instance"):
            added = shares @ self._net(by_case)
        else:
            for place, item in enumerate(items):
                before = opened.get(item.key, self.open.get(item.key, 0))
                opened[item.key] = before + by_case[:, place]
        power = int(self.locator.weight) + (self.locator.mode == "paper")
        self.silent += int((chance[0] ** power == 0).sum())
        self.alpha += float(chance[0].sum())
        self.confused += int((chance[0] > chance[1]).sum())
        self.open.update(opened)
        self.shares.update((item.key, item.share) for item in items)
        if len(added):
            self.total += added

    def _net(self, terms: Float[Tensor, "part *case unit"]) -> Float[Tensor, "*case unit"]:
        return terms[0] if len(terms) == 1 else terms[0] - self.locator.strength * terms[1].clamp(min=0)

    def scores(self) -> Float[Tensor, " unit"]:
        """Return what all groups come to."""
        return self.total + sum(self._net(both) * self.shares[key] for key, both in self.open.items())


def check_asked(scenario: Scenario) -> None:
    """Raise UsageError unless every case is a question with options, one of them right."""
    bad = next((c for c in scenario.cases if c.favourable is None or len(c.options) < 2), None)
    other = next((c for c in scenario.contexts if c.outcome != "choice"), None)
    if scenario.cases and bad is None and other is None:
        return
    why = (
        "it has no cases" if not scenario.cases
        else f"context {other.name!r} has the outcome {other.outcome!r}" if other is not None
        else f"case {bad.id if bad else ''!r} has no right answer among at least two options"
    )  # fmt: skip
    able = [c.name for c in scenario.contexts if c.outcome == "choice"] if other is not None else []
    hint = f" (of this scenario: --context {able[0]})" if able else ""
    raise UsageError(
        f"scenario {scenario.name!r}: {why}; bias neurons are sought on questions with a right answer (outcome "
        "'choice', the right option as `favourable`), such as bbq, bbq_instructions, mrpc_instructions, "
        f"rte_instructions or qnli_instructions{hint}"
    )


def _terms(
    locator: Crispr, lm: LM, layout: Layout, pairs: Sequence[Pair]
) -> tuple[Float[Tensor, "2 case"], Float[Tensor, "k unit"]]:
    """P(ŷ) and P(y) of each case, and the weighted terms of each: of ŷ and y, or one where it is cut at each token."""
    sides = [each.wrong[0] for each in pairs] + [each.right for each in pairs]
    choosing = any(len(each.wrong) > 1 for each in pairs)
    scored = [side for each in pairs for side in (*each.wrong, each.right)] if choosing else sides
    rows = [row for side in scored for row in side]
    which = torch.repeat_interleave(torch.tensor([len(side) for side in sides]))
    chances: list[Tensor] = []

    def reducing(objective: Float[Tensor, " row"]) -> Reduce:
        which_row = which.to(objective.device)
        chance = objective.new_zeros(len(sides)).index_add(0, which_row, objective).exp()
        chances.append(chance.view(2, -1).cpu())
        alpha = chance[: len(pairs)].repeat(2) if locator.weight else torch.ones_like(chance)
        scale = alpha * chance if locator.mode == "paper" else alpha
        return lambda terms, mask: _reduced(
            locator, *_by_side(terms.mul_(scale[which_row][:, None, None]), mask, sides)
        )

    _, values = contributions(lm, rows, layout, reducing, partial(chosen, pairs) if choosing else None)
    return chances[0], values


def _by_side(
    terms: Float[Tensor, "row pos unit"], mask: Bool[Tensor, "row pos"], sides: Sequence[Sequence[Row]]
) -> tuple[Float[Tensor, "side place unit"], Bool[Tensor, "side place"]]:
    """All tokens of each answer's rows after one another; only masked models have several rows for one answer."""
    most = max(len(side) for side in sides)
    if most == 1:
        return terms, mask
    index = torch.zeros(len(sides), most, dtype=torch.long, device=terms.device)
    there = torch.zeros(len(sides), most, dtype=torch.bool, device=terms.device)
    start = 0
    for line, here, side in zip(index, there, sides, strict=True):
        line[: len(side)] = torch.arange(start, start + len(side))
        here[: len(side)] = True
        start += len(side)
    return terms[index].flatten(1, 2), (mask[index] & there[:, :, None]).flatten(1)


def _reduced(
    locator: Crispr, terms: Float[Tensor, "side place unit"], mask: Bool[Tensor, "side place"]
) -> Float[Tensor, "k unit"]:
    if locator.clamped != "token":
        return over_tokens(terms, mask, locator.tokens)
    (wrong, right), (kept, other) = terms.chunk(2), mask.chunk(2)
    spared = right.clamp_(min=0).masked_fill_(~other[:, :, None], 0.0)
    return over_tokens(wrong - locator.strength * spared, kept, locator.tokens)
