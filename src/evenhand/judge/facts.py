"""Looking up one cell's numbers: where it was fitted, where it was measured, the gap there before and after."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from evenhand.core.estimate import Estimate
from evenhand.core.record import CellRecord, ContextRecord, Row, ScenarioRecord, SweepPoint

GAP = "standardised_mean_difference"
NOTHING = Estimate(value=math.nan)
UNCHANGED = Estimate(value=0.0, low=0.0, high=0.0)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a gap is measured: a context, one variation of it (empty: their mean), and the group compared."""

    context: str
    variation: str
    other: str

    @property
    def label(self) -> str:
        """The place in words."""
        return f"{self.context} ({self.variation})" if self.variation else self.context


def shown(estimate: Estimate) -> bool:
    """Whether a difference from 0 is shown: the interval excludes 0 and, where there is a q, q is at most 1 − level."""
    return estimate.excludes(0.0) and (math.isnan(estimate.q) or estimate.q <= 1 - estimate.level + 1e-9)


@dataclass(frozen=True)
class Facts:
    """The rows of one cell by what they say."""

    scenario: ScenarioRecord
    cell: CellRecord

    @cached_property
    def _rows(self) -> dict[tuple[str, ...], list[Row]]:
        index: dict[tuple[str, ...], list[Row]] = {}
        for row in self.cell.rows:
            key = (row.measure, row.key, row.context, row.variation, row.subject, row.against)
            index.setdefault(key, []).append(row)
        return index

    @cached_property
    def unedited(self) -> bool:
        """Whether no unit was switched off: then only the unedited model was measured, and nothing changed."""
        chosen = self.chosen
        if chosen is not None:
            return chosen.units == 0
        return not self.size_edited and not any(row.subject == "edit" for row in self.cell.rows)

    @property
    def reference(self) -> str:
        """The group the others are compared with."""
        return self.scenario.groups[0] if self.scenario.groups else "the reference"

    @property
    def others(self) -> tuple[str, ...]:
        """The groups compared with the reference."""
        return self.scenario.groups[1:]

    @property
    def contexts(self) -> dict[str, ContextRecord]:
        """The use cases by name."""
        return {context.name: context for context in self.scenario.contexts}

    @property
    def held_out(self) -> bool:
        """Whether the edit is judged where it was not fitted at all (leave-one-out, cross-context)."""
        return self.cell.spec.protocol != "specific"

    @cached_property
    def home(self) -> tuple[Place, ...]:
        """The places the verdict is about, always with names that were neither fitted nor chosen on.

        specific: where it was fitted. leave-one-out: the variations of the fitted contexts that were left out.
        cross-context: the contexts it was not fitted on.
        """
        seen = set(self.cell.spec.fitted_on)
        if not self.held_out:
            return tuple(self._places(fitted=True))
        within = self.cell.spec.protocol == "leave-one-out"
        return tuple(place for place in self._places(fitted=False) if (place.context in seen) == within)

    @cached_property
    def away(self) -> tuple[Place, ...]:
        """Every other place it was measured in: fitted ones that are not judged first, then other contexts."""
        places = (*self._places(fitted=True), *self._places(fitted=False))
        return tuple(place for place in places if place not in set(self.home))

    def _places(self, fitted: bool) -> Iterator[Place]:
        """Places by whether they were fitted on: a context as a whole, or by variation where only some were seen."""
        spec = self.cell.spec
        contexts = sorted(self.scenario.contexts, key=lambda c: c.name not in spec.fitted_on)
        for context in contexts:
            seen = context.name in spec.fitted_on
            part = {v for v in spec.variations if v in context.variations}
            split = seen and part and part != set(context.variations)
            for other in self.others:
                if not split and seen == fitted:
                    yield Place(context.name, "", other)
                if split:
                    for variation in context.variations:
                        if (variation in part) == fitted:
                            yield Place(context.name, variation, other)

    def gap(self, place: Place, subject: str) -> Estimate:
        """The signed gap, reference − other, in standard deviations."""
        return self._compare(place, "value", subject)

    def clipped(self, place: Place, subject: str) -> Estimate:
        """The signed gap without the most extreme answers (numbers): far from `gap`, rare answers decide it."""
        return self._compare(place, "clipped", subject)

    def size(self, place: Place, subject: str) -> Estimate:
        """The size of the gap whatever its sign: the mean of |gap| over the variations."""
        return self._compare(place, "value.abs", subject)

    def change(self, place: Place, subject: str) -> Estimate:
        """The paired change in the size of the gap, subject − base; negative: it fell."""
        return self._compare(place, "value.abs", subject, "base")

    def beyond(self, place: Place) -> Estimate:
        """The paired difference in the size of the gap, edit − random edit; negative: the edit made it smaller.

        The interval is over names: it says how sure the comparison with this one random edit is.
        """
        return self._compare(place, "value.abs", "edit", "random")

    def signed_change(self, place: Place, subject: str) -> Estimate:
        """The paired change of the signed gap, subject − base."""
        return self._compare(place, "value", subject, "base")

    def variations(self, place: Place, subject: str) -> list[Estimate]:
        """The signed gap in each variation that the place pools; empty where it pools none."""
        if place.variation:
            return []
        names = self.contexts[place.context].variations
        found = [self._compare(Place(place.context, v, place.other), "value", subject) for v in names]
        return [e for e in found if e.defined]

    def _compare(self, place: Place, key: str, subject: str, against: str = "") -> Estimate:
        if self.unedited and subject == "edit":
            before = self._compare(place, key, "base")
            return UNCHANGED if against and before.defined else before
        rows = self._rows.get((GAP, key, place.context, place.variation, subject, against), [])
        return next((r.estimate for r in rows if r.groups == (self.reference, place.other)), NOTHING)

    def level(self, measure: str, key: str, place: Place, subject: str, change: bool = False) -> Estimate:
        """A level over all groups of a place (valid share, inlier ratio), else of the whole context."""
        return self._level(measure, key, place, subject, "base" if change else "")

    def cost_beyond(self, measure: str, key: str, place: Place) -> Estimate:
        """The paired difference of a level, edit − random edit; known for the perplexity of neutral text."""
        return self._level(measure, key, place, "edit", "random")

    def _level(self, measure: str, key: str, place: Place, subject: str, against: str) -> Estimate:
        if self.unedited and subject == "edit":
            before = self._level(measure, key, place, "base", "")
            return UNCHANGED if against and before.defined else before
        rows = self._rows.get((measure, key, place.context, place.variation, subject, against), [])
        if not rows and place.variation:
            rows = self._rows.get((measure, key, place.context, "", subject, against), [])
        return max(rows, key=lambda r: len(r.groups)).estimate if rows else NOTHING

    def answering(self, place: Place, subject: str, change: bool = False) -> Estimate:
        """How much of what the model says answers the question: probability on the options, else the valid share."""
        if self.contexts[place.context].outcome == "choice":
            mass = self.level("option_mass", "value", place, subject, change)
            if mass.defined:
                return mass
        return self.level("answer_shares", "valid", place, subject, change)

    def of_group(self, measure: str, key: str, place: Place, subject: str, group: str) -> Estimate:
        """A level of one group."""
        subject = "base" if self.unedited and subject == "edit" else subject
        rows = self._rows.get((measure, key, place.context, place.variation, subject, ""), [])
        return next((r.estimate for r in rows if r.groups == (group,)), NOTHING)

    def number(self, row: Row, subject: str, against: str) -> Estimate:
        """The number that stands where this row does, of another subject."""
        found = self._rows.get((row.measure, row.key, row.context, row.variation, subject, against), [])
        return next((r.estimate for r in found if r.groups == row.groups), NOTHING)

    def elsewhere(self, measure: str, key: str = "value") -> list[str]:
        """The contexts outside the scenario (utility texts and questions) where a measure was taken."""
        own = set(self.contexts)
        found = (r.context for r in self.cell.rows if r.measure == measure and r.key == key and r.context not in own)
        return list(dict.fromkeys(found))

    def measured(self, measure: str, key: str = "value") -> list[str]:
        """Where a level of the edited model is known: the contexts of the scenario first, then those outside it."""
        names = [*self.contexts, *self.elsewhere(measure, key)]
        return [name for name in names if self.level(measure, key, Place(name, "", ""), "edit").defined]

    @property
    def chosen(self) -> SweepPoint | None:
        """The chosen size, where there was a sweep."""
        return next((point for point in self.cell.sweep if point.chosen), None)

    @property
    def size_edited(self) -> int:
        """How many units the edit switches off, or how large its dose is."""
        if self.cell.dose:
            return self.chosen.units if self.chosen is not None else 0
        return sum(self.cell.per_layer.values())

    @property
    def noun(self) -> str:
        """What its size counts, in the plural: single weights are no units."""
        return self.cell.dose or ("weights" if self.cell.space == "weight" else "units")

    @property
    def act(self) -> str:
        """What is done to as many of them, as in "over the number of units switched off"; empty for a dose."""
        return "" if self.cell.dose else "switched off"
