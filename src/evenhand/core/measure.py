"""The contract of a measure, and whom it is taken of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Case, Outcome
from evenhand.core.readout import Readout

Swap = Literal["negate", "reciprocal", "same"]


@runtime_checkable
class Measure(Protocol):
    """Numbers in, numbers out: never sees a model.

    Laws (checked by `evenhand.testing.measures`): the neutral value on a symmetric toy; the ends of `range` on rigged
    ones; NaN without cases; what `swap` says when the two groups change places; the order of cases does not matter;
    `combine` is linear bookkeeping over `weights @ stats` followed by a formula, so weights of ones give the point
    estimate and integer weights equal explicit resampling.

    What else a measure may declare stands in `core/declared.py`.
    """

    @property
    def kinds(self) -> tuple[Outcome, ...]:
        """Outcomes it is defined for."""
        ...

    @property
    def comparison(self) -> bool:
        """True: compares exactly two groups (`readout.groups`). False: describes whatever cases it is given."""
        ...

    @property
    def neutral(self) -> float:
        """Value that means "no difference"; NaN for a level that has no neutral value."""
        ...

    @property
    def range(self) -> tuple[float, float] | None:
        """Smallest and largest possible value; None when unbounded on a side."""
        ...

    @property
    def swap(self) -> Swap:
        """What happens to the value when the two groups change places."""
        ...

    @property
    def unit(self) -> str:
        """Unit of the value; empty for a pure number, or for the unit of the outcome itself."""
        ...

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return float64 statistics of each case; a row with NaN is an undefined case and is left out.

        `reference` is the readout of the unedited model in the same context and variation, all groups together, for
        measures that need its limits (inliers).
        """
        ...

    def combine(
        self, stats: Float[Tensor, "case stat"], weights: Float[Tensor, "*boot case"]
    ) -> dict[str, Float[Tensor, "*boot"]]:
        """Return named values for each weighting of the cases; NaN where undefined. The main one is `value`."""
        ...


@dataclass(frozen=True)
class Subject:
    """A readout to be measured and, for measures and differences that need it, the unedited model's.

    The subject called `base` is the unedited model: without a `base` readout it is its own reference.
    """

    name: str
    readout: Readout
    base: Readout | None = None

    def where(self, keep: Callable[[Case], bool]) -> Subject:
        """Return the subject on the cases for which `keep` is true."""
        return Subject(self.name, self.readout.where(keep), self.base.where(keep) if self.base else None)

    def between(self, groups: tuple[str, ...]) -> Readout:
        """Return the readout of only these groups; without a group, the whole of it."""
        return self.readout.between(*groups) if groups else self.readout

    @property
    def reference(self) -> Readout | None:
        """The unedited model's readout, if known."""
        return self.readout if self.base is None and self.name == "base" else self.base
