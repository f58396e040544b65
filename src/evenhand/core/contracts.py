"""The contracts of plug-ins that look at a model or at texts: locators, selectors of spans and methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from evenhand.core.case import Case
from evenhand.core.component import Attribution, Space
from evenhand.core.edit import Edit
from evenhand.core.entries import MatrixScores
from evenhand.core.scenario import Scenario
from evenhand.core.spans import Spans

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
class Selector(Protocol):
    """Says which characters of texts carry what is to be unlearned.

    A frozen dataclass whose fields all have defaults. Leaves the model as it was; same texts, same spans.
    """

    def select(self, lm: LM, texts: Sequence[Case], neutral: Sequence[str]) -> list[Spans]:
        """Return the spans in each case's prompt, none where there are none; `neutral` texts are for comparison."""
        ...


@dataclass(frozen=True, slots=True)
class Dose:
    """How the edits of a method are sized that selects no units: by steps of training, by strength."""

    noun: str
    """What is counted, in the plural, after "over the number of"."""
    own: int
    """The size of the edit that `fit` returns."""
    most: int
    """The largest that a grid of sizes tries."""


@runtime_checkable
class Method(Protocol):
    """Decides what in a model carries bias and returns an edit.

    A frozen dataclass; its fields are its hyper-parameters, all with defaults, and survive JSON. Same seed, same edit.
    `fit` and `path` leave the model bit-identical. One that selects no units has `space = None` and a property `dose`.
    One that does not look at `bias` says in `fitted_to` what it is fitted to instead: see `fitted_to`.
    """

    @property
    def space(self) -> Space | None:
        """The space whose units it selects; None where it changes the model in another way."""
        ...

    def fit(self, lm: LM, bias: Scenario, utility: Scenario) -> Edit:
        """Return the edit at the method's own size (paper thresholds, or its `units` field)."""
        ...

    def path(self, lm: LM, bias: Scenario, utility: Scenario, sizes: Sequence[int]) -> list[Edit]:
        """Return one candidate edit for each size, from a single attribution or training, in the order of `sizes`.

        A size is a number of units, or of what the method's `dose` counts; size 0 changes nothing. A trained edit says
        in `trained` how many steps it was really taken after: fewer than its size where training had to stop.
        """
        ...


def fitted_to(method: Method) -> str:
    """Return what a method is fitted to instead of the scenario, in words after "fitted on"; empty: the scenario."""
    return str(getattr(method, "fitted_to", ""))


@runtime_checkable
class Dosed(Method, Protocol):
    """A method that selects no units."""

    @property
    def dose(self) -> Dose:
        """How its edits are sized."""
        ...
