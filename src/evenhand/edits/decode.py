"""Change what a model says next, at every token, by what it would say after prefixes that announce a biased text."""

from __future__ import annotations

import random
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, final

from torch import Tensor

from evenhand.core.edit import Edit
from evenhand.core.errors import CannotRun, UsageError
from evenhand.edits._stack import entered
from evenhand.lm.generation.decoding import decoded, decoding_of
from evenhand.lm.model import LM

DECAY, EPSILON = 50.0, 0.01
"""Of the paper."""
_PLACEBO = ("the weather", "animals", "a kitchen", "trees and flowers", "a river", "a bus", "bread", "clothes", "music")
"""What the control's prefixes announce."""


@final
@dataclass(frozen=True, eq=False)
class Decode(Edit):
    """Self-debiasing (Schick et al. 2021): make rarer what prefixes that announce a biased text make likelier.

    Formula and where it applies: `evenhand.lm.generation.decoding`. Options, whole texts, numbers and generated answers
    are all scored by p′, of causal models only (CannotRun for others); locators and transformers' own `generate` are
    not touched (for that: `evenhand.lm.generation.self_debias`). `decay` 0 changes nothing.
    """

    prefixes: tuple[str, ...]
    decay: float = DECAY
    epsilon: float = EPSILON

    run_time_only = True

    def __post_init__(self) -> None:
        """Refuse what is no self-debiasing."""
        if not self.prefixes or not all(self.prefixes):
            raise UsageError("self-debiasing needs at least one prefix, and none of them empty")
        if not self.decay >= 0 or not 0 < self.epsilon <= 1:
            raise UsageError(f"decay ({self.decay}) is 0 or more, epsilon ({self.epsilon}) lies above 0 and up to 1")

    def applied(self, lm: LM) -> AbstractContextManager[None]:
        """Decode so for the length of a `with` block."""
        return entered(lm, self, self._decoding(lm))

    @contextmanager
    def _decoding(self, lm: LM) -> Generator[None]:
        with decoded(lm, decoding_of(lm, self.prefixes, self.decay, self.epsilon) if self.decay else lm.decoding):
            yield

    def bake(self, lm: LM) -> None:
        """Raise: there is no weight that does this."""
        raise CannotRun(
            f"this edit ({self.describe()}) works only while the model runs and cannot be baked into weights; give "
            "evenhand.lm.generation.self_debias.SelfDebias to transformers' generate instead"
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return nothing: it is all settings."""
        return {}

    def settings(self) -> dict[str, Any]:
        """Return prefixes, decay and epsilon."""
        return {"prefixes": list(self.prefixes), "decay": self.decay, "epsilon": self.epsilon}

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], settings: dict[str, Any]) -> Decode:
        """Rebuild from file."""
        return cls(tuple(settings["prefixes"]), float(settings["decay"]), float(settings["epsilon"]))

    def control(self, seed: int) -> Decode:
        """Return the same with as many prefixes that announce a text about something harmless."""
        rng = random.Random(seed)
        drawn = [what for _ in range(-(-len(self.prefixes) // len(_PLACEBO))) for what in rng.sample(_PLACEBO, 9)]
        about = (f"The following text is about {what}:\n" for what in drawn[: len(self.prefixes)])
        return replace(self, prefixes=tuple(about))

    def describe(self) -> str:
        """Return one plain sentence."""
        if not self.decay:
            return "changes nothing (decay 0)"
        said = ", ".join(f"“{prefix.strip()}”" for prefix in self.prefixes)
        return (
            f"at every token makes rarer what would be likelier after {said} (decay {self.decay:g}, never to less than "
            f"{self.epsilon:g} of its share)"
        )
