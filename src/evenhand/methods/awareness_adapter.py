"""Teach a model to notice when race is meant: a low-rank adapter on some layers (after "Aligned but Blind").

Source: Sun et al. 2025 (ACL 2025, arXiv 2506.00253): where "black" and "white" are ambiguous, aligned models represent
colours rather than race in early layers; their adapter is trained to say race. Recipe from the authors' code; their 431
pairs have no licence and are not used.

What it does: to the attention's query and value maps of the chosen `layers` (where a family makes query, key and value
by one map: to that) it adds W + (alpha / rank) B A, A drawn as peft draws it, B = 0 at first, and trains A and B, with
dropout on their input, on the texts

    {sentence} ⏎ {cue} {completion}        loss = mean over tokens of −log p(token | before)

over the whole text (`loss = "text"`, the paper) or over the completion alone (`"answer"`). Weights are frozen. AdamW;
steps = ⌈epochs · pairs / (batch_size · accumulate)⌉. The edit is a `Lora`: added to the weights and taken off to the
bit, baked, or written for peft by `evenhand export --adapter`.

`bias` is not looked at, nor `utility`: it trains on the pairs that come with this package (or your file, `pairs`), not
on the scenario. So all of a scenario is held out, and fitting on other parts of it changes nothing.

The pairs (`evenhand/train/awareness_pairs.toml`, written for this project): 60 sentences in which black, white or brown
people are meant and for each one of the same build about the colours of things, with a completion that says which;
either word comes first equally often. 5 cues, drawn anew each time. 12 + 12 sentences of other wording and 3 cues,
"Answer:" and the paper's "My Answer:" among them, are held out. `contrast = false` leaves the colours out, as the
paper does.

`layers`, of L: `early` the first 20/32 L (rounded), `late` the others, `all`, as in the paper; and of the size of
`late`, n layers: `first` the first n, `middle` from ⌊(L − n)/2⌋ on, `random` n others by `seed`. Early against late
compares 20 layers with 12: use `first` against `late`, `middle` and `random`.

Doses are training steps, checkpoints of one training with the schedule of all its steps. Defaults are the paper's: rank
4, alpha 32, dropout 0.1, 7 epochs, learning rate 2e-4, 4 pairs × 4 batches a step, cosine after a warm-up of 6 % of the
steps, weight decay 0.01, gradient norm at most 1, 256 tokens; ours are 53 steps, theirs 189.

Where we differ: our pairs, contrast and several cues; float32 factors where the paper trains in float16; the mean over
tokens is of each batch. No end of text is trained, as there.

Measured (stories260K, 5 layers, which is too small for the tasks themselves; −log p per token of completions after
held-out cues, held-out sentences about race and about colours): 3.05 and 2.69 unedited, 2.91 and 2.55 with the defaults
(a random change of the same norms 3.04 and 2.69), 2.74 and 2.37 with a learning rate of 2e-3, 2.73 and 2.50 if then
`contrast` is false, 2.72 and 2.31 if `loss` is `answer`; perplexity of `simple_text` 6.60, 6.55, 7.47, 7.24, 7.54.

Pitfalls. Validity: of Llama-3-8B-Instruct's answers 52.9 % were no valid answer after the paper's early adapter (none
before), and "97.3 % to 42.4 %" is over the others; all but one of 1,120 answers said "racial". Order: copying the order
of a prompt answers three of its four templates against the stereotype; averaged over both directions, 42.4 % is 60.5 %.
Contrast: there were no examples of colours, so that nothing kept a model from always saying race. So look at
`answer_shares`, at order-balanced measures, at `colour_words` (does it see race in a black or white phone?) and at
texts. `text` also teaches the sentences themselves, in our wording. In half precision the weights cannot hold all of a
small change: peft, which runs the adapter beside them, may differ from `applied` and from a baked checkpoint. Causal
models only.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from evenhand.core.contracts import Dose
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.scenario import Scenario
from evenhand.edits.lora import Lora
from evenhand.lm.family import Kind
from evenhand.lm.model import LM
from evenhand.train.contracts import Recipe, Training
from evenhand.train.loop import train
from evenhand.train.lora import adapted, factors, query_value_maps
from evenhand.train.pairs import AWARENESS, Completing, Loss, Pack, read

Count = Annotated[int, Field(ge=1)]
Layers = Literal["early", "late", "all", "first", "middle", "random"]
_EARLY = 20 / 32
"""Share of the layers that the paper calls early."""


@dataclass(frozen=True)
class AwarenessAdapter:
    """A low-rank adapter that says of ambiguous words whether race or a colour is meant."""

    layers: Layers = "early"
    loss: Loss = "text"
    contrast: bool = True
    """Also train on sentences about colours; false: on race alone, the first kind in the file, as in the paper."""
    pairs: str = ""
    """Path of your own pairs (TOML, as the bundled file); empty: the bundled ones."""
    rank: Count = 4
    alpha: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 32.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """On the input of A. The model's own dropouts, where it has any, work beside it; with 0 none does."""
    epochs: Count = 7
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 2e-4
    batch_size: Count = 4
    accumulate: Count = 4
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.06
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.01
    clip: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    longest: Count = 256
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    models: ClassVar[tuple[Kind, ...]] = ("causal",)
    fitted_to: ClassVar[str] = "texts of its own"
    quick: ClassVar[Mapping[str, Any]] = {"epochs": 1, "batch_size": 15, "accumulate": 1, "longest": 32}
    """Settings with which the laws of methods are checked."""

    @property
    def space(self) -> None:
        """None: it selects no units."""
        return

    @property
    def dose(self) -> Dose:
        """Training steps, at most those of all epochs."""
        return Dose("training steps", self._steps(self._pack()), self._steps(self._pack()))

    def fit(self, lm: LM, bias: Scenario, utility: Scenario) -> Lora:
        """Return the adapter after all epochs, or the last good one where training had to stop (`lm.notify` says why).

        Raises CannotRun for a model that is not causal, quantised or offloaded.
        """
        return self.path(lm, bias, utility, [self.dose.own])[0]

    def path(self, lm: LM, bias: Scenario, utility: Scenario, sizes: Sequence[int]) -> list[Lora]:
        """Return the adapter after so many steps of one training, for each of `sizes`."""
        if lm.kind not in self.models:
            raise CannotRun(
                f"{lm.identity.source}: awareness_adapter trains a causal model to go on with a text, and this one is "
                f"{lm.kind}; use a causal model"
            )
        pack = self._pack()
        if max(sizes, default=0) > self._steps(pack):
            raise UsageError(
                f"awareness_adapter: asked for {max(sizes)} training steps of {self._steps(pack)}; raise epochs (now "
                f"{self.epochs})"
            )
        lm.notify(f"awareness_adapter: trains on {len(pack.pairs)} pairs of its own, not on the scenario")
        maps = query_value_maps(lm, self._layers(1 + max(lm.layout("head").site_layers())))
        with adapted(lm, maps, self.rank, self.alpha, self.dropout, self.seed) as parameters:
            beside = f"alpha {self.alpha}, dropout {self.dropout}"
            objective = Completing(pack, self.loss, self.batch_size, self.seed, self.longest, beside)
            done: Training = train(lm, parameters, objective, self._recipe(pack), keep=sizes)
        if done.stopped:
            lm.notify(f"awareness_adapter: {done.told}")
        return [Lora(factors(done.at(size)), self.alpha, done.trained(size)) for size in sizes]

    def _pack(self) -> Pack:
        pack = read(Path(self.pairs) if self.pairs else AWARENESS)
        return pack if self.contrast else pack.of(pack.kinds[:1])

    def _steps(self, pack: Pack) -> int:
        return math.ceil(self.epochs * len(pack.pairs) / (self.batch_size * self.accumulate))

    def _recipe(self, pack: Pack) -> Recipe:
        return Recipe(
            steps=self._steps(pack),
            lr=self.lr,
            batch_size=self.batch_size,
            accumulate=self.accumulate,
            schedule="cosine",
            warmup=math.ceil(self.warmup * self._steps(pack)),
            weight_decay=self.weight_decay,
            clip=self.clip,
            seed=self.seed,
            dropout=self.dropout > 0,
        )

    def _layers(self, depth: int) -> list[int]:
        """Which of `depth` layers are adapted."""
        early = min(max(1, round(_EARLY * depth)), depth - 1) if depth > 1 else 1
        size = max(1, depth - early)
        start = (depth - size) // 2
        late, first, middle = range(depth - size, depth), range(size), range(start, start + size)
        chosen = {"early": range(early), "late": late, "all": range(depth), "first": first, "middle": middle}
        if self.layers != "random":
            return list(chosen[self.layers])
        return _drawn(depth, size, [[*late], [*first], [*middle]], random.Random(self.seed))


def _drawn(depth: int, size: int, others: Sequence[list[int]], source: random.Random) -> list[int]:
    """So many random layers that are none of the other sets, where there are more sets than these."""
    while (found := sorted(source.sample(range(depth), size))) in others and math.comb(depth, size) > len(others):
        pass
    return found
