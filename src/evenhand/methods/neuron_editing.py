"""Interpretable neuron editing: a RECONSTRUCTION of Yu and Ananiadou (2025), and the exact CNA edit it grew from.

Certain (abstract of arXiv 2501.14457): a logit-based and a causal-based strategy are combined; gender neurons are told
from general neurons; editing even a few general ones breaks the model. Their words, templates, numbers of units,
thresholds and tables are not public: nothing here reproduces a number of theirs. Exact are the logit score (their
EMNLP 2024 main.191; `locate/logit_score`) and, with `mode = "cna"`, the edit of EMNLP 2024 main.193, section 6.2.

What `reconstruction` does; a gap is mean favourable outcome of the first group − that of another, nats:

1. candidates: the best `candidates` units with a positive score, taken in turn from two orders (`strategy` `logit` or
   `causal`: from one of them): each unit's direct part of the gap at the last position (`locate/logit_score`), and its
   effect on it to first order (`locate/contrast`), which sees units of early layers and at the word itself;
2. each candidate is switched off alone, exactly, many side by side (`locate/ablation`): causal(u) = Σ gap · (gap − gap
   without u) / Σ |gap| over context × variation × other group; those at or below 0 are dropped (`logit`: no causal
   score, the order is that of the logit score). `positions`: at all positions, or at the last one of the prompt only;
3. the guard (`evenhand.lm.attribution.general`): of these, units that neutral text needs are excluded, and `lm.notify`
says of each
   why;
4. the first `units` of those left, by causal (`logit`: logit) score, are multiplied by `factor`. `path` goes on with
   units never tried, candidates that do not help, and last of all the general ones. The guard has seen neither of
   the first two, and `lm.notify` says how many they are: raise `candidates` for longer guarded paths. (It costs a
   forward pass of each text per unit, which is too much for all units of a grid of sizes up to 5 % of a space.)

`cna`: importance of the favourable option's first token, log p(w | stream + unit) − log p(w | stream), in prompts about
the first group minus that about the other, on the scenario's first variation only, weighted by the gap, so that it
counts which of the two makes w likelier; the best `units` are zeroed, without causal score or guard. The 1,000 largest
of each prompt by the full softmax, the rest to first order. The authors do not say over which professions they
averaged; here over all that are given.

Defaults: 18 units as in CNA; 64 candidates, 8 texts, 100 random units, least damage 0.01 nats a token (ours; why 0.01:
see `evenhand.lm.attribution.general`).
Measured (stories260K, 18 of 860 units, fitted on a third of `common_words_stereotype` professions): the guard excluded
5 of 58 candidates, of damage 0.013 to 0.086; with them in the edit KL on held-out text was 0.172 [0.153, 0.190] nats
per token, without 0.074 [0.067, 0.081], random units 0.062; perplexity rose as much either way, and no held-out gap was
shown to change. On the bundled model's loan gap (1.02 sd), 18 units, new names, text from `planted_text`: the guard
excludes 2 of 48 candidates, both sinks; the edit holds all six planted units and leaves 0.03 [0.03, 0.04], KL 0.013
[0.002, 0.029], perplexity falls by 0.5 %; without guard the same. By the quantile alone (`least = 0`) 10 are excluded,
one planted unit is in the edit, and 0.42 [0.37, 0.48] is left, KL 0.002 [0.001, 0.004].

Pitfalls: a masked model has no logit score, so that the gradient stands in for it; of an answer of many tokens only the
first counts in the logit score and in `cna`; units that a gender's *facts* run through look the same as a stereotype's
(check `factual_gender`); a scenario needs groups (for words with leanings, `common_words_stereotype`); CNA judged its
edit on the words it was fitted on, and on no text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from evenhand.core.component import Selection, Space
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.general import Generality
from evenhand.core.scenario import Scenario
from evenhand.edits.scale import Factor, Mechanism, Scale
from evenhand.lm.attribution.general import Guard
from evenhand.lm.attribution.held import exact, first_order, weighted
from evenhand.lm.attribution.knockouts import Positions
from evenhand.lm.model import LM
from evenhand.locate.logit_score import LogitScore

Count = Annotated[int, Field(ge=1)]
_EXACT = 1000
"""Units of each prompt whose importance is computed by the full softmax (`cna`)."""


@dataclass(frozen=True)
class NeuronEditing:
    """At most `units` units that carry the gap and that neutral text can spare."""

    space: Space = "neuron"
    mode: Literal["reconstruction", "cna"] = "reconstruction"
    units: Count = 18
    strategy: Literal["logit", "causal", "both"] = "both"
    candidates: Count = 64
    positions: Positions = "all"
    """Where the causal score switches units off; the edit always acts on all positions."""
    guard: bool = True
    texts: Count = 8
    randoms: Count = 100
    """Random units whose damage is the guard's yardstick; 100 are the fewest that have a 0.99 quantile."""
    damage: Annotated[float, Field(ge=0, le=1)] = 0.99
    """Quantile of the random units' damage above which a unit is general, if it is above `least` too."""
    least: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.01
    """Damage, KL in nats per token of neutral text, up to which no unit is general whatever random ones do."""
    sinks: Annotated[float, Field(ge=0, le=1)] = 0.5
    massive: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 100.0
    factor: Factor = 0.0
    mechanism: Mechanism = "weight"
    """`activation` where the model's weights are offloaded or quantised."""

    def __post_init__(self) -> None:
        """Refuse spaces whose units do not write to the logits."""
        if self.space not in ("neuron", "head", "value"):
            raise UsageError(
                f"neuron_editing edits units that write to the logits, not space {self.space!r}; use neuron, head or "
                "value"
            )

    def fit(self, lm: LM, bias: Scenario, utility: Scenario) -> Scale:
        """Return the edit of at most `units` units, none of which is general while the guard is on."""
        order = self._order(lm, bias, utility)
        return self._edit(lm, order.units[: min(self.units, order.left)])

    def path(self, lm: LM, bias: Scenario, utility: Scenario, sizes: Sequence[int]) -> list[Scale]:
        """Return the first n units of one order, for each n in `sizes`; `lm.notify` is told of fillers among them."""
        size = lm.layout(self.space).size
        if max(sizes, default=0) > size:
            raise UsageError(f"neuron_editing: asked for {max(sizes)} units of a space of {size}")
        order = self._order(lm, bias, utility)
        largest = max(sizes, default=0)
        if self.mode == "reconstruction" and largest > order.left:
            lm.notify(self._filled(order, largest))
        return [self._edit(lm, order.units[:n]) for n in sizes]

    def _edit(self, lm: LM, units: Sequence[int]) -> Scale:
        return Scale(Selection.of(lm.layout(self.space), list(units)), self.factor, self.mechanism)

    def _order(self, lm: LM, bias: Scenario, utility: Scenario) -> _Order:
        if self.mode == "cna":
            return _Order(*_ranked(self._cna(lm, bias)))
        scores = self._scores(lm, bias)
        score, pool = scores[0], _in_turn([_ranked(each) for each in scores], self.candidates)
        exact = [float(score[unit]) for unit in pool] if self.strategy == "logit" else self._causal(lm, bias, pool)
        causal = dict(zip(pool, exact, strict=True))
        helping = sorted((unit for unit in pool if causal[unit] > 0), key=lambda unit: -causal[unit])
        general = self._general(lm, helping, utility) if self.guard else set[int]()
        left = [unit for unit in helping if unit not in general]
        if not left:
            lm.notify(self._nothing(len(pool), len(helping)))
        tried = set(pool)
        rest = [unit for unit in _ranked(score)[0] if unit not in tried]
        useless = [unit for unit in pool if not causal[unit] > 0]
        units = [*left, *rest, *useless, *(unit for unit in helping if unit in general)]
        return _Order(units, len(left), len(general))

    def _cna(self, lm: LM, bias: Scenario) -> Float[Tensor, " unit"]:
        if not bias.contexts:
            raise UsageError(f"scenario {bias.name!r} has no cases to compare groups on")
        first = bias.variations(bias.contexts[0].name)[0]
        return LogitScore(self.space, kind="cna", exact=_EXACT).score(lm, bias.only(variations=[first])).scores

    def _scores(self, lm: LM, bias: Scenario) -> list[Float[Tensor, " unit"]]:
        """The scores that candidates are taken by, the main one first."""
        found: list[Tensor] = []
        if self.strategy != "causal":
            try:
                found.append(LogitScore(self.space).score(lm, bias).scores)
            except CannotRun as error:
                if self.strategy == "logit":
                    raise
                lm.notify(f"neuron_editing: no logit score ({error}); all candidates are found by gradient")
        if self.strategy != "logit":
            found.append(weighted(first_order(lm, bias, lm.layout(self.space), self.positions))[0])
        return found

    def _causal(self, lm: LM, bias: Scenario, pool: Sequence[int]) -> list[float]:
        """What each unit holds of the gaps, by switching it off alone."""
        if not pool:
            return []
        units = Selection.of(lm.layout(self.space), list(pool))
        held, _ = weighted(exact(lm, bias, units, self.positions))
        found = {int(unit): float(value) for unit, value in zip(units.units, held, strict=True)}
        return [found[unit] for unit in pool]

    def _general(self, lm: LM, pool: Sequence[int], utility: Scenario) -> set[int]:
        """Which of some candidates are general; `lm.notify` is told."""
        guard = Guard(self.texts, self.randoms, self.damage, self.least, self.sinks, self.massive)
        found = guard.check(lm, Selection.of(lm.layout(self.space), list(pool)), utility)
        general = {one.unit: one for one in found if one.reasons}
        if general:
            lm.notify(_told([general[unit] for unit in pool if unit in general], len(pool)))
        return set(general)

    def _filled(self, order: _Order, largest: int) -> str:
        unseen = min(largest, len(order.units) - order.general) - order.left
        passed, seen = (" and pass the guard", ", which the guard has not seen") if self.guard else ("", "")
        told = f"{unseen} never tried or of no help{seen}"
        if refused := largest - order.left - unseen:
            told += f", and {refused} that the guard excluded"
        return (
            f"neuron_editing: {order.left} candidates close the gap{passed}; the largest edit ({largest} units) goes "
            f"on with {told}; try more candidates (now {self.candidates}) or smaller sizes"
        )

    def _nothing(self, pool: int, helping: int) -> str:
        if not pool:
            return "neuron_editing: no unit adds to the gap, so there is none to edit"
        if not helping:
            return f"neuron_editing: none of {pool} candidates closes the gap when switched off, so none is edited"
        return (
            f"neuron_editing: every candidate that closes the gap is general ({helping} of {pool}), so none is edited; "
            f"try more candidates (now {self.candidates}), other limits, or guard = false"
        )


@dataclass(frozen=True, slots=True)
class _Order:
    """All units, best first."""

    units: list[int]
    left: int
    """How many of the first are candidates that help and may be edited."""
    general: int = 0
    """How many of the last the guard excluded."""


def _ranked(scores: Float[Tensor, " unit"]) -> tuple[list[int], int]:
    """All units, highest score first, and how many are above 0."""
    return [int(unit) for unit in torch.argsort(scores, descending=True, stable=True)], int((scores > 0).sum())


def _in_turn(orders: Sequence[tuple[list[int], int]], count: int) -> list[int]:
    """The first `count` units of several orders taken in turn, each once, as far as they score above 0."""
    positive = [order[:n] for order, n in orders]
    units = [unit for unit in chain.from_iterable(zip_longest(*positive)) if unit is not None]
    return list(dict.fromkeys(units))[:count]


def _told(general: Sequence[Generality], pool: int) -> str:
    found = f"{len(general)} of {pool} candidates that close the gap are general and left alone"
    return f"neuron_editing: {found}: {'; '.join(map(str, general))}"
