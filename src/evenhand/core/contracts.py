"""The contracts of plug-ins that look at a model: locators and methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from evenhand.core.component import Attribution, Space
from evenhand.core.edit import Edit
from evenhand.core.entries import MatrixScores
from evenhand.core.scenario import Scenario

if TYPE_CHECKING:
    from evenhand.lm.model import LM


@runtime_checkable
class Locator(Protocol):
    """Scores every unit of a space for what the cases of a scenario make it do.

    A frozen dataclass whose fields all have defaults; one of them is `space`. Scores are float32 on the CPU. Leaves
    weights, gradients, train/eval mode, attention implementation and random state as they were.
    """

    @property
    def space(self) -> Space:
        """The space it scores."""
        ...

    def score(self, lm: LM, scenario: Scenario) -> Attribution | MatrixScores:
        """Return one score per unit; larger means more of what this locator looks for.

        Of single weights they are `MatrixScores`, made one matrix at a time.
        """
        ...


@runtime_checkable
class Method(Protocol):
    """Decides which units carry bias and returns an edit.

    A frozen dataclass; its fields are its hyper-parameters, all with defaults, and survive JSON. Same seed, same edit.
    `fit` and `path` leave the model bit-identical.
    """

    @property
    def space(self) -> Space:
        """The space it edits."""
        ...

    def fit(self, lm: LM, bias: Scenario, utility: Scenario) -> Edit:
        """Return the edit at the method's own size (paper thresholds, or its `units` field)."""
        ...

    def path(self, lm: LM, bias: Scenario, utility: Scenario, sizes: Sequence[int]) -> list[Edit]:
        """Return one candidate edit for each number of units, from a single attribution, in the order of `sizes`."""
        ...
