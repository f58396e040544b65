"""Which locators find the units that were planted: precision, recall and the gap removed, by number of units.

On the bundled planted model (`evenhand.planted`), whose carriers of every gap are known. Every locator of
`evenhand list locate` scores the units of one context from its fit names; the top n are set against the planted neurons
(a row of a gate or up projection, or an entry in the rows and columns of a neuron, belongs to that neuron; heads were
not planted, so they have neither precision nor recall) and switched off, and the gap is measured on the report names.
`expected by chance` is the precision of units drawn at random; the locator `random` is one such draw. Of single weights
n stands for as many as n neurons have. A context that a locator refuses is left out of its row.

Run `python benchmarks/planted_locators.py [--contexts loan sport] [--seeds 0 1 2] [--units 3 6 12 24]
[--only NAME …]`.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from recovery import Deal, gaps
from rich.console import Console
from rich.table import Table

from evenhand import find
from evenhand.core.component import Selection, Space
from evenhand.core.contracts import Locator
from evenhand.core.errors import EvenhandError, UsageError
from evenhand.core.progress import silent
from evenhand.core.select import top
from evenhand.edits.scale import Scale
from evenhand.lm.load import load
from evenhand.lm.model import LM
from evenhand.lm.read import Reading, read
from evenhand.planted import model_path, truth
from evenhand.study.readings import read_edits

CONSOLE = Console(width=150)
TITLES = (
    "Precision: share of the top n units that belong to planted neurons",
    "Recall: share of the planted neurons with a unit among the top n",
    "Share of the gap on the report names that is gone with the top n units off",
)


@dataclass(frozen=True)
class Found:
    """The top n units of one locator, in one context, on one deal of names."""

    precision: float
    recall: float
    removed: float
    """Share of the gap on the report names."""


@dataclass(frozen=True)
class Asked:
    """One context on one deal of names: what was planted there, and the gap before anything is switched off."""

    deal: Deal
    context: str
    carriers: Selection
    before: float


def owners(lm: LM, space: Space, carriers: Selection) -> dict[int, int]:
    """Return which units of a space belong to which planted neuron; a Llama's, as the planted model is one."""
    if space == "neuron":
        return {int(unit): int(unit) for unit in carriers.units}
    layout = lm.layout(space)
    starts = dict(zip((site.path for site in layout.sites), layout.starts(), strict=True))
    first = dict(zip((site.path for site in carriers.layout.sites), carriers.layout.starts(), strict=True))
    found: dict[int, int] = {}
    for site, units in carriers.by_site() if space in ("row", "weight") else ():
        mlp, width = site.path.removesuffix("down_proj"), lm.model.config.hidden_size
        for unit in map(int, units):
            for reader in (starts[f"{mlp}gate_proj"], starts[f"{mlp}up_proj"]):
                mine = [reader + unit] if space == "row" else range(reader + unit * width, reader + (unit + 1) * width)
                found |= dict.fromkeys(mine, first[site.path] + unit)
            if space == "weight":
                column = (starts[site.path] + out * site.units // width + unit for out in range(width))
                found |= dict.fromkeys(column, first[site.path] + unit)
    return found


def locators(only: Sequence[str]) -> Iterator[tuple[str, Locator]]:
    """Yield every locator as it is by default, and in the space of neurons where that is another one."""
    for name in only or find.names("locate"):
        built: Locator = find.build("locate", name)
        yield f"{name}, {built.space}", built
        if built.space != "neuron":
            try:
                yield f"{name}, neuron", find.build("locate", name, {"space": "neuron"})
            except UsageError:
                continue


def scored(lm: LM, locator: Locator, asked: Asked, sizes: Sequence[int]) -> list[Found]:
    """Return what the top n units find and remove, for each n."""
    attribution = locator.score(lm, asked.deal.questions("fit").only([asked.context]))
    each = 3 * lm.model.config.hidden_size if locator.space == "weight" else 1
    chosen = [top(attribution, count=n * each) for n in sizes]
    report = asked.deal.questions("report").only([asked.context])
    after = [gaps(r)[asked.context] for r in read_edits(lm, report, [Scale(c) for c in chosen], Reading(), silent)]
    owner = owners(lm, locator.space, asked.carriers)
    return [_found(owner, each, gap, asked) for each, gap in zip(chosen, after, strict=True)]


def _found(owner: dict[int, int], chosen: Selection, gap: float, asked: Asked) -> Found:
    hits = [owner[int(unit)] for unit in chosen.units if int(unit) in owner]
    removed = 1 - abs(gap / asked.before)
    if not owner:
        return Found(math.nan, math.nan, removed)
    return Found(len(hits) / len(chosen), len(set(hits)) / len(asked.carriers), removed)


def chance(lm: LM, space: Space, asked: Asked) -> float:
    """Return the precision that random units are expected to have; NaN where nothing of the space was planted."""
    owner = owners(lm, space, asked.carriers)
    return len(owner) / lm.layout(space).size if owner else math.nan


def mean(values: Sequence[float], form: str) -> str:
    """Return the mean with the smallest and the largest; a dash where it is undefined."""
    if any(math.isnan(value) for value in values):
        return "–"
    average, low, high = (f"{value:{form}}" for value in (sum(values) / len(values), min(values), max(values)))
    return average if low == high else f"{average} ({low} … {high})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--contexts", nargs="*", help="default: every planted context")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0], help="of the deals of names and texts")
    parser.add_argument("--units", nargs="*", type=int, default=[3, 6, 12, 24])
    parser.add_argument("--only", nargs="*", default=[], help="these locators; default: every one")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    lm, known = load(model_path()), truth()
    asked: list[Asked] = []
    for context in given.contexts or [c for each in known.sets for c in each.contexts]:
        carriers = known.carriers(context)
        if carriers is None:
            parser.error(f"nothing was planted in {context!r}")
        for deal in map(Deal, given.seeds):
            before = gaps(read(lm, deal.questions("report").only([context])))[context]
            asked.append(Asked(deal, context, carriers, before))
    over = f"mean (smallest … largest) over {len(asked)} deals: contexts × seeds {', '.join(map(str, given.seeds))}"
    tables = [
        Table("locator, space", *(f"n = {n}" for n in given.units), *more, title=f"{title}; {over}")
        for title, more in ((TITLES[0], ("expected by chance",)), (TITLES[1], ()), (TITLES[2], ("seconds per deal",)))
    ]
    refused: dict[tuple[str, str], int] = {}
    for name, locator in locators(given.only):
        started = time.monotonic()
        found: list[list[Found]] = []
        for each in asked:
            try:
                found.append(scored(lm, locator, each, given.units))
            except EvenhandError as error:
                refused[name, str(error)] = refused.get((name, str(error)), 0) + 1
        if not found:
            continue
        seconds = (time.monotonic() - started) / len(found)
        columns = list(zip(*found, strict=True))
        name = name if len(found) == len(asked) else f"{name}; {len(found)} of {len(asked)} deals"
        tables[0].add_row(name, *(mean([f.precision for f in column], ".2f") for column in columns),
                          mean([chance(lm, locator.space, each) for each in asked], ".4f"))  # fmt: skip
        tables[1].add_row(name, *(mean([f.recall for f in column], ".2f") for column in columns))
        tables[2].add_row(name, *(mean([f.removed for f in column], ".0%") for column in columns), f"{seconds:.1f}")
    CONSOLE.print(*tables, *(f"{name} refused {n} of {len(asked)} deals: {why}" for (name, why), n in refused.items()))


if __name__ == "__main__":
    main()
