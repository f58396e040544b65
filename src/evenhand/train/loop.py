"""The training loop: some parameters of a model, an objective, a recipe, and guards that stop it and roll it back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any, cast

import torch
from torch import Tensor, nn

from evenhand.core.errors import CannotRun, UsageError
from evenhand.lm.batches.batching import attempt
from evenhand.lm.model import LM
from evenhand.train.contracts import Entry, Limit, Objective, Recipe, Seen, Training, Values, Watch
from evenhand.train.schedule import learning_rate, seed_of
from evenhand.train.state import Keeper, key_of
from evenhand.train.watches import Divergence, NotFinite
from evenhand.train.weights import Weights, check, lent, seeded

_CHECKS = 20
"""How often, over the whole training, values are kept as good where there is no watch."""

__all__ = ["Entry", "Limit", "Objective", "Recipe", "Seen", "Training", "Watch", "train"]


def train(
    lm: LM,
    parameters: Mapping[str, nn.Parameter],
    objective: Objective,
    recipe: Recipe,
    watches: Sequence[Watch | Limit | Divergence] = (),
    keep: Sequence[int] = (),
) -> Training:
    """Train these parameters and return their values at the steps to keep; the model is left as it was found.

    Parameters in half precision have float32 master copies; values come back in the model's number format. Stops where
    the loss or its gradient is no number, or where a watch or limit says so, and rolls back (`Training.best`); why
    stands in `Training.told`, for whoever trains to tell. With `lm.workplace` the state is kept
    there, and a killed training goes on to the same weights (on the CPU to the bit). Raises UsageError or CannotRun for
    parameters that cannot be trained, and UsageError for an objective that does not depend on them.
    """
    check(lm, parameters)
    weights = Weights(parameters, recipe)
    original = weights.values()
    run = _Run(lm, weights, objective, recipe, watches)
    run.wanted |= {step for step in keep if 0 <= step <= recipe.steps}
    run.kept[0] = original
    key = key_of(lm, objective, recipe, watches, original, run.wanted) if lm.workplace else ""
    with torch.inference_mode(False), lent(lm, parameters, original):
        return run.through(Keeper(lm, key))


class _Run:
    """A training under way; `step` counts the updates made."""

    def __init__(
        self,
        lm: LM,
        weights: Weights,
        objective: Objective,
        recipe: Recipe,
        guards: Sequence[Watch | Limit | Divergence],
    ) -> None:
        self.lm, self.weights, self.objective, self.recipe = lm, weights, objective, recipe
        self.watches = [each for each in guards if isinstance(each, Watch)]
        self.every = {each.every for each in self.watches} or {max(1, recipe.steps // _CHECKS)}
        self.limits = [NotFinite(), *(each for each in guards if isinstance(each, Limit))]
        self.divergence = next((each for each in guards if isinstance(each, Divergence)), Divergence())
        self.asked = -self.divergence.over
        self.wanted = {0, recipe.steps}
        self.step, self.ended, self.whole = 0, False, True
        self.stopped, self.last_good, self.best, self.back = "", 0, (math.nan, 0), recipe.steps
        self.log: list[Entry] = []
        self.seen: list[tuple[int, Seen]] = []
        self.kept: dict[int, Values] = {}
        self.gradients: list[Tensor] = []

    def through(self, keeper: Keeper) -> Training:
        """Train to the end or until a guard objects, from where a killed training was."""
        if state := keeper.restored():
            if not state["ended"]:
                self._look()  # at the untrained model: what they compare with
            self._restore(state)
        already = self.ended
        try:
            while not self.ended:
                self.lm.progress("training", self.step, self.recipe.steps)
                self.ended = self._stops() or self.step == self.recipe.steps
                if not self.ended:
                    self._update()
                    keeper.write_when_due(self._state)
        except KeyboardInterrupt:
            if self.whole:
                with suppress(CannotRun):  # the state written before stands
                    keeper.write(self._state())
            raise
        if not already:
            keeper.write_at_end(self._state)
        self.lm.progress("training", self.recipe.steps, self.recipe.steps)
        found = tuple(self.log), tuple(self.seen), self.stopped, self.last_good, self.back, self.kept
        return Training(self.recipe.steps, *found)

    def _state(self) -> dict[str, Any]:
        """Everything needed to go on after `step` updates; what was done of the next one is left out."""
        past = self.step + self.ended
        return {
            "step": self.step,
            "ended": self.ended,
            "stopped": self.stopped,
            "last_good": self.last_good,
            "best": self.best,
            "back": self.back,
            "asked": self.asked,
            "kept": self.kept,
            "log": [asdict(entry) for entry in self.log if entry.step < past],
            "seen": [(step, asdict(seen)) for step, seen in self.seen if step < past],
            "weights": {} if self.ended else self.weights.state(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self.ended, self.stopped = state["step"], state["ended"], state["stopped"]
        self.last_good, self.best, self.asked = state["last_good"], state["best"], state["asked"]
        self.back = state["back"]
        self.kept = state["kept"]
        self.log = [Entry(**entry) for entry in state["log"]]
        self.seen = [(step, Seen(**seen)) for step, seen in state["seen"]]
        if not self.ended:
            self.weights.restore(state["weights"])
            self.lm.notify(f"training goes on after step {self.step} of {self.recipe.steps}")

    def _stops(self) -> bool:
        """Look at the model, measure the next batch, and say whether a guard objects; keep the values otherwise."""
        last = self.step == self.recipe.steps
        due = self.step in self.wanted or any(self.step % each == 0 for each in self.every)
        reason, score = self._look() if due else ("", math.nan)
        doubtful, scored = False, bool(reason) and not math.isnan(score)
        if not reason:
            self._within_memory(lambda: self._measure(learn=not last))
            reason = next((why for why in (limit.reached(self.log) for limit in self.limits) if why), "")
        if (
            not reason
            and self.divergence.suspects(self.log)
            and (due or self.step >= self.asked + self.divergence.over)
        ):
            reason, doubtful = self.divergence.verdict(self.log, self._before())
        if reason:
            self._roll_back(reason, scored)
        elif due:
            self._keep(score, good=last or not doubtful)
        return bool(reason)

    def _roll_back(self, reason: str, scored: bool) -> None:
        """Stop for this reason; with `scored` to the best step by the scores of the watch that objected."""
        self.gradients = []
        self.back = self.best[1] if scored else self.last_good
        which = "the last good one" if self.back == self.last_good else "the best one"
        self.stopped = f"stopped after {self.step} of {self.recipe.steps} steps: {reason}; rolled back to " + (
            f"step {self.back}, {which}" if self.back else "the model before training"
        )

    def _look(self) -> tuple[str, float]:
        """Let every watch look; return why training must stop, or nothing, and the score: that of who objects."""
        self.lm.model.eval()
        found: list[Seen] = []
        for watch in self.watches:
            with torch.no_grad():
                found.append(watch.look(self.lm, self.step))
            self.seen.append((self.step, found[-1]))
        for seen in found:
            if not seen.ok:
                return seen.reason or "a watch objected", seen.score
        return "", next((seen.score for seen in found if not math.isnan(seen.score)), math.nan)

    def _before(self) -> list[float]:
        """The losses of the untrained model on the batches of the last lines."""
        self.asked = self.step
        steps = [entry.step for entry in self.log[-self.divergence.over :]]
        found: list[float] = []
        with self.weights.holding(self.kept[0]):
            self._within_memory(lambda: found.extend(self._batches(step, learn=False)[1] for step in steps))
        return found

    def _keep(self, score: float, good: bool) -> None:
        """Keep the values where training is, to roll back to if they are good; forget those that nobody asks for."""
        if good:
            self.last_good = self.step
            if score < self.best[0] or (math.isnan(self.best[0]) and not math.isnan(score)):
                self.best = (score, self.step)
        if self.step:
            self.kept[self.step] = self.weights.values()
        needed = self.wanted | {self.last_good, self.best[1]}
        self.kept = {step: values for step, values in self.kept.items() if step in needed}

    def _within_memory(self, run: Callable[[], None]) -> None:
        if not attempt(run):
            raise CannotRun(
                f"out of memory with a batch of {self.recipe.batch_size} while training; make batches smaller and "
                "accumulate more of them for the same recipe, train fewer parameters, or use a machine with more memory"
            )

    def _measure(self, learn: bool) -> None:
        """Write the next line of the log, and with `learn` take the gradient of what it says."""
        terms, total, self.gradients = self._batches(self.step, learn)
        norm = _norm(self.gradients) if learn and math.isfinite(total) else math.nan
        lr = learning_rate(self.recipe, self.step) if learn else math.nan
        self.log.append(Entry(self.step, terms, total, norm, lr))

    def _batches(self, step: int, learn: bool) -> tuple[dict[str, float], float, list[Tensor]]:
        """Terms and loss on the batches of a step, and with `learn` the gradient of the loss while it is a number."""
        parts, parameters = self.recipe.accumulate, self.weights.parameters
        sums: dict[str, float] = {}
        total, gradients = 0.0, list[Tensor]()
        self.lm.model.train(self.recipe.dropout and step < self.recipe.steps)
        for batch in range(step * parts, (step + 1) * parts):
            seeded(parameters, seed_of(self.recipe.seed, "model", batch))
            generator = torch.Generator().manual_seed(seed_of(self.recipe.seed, "objective", batch))
            with torch.set_grad_enabled(learn):
                terms = self.objective.terms(self.lm, batch, generator)
                loss = _summed(terms) / parts
            for name, (_, term) in terms.items():
                sums[name] = sums.get(name, 0.0) + float(term.detach()) / parts
            total += float(loss.detach())
            if learn and math.isfinite(total):
                gradients = _added(gradients, _slopes(loss, parameters))
        return sums, total, gradients

    def _update(self) -> None:
        """Clip the gradient of the last measurement and make one step with it."""
        entry, gradients = self.log[-1], self.gradients
        if entry.norm > self.recipe.clip:
            factor = self.recipe.clip / entry.norm
            for i in range(len(gradients)):  # one at a time, so that gradients are not held twice
                gradients[i] = gradients[i] * factor
        self.whole = False
        self.weights.update(gradients, entry.lr)
        self.step += 1
        self.whole = True


def _summed(terms: Mapping[str, tuple[float, Tensor]]) -> Tensor:
    if not terms:
        raise UsageError("the objective has no terms, so there is nothing to minimise")
    return torch.stack([weight * term.float() for weight, term in terms.values()]).sum()


def _slopes(loss: Tensor, parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """The gradient of each parameter; 0 where the loss does not depend on it."""
    if not loss.requires_grad:
        raise UsageError("the objective does not depend on any of the parameters to train")
    found = cast(list[Tensor | None], torch.autograd.grad(loss, parameters, allow_unused=True))
    if all(each is None for each in found):
        raise UsageError("the objective does not depend on any of the parameters to train")
    return [torch.zeros_like(p) if g is None else g for g, p in zip(found, parameters, strict=True)]


def _added(before: list[Tensor], more: list[Tensor]) -> list[Tensor]:
    """Sums over the batches of a step, in float32 where there are several."""
    return [a.float() + b for a, b in zip(before, more, strict=True)] if before else more


def _norm(gradients: Sequence[Tensor]) -> float:
    return math.sqrt(sum(float(gradient.float().square().sum()) for gradient in gradients))
