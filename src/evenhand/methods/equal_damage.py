"""Random noise on all weights, as strong as makes texts so much less likely: the control of equal damage.

Any edit that makes a model worse moves scores of bias, most of them towards "no difference". What an edit does beyond
that is seen beside one that was fitted to nothing and does the same damage; a random change of the same *norm* does not
serve, because a trained change of that norm does far more.

What it does: draws Gaussian noise for every parameter by `seed`, each of the Frobenius norm of the parameter, and finds
the factor with which perplexity on the running texts of `utility` rises by what is asked, within 5 % of it (`lm.notify`
is told where it cannot): doubled until the rise is reached, then by bisection between the last two factors, of which
one does too little and the other too much, so that perplexity may fall before it rises. Doses are per mille of
perplexity: 50 is a rise of 5 %. `bias` is not looked at.

Defaults: 50 per mille, the budget of damage that `unlearning` keeps to by default.
Pitfalls: equal damage on these texts is not equal on others; noise spreads over all weights, and a change of another
shape damages other things; one draw is one sample.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from evenhand.core.contracts import Dose
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.scenario import Scenario
from evenhand.edits.delta import Change, Delta
from evenhand.lm.model import LM
from evenhand.lm.scoring.texts import perplexity

_FIRST, _MOST, _TRIES = 1e-3, 8.0, 30
"""Factor tried first and the largest; how often at most."""
_NEAR = 0.05


@dataclass(frozen=True)
class EqualDamage:
    """Noise that raises perplexity by so much."""

    permille: Annotated[int, Field(ge=1)] = 50
    """Rise of perplexity, in thousandths."""
    texts: Annotated[int, Field(ge=1)] = 64
    """Most texts that perplexity is taken over."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    fitted_to: ClassVar[str] = "neutral texts"
    quick: ClassVar[Mapping[str, Any]] = {"permille": 8}

    @property
    def space(self) -> None:
        """None: it selects no units."""
        return

    @property
    def dose(self) -> Dose:
        """Thousandths by which perplexity rises."""
        return Dose("per mille of perplexity", self.permille, self.permille)

    def fit(self, lm: LM, bias: Scenario, utility: Scenario) -> Delta:
        """Return the noise at `permille`; raises UsageError without running texts, CannotRun where none does it."""
        return self.path(lm, bias, utility, [self.permille])[0]

    def path(self, lm: LM, bias: Scenario, utility: Scenario, sizes: Sequence[int]) -> list[Delta]:
        """Return the same noise at the strength of each size."""
        texts = utility.running_texts[: self.texts]
        if not texts:
            raise UsageError("equal_damage measures perplexity, and utility has no running texts; give some")
        noise = self._noise(lm)
        before = perplexity(lm, texts)
        return [self._of(lm, noise, texts, before, size / 1000) if size else Delta({}) for size in sizes]

    def _noise(self, lm: LM) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(self.seed)
        noise: dict[str, Tensor] = {}
        parameters: dict[str, Tensor] = dict(lm.model.named_parameters())
        for name, parameter in parameters.items():
            if not parameter.is_floating_point() or parameter.device.type == "meta":
                raise CannotRun(f"{name}: is quantised or offloaded, so nothing can be added to it")
            drawn = torch.randn(parameter.numel(), generator=generator)
            norm = math.sqrt(float(parameter.detach().double().square().sum()))
            noise[name] = drawn * (norm / math.sqrt(float(drawn.double().square().sum())))
        return noise

    def _of(self, lm: LM, noise: Mapping[str, Tensor], texts: Sequence[str], before: float, rise: float) -> Delta:
        """Return the noise at the first factor that is near enough, or at the nearest; raises where none is beyond."""
        low, high, factor = 0.0, math.inf, _FIRST
        shapes = {name: tuple(parameter.shape) for name, parameter in lm.model.named_parameters()}
        near, best = math.inf, Delta({})
        for _ in range(_TRIES):
            edit = Delta({name: Change(shapes[name], each * factor) for name, each in noise.items()})
            with edit.applied(lm):
                found = perplexity(lm, texts) / before - 1
            if abs(found - rise) < near:
                near, best = abs(found - rise), edit
            if near <= _NEAR * rise:
                return best
            low, high = (factor, high) if found < rise else (low, factor)
            factor = 2 * factor if high == math.inf else (low + high) / 2
            if factor > _MOST:
                break
        if math.inf in (high, near):
            raise CannotRun(
                f"equal_damage: noise as large as the weights does not raise perplexity by {rise:.1%}; the model may "
                "know nothing of these texts to begin with"
            )
        lm.notify(
            f"equal_damage: perplexity is {near:.2%} off the rise of {rise:.1%} that was asked; in half precision "
            "small changes are rounded away"
        )
        return best
