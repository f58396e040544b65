"""Transfer unlearning: gradient ascent on the biased tokens of texts, with guards (Lu, Isonuma, Mori, Sakata 2024).

Source: "Towards Transfer Unlearning", arXiv 2407.16951. Certain: L = log P(x_i | X without x_i) is minimised for each
token x_i that is marked as biased; the texts are hateful (about women); GPT-4 marks the words; the model is a GPT-2.
Not public, so nothing here is theirs: learning rate, batch, steps, seeds, number of texts, the prompt, the tables.

With M the selected tokens of a text (every sub-token that overlaps a span, predicted from a start token on), nll the
mean over M of −log p, and retain texts taken from `utility`, it minimises, batch by batch,

    forget · F + nll · NLL(retain) + kl · KL(before training ‖ now, on retain)

with the weights `forget`, `nll` and `kl`, 1, 0 and 0 where none is set, and F by `objective`:

- `ascent` (the paper): mean over M of log p;   `sequence`: the same over all tokens (Jang et al. 2022), a control;
- `graddiff`: `ascent`, and 1 is the default of `nll`;   `kl`: `ascent`, and 1 is the default of `kl`;
- `npo`: −(2/β) log σ(β (nll − nll_ref));   `simnpo`: −(2/β) log σ(β nll − γ);
- `wga`: mean over M of p^β log p, with p^β a weight.

A causal model predicts a token from what is before it only; of a masked model all tokens of M are masked at once
(`sequence`: each alone). A setting that the others leave without effect is refused.

What is forgotten (`evenhand.train.forget`): the scenario's hateful sentences about `groups` (all, where none is named);
without such, the stereotypical sentence of each pair; without such, the answers of a choice that some groups are given
more readily. `source = "benign"` ascends on as many random tokens of neutral texts instead, `spans = "random"` on as
many random tokens of the same texts: nothing transferred that does not beat these two and `equal_damage`.

`trained`: all weights, those of `layers`, or low-rank adapters on the attention's query and value maps (of `layers`,
where they are named). The edit is a `Delta`, of which `share` keeps the largest entries of each parameter or
`keep_rank` a change of low rank of each matrix, or a `Lora`. Doses are training steps, checkpoints of one training:
after a warm-up of `warmup` steps, however few are made, the learning rate stays, so that a training of n steps and the
first n steps of a longer one are the same to the bit.

Guards, on by default: perplexity on half of the retain texts may rise by `budget`; the mean log p of the selected
tokens may fall by `floor` nats; the gradient is clipped; where the texts have two sides (pairs, choices) training stops
when their gap crosses 0, a bias turned round. `guards = false` leaves only the one against loss and gradients that are
no number. What stops a training is told, and it is rolled back: to the last step within the budget and the floor, since
of ascent, which lowers its objective with every step, that is the best one allowed; where the gap crossed 0, to the
step at which it was smallest. Larger doses are then that same edit, which knows the step it was taken at. Each term,
the gradient's norm, the learning rate and what the guards saw at each step are kept beside the edit.

All defaults are ours: 40 steps of 8 texts at 5e-5, AdamW without weight decay, no dropout, β = 1, γ = 0. They are safe
by the guards and not by being small: users of public code, which has none, report models destroyed by ten passes at
1e-5. On the rigged toy of the conformance tests, where a choice differs by 0.376 sd, 0.216 are left, and of random
changes of the same norm 0.351 to 0.412; at twenty times the rate the gap is turned round within 5 steps, and everything
is rolled back.

Measured (`studies/unlearning.toml`: tinystories-656k, each of HateCheck's seven groups with three seeds, a third of the
templates to unlearn and new ones to report on, stopped at 5 % more perplexity on watched retain texts; nats a token).
`wga`: the gap of the group unlearned changed by −0.03 to −0.06, of the other six by −0.02 to −0.04; under random tokens
of the same texts by 0.11 to −0.00, of neutral texts 0.19 to 0.04, noise of equal damage 0.01 to −0.04. Beyond all of
these: 0 of 7 groups, 0 of 42 others, none of 931 numbers elsewhere. The group's own name: 0.17 to −0.82 nats, while
random tokens cost it 1.6 to 9.6. Perplexity on new texts rose by 2.7 to 5.3 %. `ascent` on women: gap within 0.004,
sentences of both sorts less likely alike. Without guards, 150 steps of `wga`: perplexity +17 to +21 %, gap −0.08 to
−0.15, names e^−0.2 to e^−3.7 times as likely. More: docs/real_models.md.

Pitfalls. Ascent has no minimum: without guards logits grow until the model is gone, and every score of bias moves to
"no difference" on the way; look at perplexity and at the controls first. The texts name the group they hate: check
`identity_words`, or the group is unlearned. A slur's sub-tokens belong to other words too. The retain terms and the
perplexity budget see other halves of the same utility texts. Chat models: texts are taken as they are, without
template. Encoder–decoders are refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from torch import nn

from evenhand.core.case import Case
from evenhand.core.contracts import Dose
from evenhand.core.edit import Edit
from evenhand.core.errors import UsageError
from evenhand.core.scenario import Scenario
from evenhand.core.spans import Spans
from evenhand.edits.delta import Delta
from evenhand.edits.lora import Lora
from evenhand.lm.family import Kind
from evenhand.lm.model import LM
from evenhand.spans._chosen import selected, selector
from evenhand.spans.random import Random
from evenhand.train import objectives
from evenhand.train.contracts import Limit, Recipe, Training, Watch
from evenhand.train.coverage import coverage
from evenhand.train.forget import Forgettable, forgettable
from evenhand.train.loop import train
from evenhand.train.lora import adapted, factors, query_value_maps
from evenhand.train.watches import Divergence, LossFloor, PerplexityBudget, PolarityFlip

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Guard = Watch | Limit | Divergence
_FORMULAS: dict[str, objectives.Formula] = {"wga": "wga", "npo": "npo", "simnpo": "simnpo"}


@dataclass(frozen=True)
class Unlearning:
    """Make the words of hate in some texts unlikely where they stand, within a budget of damage."""

    objective: Literal["ascent", "sequence", "graddiff", "kl", "npo", "simnpo", "wga"] = "ascent"
    groups: tuple[str, ...] = ()
    """Whose texts are unlearned; none named: those of all groups."""
    source: Literal["hateful", "benign"] = "hateful"
    spans: str = "given"
    """Selector of the words: `evenhand list spans`, or a file of yours."""
    spans_settings: tuple[str, ...] = ()
    """Its settings, each written `key=value`."""
    trained: Literal["all", "layers", "lora"] = "all"
    layers: tuple[int, ...] = ()
    """From 0; for `trained` `layers` or `lora`."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of each parameter, how many of its changes are kept, the largest; 1: all."""
    keep_rank: Annotated[int, Field(ge=0)] = 0
    """Of each matrix' change, the rank that is kept; 0: all. What is no matrix is kept whole."""
    rank: Count = 8
    alpha: Positive = 16.0
    steps: Count = 40
    lr: Positive = 5e-5
    batch_size: Count = 8
    warmup: Annotated[int, Field(ge=0)] = 4
    """Steps before the learning rate has risen to `lr`."""
    beta: Positive = 1.0
    gamma: Weight = 0.0
    forget: Positive = 1.0
    """Weight of the term on the texts to forget."""
    nll: Weight | None = None
    """Weight of −log p of the retain texts; not set: 1 for `graddiff`, else 0."""
    kl: Weight | None = None
    """Weight of KL(before training ‖ now) on the retain texts; not set: 1 for `kl`, else 0."""
    texts: Count = 64
    """Most retain texts that are looked at, half of them by the perplexity budget."""
    guards: bool = True
    budget: Weight = 0.05
    """Largest relative rise of perplexity on retain texts."""
    floor: Positive = 5.0
    """How far the mean log-probability of the selected tokens may fall, nats."""
    clip: Positive = 1.0
    every: Count = 5
    """Steps between two looks at perplexity and gap."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    models: ClassVar[tuple[Kind, ...]] = ("causal", "masked")
    quick: ClassVar[Mapping[str, Any]] = {"steps": 3}
    """Settings with which the laws of methods are checked."""

    def __post_init__(self) -> None:
        """Raise UsageError for a setting that the others leave without effect."""
        formula, low = self.objective, self.trained == "lora"
        idle = {
            "layers": (self.trained == "all", "trained = 'layers' or 'lora'"),
            "rank": (not low, "trained = 'lora'; what a stored change keeps of each matrix is keep_rank"),
            "alpha": (not low, "trained = 'lora'"),
            "share": (low or self.keep_rank > 0, "trained = 'all' or 'layers', and no keep_rank beside it"),
            "keep_rank": (low, "trained = 'all' or 'layers'; of a 'lora' it is rank"),
            "beta": (formula not in _FORMULAS, "objective = 'npo', 'simnpo' or 'wga'"),
            "gamma": (formula != "simnpo", "objective = 'simnpo'"),
            "spans": (formula == "sequence", "another objective: 'sequence' takes all tokens"),
            "spans_settings": (formula == "sequence", "another objective: 'sequence' takes all tokens"),
        }
        for field in fields(self):
            without, needs = idle.get(field.name, (False, ""))
            if without and getattr(self, field.name) != field.default:
                raise UsageError(f"unlearning: {field.name} has no effect here; leave it out, or set {needs}")
        if self.trained == "layers" and not self.layers:
            raise UsageError("unlearning: trained = 'layers' needs layers; name some, from 0")

    @property
    def space(self) -> None:
        """None: it selects no units."""
        return

    @property
    def dose(self) -> Dose:
        """Training steps."""
        return Dose("training steps", self.steps, self.steps)

    def fit(self, lm: LM, bias: Scenario, utility: Scenario) -> Edit:
        """Return the change after `steps` steps, or at the last good one where a guard stopped (`lm.notify` says why).

        Raises CannotRun for an encoder–decoder model; UsageError for a scenario with nothing to forget, for guards
        without running texts in `utility`, and for layers that the model does not have.
        """
        return self.path(lm, bias, utility, [self.steps])[0]

    def path(self, lm: LM, bias: Scenario, utility: Scenario, sizes: Sequence[int]) -> list[Edit]:
        """Return the change after so many steps of one training, for each of `sizes`."""
        objectives.check_kind(lm)
        self._check_layers(lm)
        texts = utility.running_texts[: self.texts]
        if self.guards and not texts:
            raise UsageError(
                "unlearning: the budget of perplexity needs running texts to retain, and utility has none; give some, "
                "or set guards = false"
            )
        found = forgettable(lm, bias, self.groups)
        if found.left_out:
            lm.notify(f"unlearning: choices without a score are left out: {found.left_out}")
        objective = self._objective(lm, found, texts)
        guards = self._guards(found, texts)
        if self.trained == "lora":
            maps = query_value_maps(lm, self.layers or None)
            objective.beside = f"rank {self.rank}, alpha {self.alpha}"
            with adapted(lm, maps, self.rank, self.alpha, 0.0, self.seed) as parameters:
                done = self._trained(lm, parameters, objective, guards, sizes)
            return [Lora(factors(done.at(size)), self.alpha, done.trained(size)) for size in sizes]
        done = self._trained(lm, self._parameters(lm), objective, guards, sizes)
        reached = [done.reached(size) for size in sizes]  # after a stop, many times the same
        made = {step: Delta.between(done.at(0), done.at(step), self.share, self.keep_rank) for step in {*reached}}
        return [replace(made[step], trained=done.trained(step)) for step in reached]

    def _trained(
        self, lm: LM, parameters: Mapping[str, nn.Parameter], objective: objectives.Unlearning,
        guards: Sequence[Guard], sizes: Sequence[int],
    ) -> Training:  # fmt: skip
        done = train(lm, parameters, objective, self._recipe(max(sizes, default=0)), guards, sizes)
        if done.stopped:
            lm.notify(f"unlearning: {done.told}")
        return done

    def _recipe(self, steps: int) -> Recipe:
        return Recipe(
            steps=steps,
            lr=self.lr,
            batch_size=self.batch_size,
            schedule="constant",
            warmup=self.warmup,
            weight_decay=0.0,
            clip=self.clip if self.guards else math.inf,
            seed=self.seed,
            dropout=False,
        )

    def _objective(self, lm: LM, found: Forgettable, texts: Sequence[str]) -> objectives.Unlearning:
        """The objective on the tokens that are selected; `lm.notify` is told how many they are."""
        neutral = found.neutral or tuple(texts)
        if self.source == "benign":
            cases, spans = self._benign(lm, found, neutral)
        else:
            cases, spans = found.cases, self._selected(lm, found.cases, neutral)
        prompts = [case.prompt for case in cases]
        found_in = objectives.passages(lm, prompts, spans)
        lm.notify(f"unlearning: {coverage(lm, prompts, found_in)}")
        forget = [passage for passage in found_in if passage]
        nll = float(self.objective == "graddiff") if self.nll is None else self.nll
        kl = float(self.objective == "kl") if self.kl is None else self.kl
        terms = objectives.Terms(_FORMULAS.get(self.objective, "ascent"), self.beta, self.gamma, self.forget, nll, kl)
        kept = objectives.retained(lm, texts[::2], self.seed) if nll or kl else []
        return objectives.Unlearning(lm, forget, kept, terms, self.batch_size, self.seed)

    def _selected(self, lm: LM, cases: Sequence[Case], neutral: Sequence[str]) -> list[Spans | None]:
        if self.objective == "sequence":
            return [None] * len(cases)
        return [*selected(selector(self.spans, self.spans_settings), lm, cases, neutral)]

    def _benign(self, lm: LM, found: Forgettable, neutral: Sequence[str]) -> tuple[list[Case], list[Spans | None]]:
        """As many neutral texts with as many random tokens (`sequence`: all of theirs)."""
        if not neutral:
            raise UsageError("source = 'benign' needs neutral texts, and there are none; give some as utility")
        chosen = [replace(case, prompt=neutral[i % len(neutral)], spans=()) for i, case in enumerate(found.cases)]
        wanted = self._selected(lm, found.cases, neutral)
        if self.objective == "sequence":
            return chosen, wanted
        counts = [_tokens([each]) for each in objectives.passages(lm, [case.prompt for case in found.cases], wanted)]
        return chosen, [*Random(seed=self.seed).drawn(lm, chosen, counts)]

    def _guards(self, found: Forgettable, texts: Sequence[str]) -> list[Guard]:
        if not self.guards:
            return [Divergence(rise=math.inf)]
        watched = tuple(texts[1::2] or texts)
        guards: list[Guard] = [
            LossFloor(objectives.FALL, -self.floor),
            PerplexityBudget(watched, self.budget, self.every),
        ]
        if found.gap is not None and self.source == "hateful":
            guards.append(PolarityFlip(found.gap, "gap of the texts to forget, nats", self.every))
        return guards

    def _parameters(self, lm: LM) -> dict[str, nn.Parameter]:
        named: dict[str, nn.Parameter] = dict(lm.model.named_parameters())
        if self.trained == "all":
            return named
        blocks = tuple(f"{s.blocks.replace('#', str(layer))}." for s in lm.family.stacks for layer in self.layers)
        return {name: parameter for name, parameter in named.items() if name.startswith(blocks)}

    def _check_layers(self, lm: LM) -> None:
        last = max(lm.layout("neuron").site_layers())
        if absent := [layer for layer in self.layers if not 0 <= layer <= last]:
            raise UsageError(f"unlearning: there is no layer {absent[0]}; the model's layers are 0 to {last}")


def _tokens(texts: Sequence[objectives.Passage]) -> int:
    return sum(len(line.at) for passage in texts for line in passage)
