"""What is written about edited units: their words, what drives them, what each does alone, what two edits share."""

from __future__ import annotations

import math
from typing import Any

from evenhand.core.estimate import Estimate, Number
from evenhand.core.frozen import Record

RANDOM_UNITS = 8
"""So many random units are what single ones are set against; fewer where their matrices hold no more others."""
ONE_SIGN = 0.75
"""A unit whose activation has one sign to at least this share pushes one way."""


class Driver(Record):
    """A token at which a unit was most active, in its text."""

    where: str
    """The use case or neutral text it comes from."""
    before: str
    token: str
    after: str
    value: Number
    """Activation there; of a head, the length of its output (before the writer)."""


class GapEffect(Record):
    """One gap (reference − other, in standard deviations of the unedited model's outcome) before and after an edit."""

    context: str
    other: str
    before: Number
    after: Number

    @property
    def change(self) -> float:
        """Change of the size of the gap; negative: it closes."""
        return abs(self.after) - abs(self.before)


class GroupEffect(Record):
    """What an edit does to the mean outcome of one group, in standard deviations of the unedited model's outcome."""

    context: str
    group: str
    change: Number
    """After − before; positive: a better outcome for the group, where the use case says which is better."""


class AnswerEffect(Record):
    """The right answers to the questions of a use case that compares no groups, before and after an edit."""

    context: str
    right_before: Number
    """Share of the questions whose likeliest option is the right one; those that tie share it."""
    right_after: Number
    before: Number
    """Mean log-probability of the right option among the options, in nats."""
    after: Number

    @property
    def change(self) -> float:
        """Change of that log-probability (nats); negative: right answers become less likely."""
        return self.after - self.before


class UnitRecord(Record):
    """One edited unit. Numbers that were not measured (only the first units of an edit are explained) are NaN."""

    path: str
    layer: int
    stack: str
    unit: int
    matrix: str = ""
    """Last parts of `path` that tell its matrix from the others of the layer; empty where the layer has only one."""
    score: Number = math.nan
    promotes: tuple[str, ...] = ()
    """Tokens it makes likelier where its activation is positive, and less likely where it is negative."""
    suppresses: tuple[str, ...] = ()
    positive: Number = math.nan
    """Share of its activation's size that is positive, over all tokens read; undefined for a head."""
    first: Number = math.nan
    """Share of its activation's size on the first token of a text."""
    delimiters: Number = math.nan
    """The same on later tokens without a letter or digit, and on special tokens."""
    groups: dict[str, Number] = {}
    """Group → mean activation over the tokens of its prompts."""
    differences: dict[str, Estimate] = {}
    """Other group → mean activation of the reference − that of the other."""
    neutral: Number = math.nan
    """Mean activation over the tokens of neutral text."""
    drivers: tuple[Driver, ...] = ()
    """Where it is most active, each token once: prompts first, then neutral text, largest first."""
    effects: tuple[GapEffect, ...] = ()
    """Each gap when this unit alone is edited as the edit does it."""
    outcomes: tuple[GroupEffect, ...] = ()
    """Each group's outcome then: it may move all groups alike and no gap."""
    answers: tuple[AnswerEffect, ...] = ()
    """The right answers then, where no groups are compared."""
    divergence: Number = math.nan
    """KL(unedited ‖ this unit alone edited) per token of neutral text, in nats."""

    @property
    def home(self) -> str:
        """Its layer, and its matrix where the layer has several."""
        return f"{self.layer} {self.matrix}".rstrip()

    @property
    def mixed(self) -> bool:
        """Whether its activation has both signs often, so that it pushes towards either side; False: unknown."""
        return max(self.positive, 1 - self.positive) < ONE_SIGN

    @property
    def pushes(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Tokens it pushes towards and away from, by the sign that most of its activation has (positive: unknown)."""
        return (self.suppresses, self.promotes) if self.positive < 0.5 else (self.promotes, self.suppresses)

    @property
    def change(self) -> float:
        """Mean change of the size of the gaps when it alone is edited; NaN where none was measured."""
        known = [each.change for each in self.effects if not math.isnan(each.change)]
        return sum(known) / len(known) if known else math.nan

    @property
    def answer(self) -> float:
        """Mean change of the right answers' log-probability (nats) then; NaN where none was measured."""
        known = [each.change for each in self.answers if not math.isnan(each.change)]
        return sum(known) / len(known) if known else math.nan

    @property
    def size(self) -> float:
        """How much it does alone: |change| of the gaps, else of the right answers; 0 where neither was measured."""
        return next((abs(each) for each in (self.change, self.answer) if not math.isnan(each)), 0.0)

    def outcome(self, group: str) -> float:
        """Return the mean change of a group's outcome over the use cases; NaN where none was measured."""
        known = [each.change for each in self.outcomes if each.group == group and not math.isnan(each.change)]
        return sum(known) / len(known) if known else math.nan


class MatrixRecord(Record):
    """The single weights an edit changes in one matrix: too many to be listed, so where they crowd."""

    path: str
    layer: int
    stack: str
    rows: int
    columns: int
    entries: int
    rows_hit: int
    """Rows (output features) in which at least one entry is changed."""
    columns_hit: int
    top_rows: tuple[tuple[int, int], ...] = ()
    """(row, changed entries), most first."""
    top_columns: tuple[tuple[int, int], ...] = ()
    crowded_columns: Number = math.nan
    """Share of the changed entries in the fullest 1 % of the columns (at least one): 0.01 when spread evenly."""
    crowded_rows: Number = math.nan


class Explanation(Record):
    """An edit, or one part of a composed one: what it changes, unit by unit or matrix by matrix, and what that does."""

    describes: str
    """One sentence."""
    model: dict[str, Any] = {}
    scenario: str = ""
    contexts: tuple[str, ...] = ()
    neutral: str = ""
    """Name of the neutral texts."""
    space: str = ""
    """Empty for an edit that is no set of units."""
    size: int = 0
    """Units, or single weights, it changes."""
    share: Number = math.nan
    per_layer: dict[str, int] = {}
    layer_sizes: dict[str, int] = {}
    units: tuple[UnitRecord, ...] = ()
    matrices: tuple[MatrixRecord, ...] = ()
    effects: tuple[GapEffect, ...] = ()
    """Each gap under the whole part."""
    answers: tuple[AnswerEffect, ...] = ()
    """The right answers under the whole part, of questions that compare no groups."""
    divergence: Number = math.nan
    """KL(unedited ‖ the whole part applied) per token of neutral text, in nats."""
    control: tuple[GapEffect, ...] = ()
    """Each gap under one edit of as many random units of the same matrices; empty where there is none such."""
    control_answers: tuple[AnswerEffect, ...] = ()
    control_divergence: Number = math.nan
    names: int = 0
    """Gaps are of at most so many names of each group and variation, spread evenly over those of the scenario."""
    questions: int = 0
    """Right answers are of at most so many questions of each use case, spread evenly."""
    read_on: str = ""
    """Whether the edit was fitted on these names, as a sentence."""
    first: Number = math.nan
    """Share of all tokens read that are the first of their text: what `UnitRecord.first` is to be set against."""
    delimiters: Number = math.nan
    random_units: int = 0
    """Random units of the same layers, each edited alone, that the next numbers are of; 0: not recorded."""
    random_change: Number = math.nan
    """Largest |change| of the mean gap among them."""
    random_answer: Number = math.nan
    """Largest |change| of the right answers' mean log-probability (nats) among them."""
    random_divergence: Number = math.nan
    notes: tuple[str, ...] = ()


class Shared(Record):
    """What two edits have in common."""

    a: int
    """Place in `Overlap.edits`."""
    b: int
    both: int
    jaccard: Number
    chance: Number
    """Expected Jaccard of two random sets of these sizes in the same space."""
    p: Number
    """Probability that two random sets share at least so many."""


class Overlap(Record):
    """Which edits change the same units."""

    edits: tuple[str, ...]
    """Cell hashes or paths."""
    sizes: tuple[int, ...]
    spaces: tuple[str, ...]
    pairs: tuple[Shared, ...]
    """Pairs over the same units; edits of different models or spaces have nothing to share."""
    correlations: tuple[tuple[int, int, Number], ...] = ()
    """Of scores over the same units: Spearman's rank correlation, by places in `edits`."""
