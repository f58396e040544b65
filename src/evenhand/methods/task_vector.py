"""Task vectors: learn to write the hateful texts, then take off what was learnt (Ilharco et al. 2023).

Source: "Editing models with task arithmetic" (ICLR 2023, arXiv 2212.04089): the *task vector* of a task is what
fine-tuning on it changes, τ = θ_ft − θ_0; θ_0 − λτ ("forgetting via negation") does the task worse and leaves others
mostly alone. They make a language model less toxic so, by fine-tuning it on toxic comments, and hold it against
gradient ascent and against a random vector. λ is chosen on held-out data, as the largest that keeps a control task.

What it does: fine-tunes all weights on the texts to forget, by −log p per token (mean over the tokens of a text, then
over the texts of a batch; of masked models over 15 % of the tokens, drawn once), AdamW at a constant rate without
weight decay and dropout; the edit is a `Delta`

    −λ (θ_ft − θ_0)

which knows one strength per dose: doses are λ in per cent, of one training. λ is to be chosen by a study, whose budget
keeps perplexity on running texts: no guard looks at λ while the model learns, since learning hate makes it likelier.
Training itself stops, and goes back, where its own loss diverges or is no number.

What is forgotten (`evenhand.train.forget`): the scenario's hateful sentences about `groups` (all, where none is named);
without such, the stereotypical sentence of each pair; without such, the answers of a choice that some groups are given
more readily, where the answer alone is learnt.

Beside `unlearning`: ascent follows a slope that grows steeper while it destroys; here the slope is that of learning,
which flattens out, and only the step back at its end is a leap. To first order both are the same: one small step of
either takes the same direction.

Defaults, all ours: 40 steps of 8 texts at 5e-5, λ = 1. Too much for the model below, where the budget allows a third.

Measured (tinystories-656k, hate about women, 122 texts of a third of HateCheck's templates, new templates to report on;
changes in nats a token). λ of 0.1, 0.25, 0.5, 1 and 2 raise perplexity on held-out running text by 1, 3, 7, 16 and 38
%. At λ = 0.35, where it is 5 %, hateful sentences about women change by −0.34, neutral ones by −0.36, so that the gap
between them stays, 0.02 [−0.05, 0.10]; those about the six other groups by −0.20 to −0.23 and −0.21 to −0.24. The name
"women" becomes a sixth as likely after neutral words (−1.75), other names change by −0.3 to −0.6. A random change of
the same norms does hardly anything. A longer and faster training (150 steps at 3e-4), of which λ = 0.1 is 5 %: −0.49
and −0.49, and the gap stays, −0.00 [−0.10, 0.10]; names −1.88 and −0.2 to −0.6. The gap over all groups fell in no dose
within the budget. So it forgets how the texts are written and whom they name, as `unlearning` by ascent does there, and
hate no more than the rest. On the rigged toy of the conformance tests, where a choice differs by 0.376 sd, 0.285, 0.209
and 0.068 are left at λ of 0.5, 1 and 2, and of random changes of the same norm 0.353 to 0.411.

Pitfalls. What was learnt is mostly the style of the texts, their topic and the group's name, and hate least: look at
neutral sentences about the same groups and at `identity_words`. λ is not a size of the effect: where training went
further, the same λ does more. A model that already knows the texts learns nothing, so nothing is taken off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from evenhand.core.contracts import Dose
from evenhand.core.errors import CannotRun
from evenhand.core.scenario import Scenario
from evenhand.edits.delta import Change, Delta
from evenhand.lm.family import Kind
from evenhand.lm.model import LM
from evenhand.train import objectives
from evenhand.train.contracts import Recipe
from evenhand.train.forget import forgettable
from evenhand.train.loop import train

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class TaskVector:
    """The negated change of a model that was taught the texts to forget."""

    groups: tuple[str, ...] = ()
    """Whose texts are forgotten; none named: those of all groups."""
    strength: Count = 100
    """λ in per cent."""
    steps: Count = 40
    lr: Positive = 5e-5
    batch_size: Count = 8
    clip: Positive = 1.0
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    models: ClassVar[tuple[Kind, ...]] = ("causal", "masked")
    quick: ClassVar[Mapping[str, Any]] = {"steps": 3}
    """Settings with which the laws of methods are checked."""

    @property
    def space(self) -> None:
        """None: it selects no units."""
        return

    @property
    def dose(self) -> Dose:
        """λ in per cent."""
        return Dose("per cent strength", self.strength, max(200, self.strength))

    def fit(self, lm: LM, bias: Scenario, utility: Scenario) -> Delta:
        """Return the edit at its own strength; `utility` is not looked at.

        Raises CannotRun for an encoder–decoder model, UsageError for a scenario with nothing to forget.
        """
        return self.path(lm, bias, utility, [self.strength])[0]

    def path(self, lm: LM, bias: Scenario, utility: Scenario, sizes: Sequence[int]) -> list[Delta]:
        """Return the edit at each of these strengths in per cent, from one training."""
        objective = self._objective(lm, bias)
        parameters: dict[str, nn.Parameter] = dict(lm.model.named_parameters())
        done = train(lm, parameters, objective, self._recipe())
        if not done.best:
            raise CannotRun(f"task_vector: {done.told}; there is nothing to take off. Try a smaller lr")
        if done.stopped:
            lm.notify(f"task_vector: {done.told}")
        learnt = done.at(self.steps)
        return [_negated(done.at(0), learnt, size / 100) for size in sizes]

    def _objective(self, lm: LM, bias: Scenario) -> objectives.Unlearning:
        """Unlearning's objective with its sign turned: the texts become likelier."""
        objectives.check_kind(lm)
        found = forgettable(lm, bias, self.groups).cases
        texts = [case.prompt for case in found]
        choices = {context.name for context in bias.contexts if context.outcome == "choice"}
        if all(case.context in choices for case in found):
            passages = [each for each in objectives.passages(lm, texts, [case.spans for case in found]) if each]
        else:
            passages = objectives.retained(lm, texts, self.seed)
        lm.notify(f"task_vector: learns {len(passages)} texts, to take off what it has learnt")
        return objectives.Unlearning(lm, passages, [], objectives.Terms(forget=-1.0), self.batch_size, self.seed)

    def _recipe(self) -> Recipe:
        return Recipe(
            steps=self.steps,
            lr=self.lr,
            batch_size=self.batch_size,
            schedule="constant",
            warmup=0,
            weight_decay=0.0,
            clip=self.clip,
            seed=self.seed,
            dropout=False,
        )


def _negated(before: Mapping[str, Tensor], after: Mapping[str, Tensor], strength: float) -> Delta:
    """−strength × (after − before), in float32; parameters that did not change are left out."""
    taken = {name: (before[name].float() - value.float()) * strength for name, value in after.items()}
    return Delta({name: Change(tuple(each.shape), each.flatten()) for name, each in taken.items() if bool(each.any())})
