"""From parts of read-outs by case to a score per unit: what differs between groups, or pushes to a stereotype."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.errors import UsageError
from evenhand.core.scenario import Scenario
from evenhand.lm.attribution.direct import Parts
from evenhand.lm.attribution.first_tokens import Wanted, by_leaning, first_token_rows
from evenhand.lm.attribution.held import gaps_of, weighted
from evenhand.lm.attribution.objective import cells
from evenhand.lm.attribution.rows import Row
from evenhand.lm.model import LM
from evenhand.lm.tokens import Unscorable

Leaning = Literal["both", "female", "male"]
TakeApart = Callable[[list[Row], Callable[[Parts], None]], None]
"""Runs rows and hands on their read-outs taken apart, batch by batch."""


class _Sums:
    """Mean part of each unit (float64) and mean read-out by group of some rows."""

    def __init__(self, groups: list[str], rows: list[Row]) -> None:
        self.groups = groups
        self.count = Counter(groups[row.case] for row in rows)
        self.parts: dict[str, Float[Tensor, " unit"]] = {}
        self.values = dict.fromkeys(self.count, 0.0)

    def take(self, found: Parts) -> None:
        """Take up a batch."""
        for group in {self.groups[row.case] for row in found.rows}:
            here = torch.tensor([self.groups[row.case] == group for row in found.rows])
            part = found.units[here].double().sum(0) / self.count[group]
            self.parts[group] = self.parts[group] + part if group in self.parts else part
            self.values[group] += float(found.values[here].double().sum()) / self.count[group]


def gap_scores(
    lm: LM, scenario: Scenario, wanted: Wanted, leaning: Leaning, run: TakeApart
) -> tuple[Float[Tensor, " unit"], dict[str, Any]]:
    """Return what each unit carries of what differs between groups, float32, and notes.

    Groups: what it holds of each gap (mean part in the reference − in the other group), weighted as in
    `evenhand.locate.contrast`, so that a unit that holds a gap back scores below zero. Words that lean to a
    gender: half the mean part over female words less half of that over male ones, mean over context × variation, so
    that positive pushes towards the stereotype, whichever way the model leans. Of one gender's words alone, what is
    there in the neutral prompt too is taken off, since a model's general preference is many times as large.
    Raises UsageError where there is nothing to compare.
    """
    compared = by_leaning(scenario)
    if compared is not scenario:
        return _stereotype(lm, compared, wanted, leaning, run)
    if leaning != "both":
        raise UsageError(f"scenario {scenario.name!r} has groups, not words that lean: leave `leaning` at 'both'")
    scores, gaps = weighted(
        held
        for part, found in _sums(lm, cells(scenario), wanted, run)
        for held in gaps_of(part, found.values, found.parts)
    )
    return scores, {"gaps": gaps}


def _stereotype(
    lm: LM, words: Scenario, wanted: Wanted, leaning: Leaning, run: TakeApart
) -> tuple[Float[Tensor, " unit"], dict[str, Any]]:
    _check(words, leaning)
    found = {_name(part): sums for part, sums in _sums(lm, _variations(words), wanted, run)}
    sides = [side for side in ("baseline", "female", "male") if all(side in each.parts for each in found.values())]
    part = {side: torch.stack([each.parts[side] for each in found.values()]).mean(0) for side in sides}
    neutral = part.pop("baseline", torch.zeros(1, dtype=torch.float64))
    pushes = {side: (units - neutral) * (1 if side == "female" else -1) for side, units in part.items()}
    notes: dict[str, Any] = {
        "leaning": leaning,
        "gaps": {f"{name}/{side}": value for name, each in found.items() for side, value in each.values.items()},
        "mean_gap": {side: sum(each.values[side] for each in found.values()) / len(found) for side in sides},
    }
    if len(pushes) == len(words.groups):
        notes["correlation_of_female_and_male_words"] = float(torch.corrcoef(torch.stack([*pushes.values()]))[0, 1])
    scores = sum(pushes.values()) / 2 if leaning == "both" else pushes[leaning]
    return torch.as_tensor(scores).float(), notes


def _check(words: Scenario, leaning: Leaning) -> None:
    """Raise UsageError unless each variation has the words that are compared, and all or none a neutral prompt."""
    needed = {side: f"word that leans {side}" for side in words.groups if leaning in ("both", side)}
    if any(case.group == "baseline" for case in words.cases):
        needed["baseline"] = "neutral prompt (leaning 'baseline'), which others have"
    for part in _variations(words):
        missing = [what for side, what in needed.items() if side not in {case.group for case in part.cases}]
        if missing:
            raise UsageError(
                f"scenario {words.name!r}, {_name(part)}: it has no {' and no '.join(missing)}; leaning {leaning!r} "
                "needs them in every variation: add them, leave this variation out, or choose another `leaning`"
            )


def _variations(scenario: Scenario) -> Iterator[Scenario]:
    """Each variation of each context."""
    for context in scenario.contexts:
        for variation in scenario.variations(context.name):
            yield scenario.where(lambda c, x=context.name, v=variation: c.context == x and c.variation == v)


def _name(part: Scenario) -> str:
    return f"{part.cases[0].context}/{part.cases[0].variation}"


def target_scores(lm: LM, scenario: Scenario, run: TakeApart) -> tuple[Float[Tensor, " unit"], dict[str, Any]]:
    """Return each unit's mean part of the log-probability of the target, float32, and notes.

    Mean over cases, then over context × variation. Of words that lean to a gender, the target is that side.
    """
    compared = by_leaning(scenario)
    if compared is not scenario:
        compared = compared.where(lambda case: case.group in compared.groups)
    found = [each for _, each in _sums(lm, _variations(compared), "target", run, pooled=True)]
    total = torch.stack([each.parts[""] for each in found]).mean(0)
    return total.float(), {"mean_log_p": sum(each.values[""] for each in found) / len(found)}


def _sums(
    lm: LM, parts: Iterator[Scenario], wanted: Wanted, run: TakeApart, pooled: bool = False
) -> Iterator[tuple[Scenario, _Sums]]:
    """Yield the sums by group (or of all cases, as group "") of each variation in which every group can be read.

    Raises UsageError where there is none.
    """
    left_out = "there are no cases"
    read = 0
    for part in parts:
        groups = ["" if pooled else case.group for case in part.cases]
        try:
            rows = first_token_rows(lm, part, wanted)
        except Unscorable as error:
            rows, left_out = [], str(error)
        sums = _Sums(groups, rows)
        if set(sums.count) == set(groups):
            run(rows, sums.take)
            read += 1
            yield part, sums
        else:
            lm.notify(f"{_name(part)} is left out: a group has no case that can be read ({left_out})")
    if not read:
        raise UsageError(f"no context and variation can be read for all of its groups: {left_out}")
