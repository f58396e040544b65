"""Whether the methods find the units that were planted, what switching those off does, and where else it does it.

On the bundled planted model (`evenhand.planted`), whose carriers of every gap are known. Methods see the fit names of
one context and the fit part of the neutral text; everything printed is measured on the report names and the report
part. Names and texts are dealt anew for each seed: numbers are means over the seeds, with the smallest and the largest.
What no seed changes, and what is therefore not held out: the model, its contexts and its questions; `contrast` was
developed on them, with the names as seed 0 deals them.

Run `python benchmarks/recovery.py [--threads N] [--contexts loan sport] [--seeds 0 1 2]`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table

from evenhand import find
from evenhand.core.bootstrap import Bootstrap
from evenhand.core.component import Selection
from evenhand.core.measure import Subject
from evenhand.core.measuring import measure, point
from evenhand.core.readout import Readout
from evenhand.core.scenario import Part, Scenario
from evenhand.edits.scale import Scale
from evenhand.lm.batches.variants import Variant
from evenhand.lm.load import load
from evenhand.lm.model import LM
from evenhand.lm.read import read_variants
from evenhand.planted import model_path, truth
from evenhand.scenarios._load import load_scenario

COLUMNS = ("context", "units chosen by", "units", "precision", "recall", "gap before", "gap after", "gap removed",
           "perplexity")  # fmt: skip
Edits = dict[str, Scale]
"""How the units were chosen → the edit that switches them off."""
Moved = dict[str, dict[str, float]]
"""Context fitted on → context measured on → change of |gap|."""


@dataclass(frozen=True)
class Recovered:
    """One edit on one deal of names."""

    units: int
    hits: int
    planted: int
    before: float
    after: float
    perplexity: float
    """Rise, as a share."""

    def cells(self) -> tuple[float, ...]:
        """The columns of the table, as numbers; NaN where there are none."""
        precision = self.hits / self.units if self.units else float("nan")
        removed = 1 - abs(self.after / self.before)
        return self.units, precision, self.hits / self.planted, self.before, self.after, removed, self.perplexity


FORMATS = ("{:.0f}", "{:.2f}", "{:.2f}", "{:+.2f}", "{:+.2f}", "{:.0%}", "{:+.2%}")


@dataclass(frozen=True)
class Deal:
    """The questions and the neutral text as one seed deals them."""

    seed: int

    def questions(self, part: Part) -> Scenario:
        """Of all contexts."""
        return load_scenario("planted").part(part, self.seed)

    def texts(self, part: Part) -> Scenario:
        """Neutral text."""
        return load_scenario("planted_text").part(part, self.seed)


def gaps(readouts: Sequence[Readout]) -> dict[str, float]:
    """Return context → standardised mean difference, mean over its variations."""
    each = {"gap": find.build("measures", "standardised_mean_difference")}
    rows = [row for r in readouts for row in measure(each, Subject("model", r), Bootstrap(20))]
    return {row.context: row.estimate.value for row in rows if row.key == "value" and not row.variation}


def edits(lm: LM, deal: Deal, context: str, carriers: Selection) -> Edits:
    """The planted units themselves (the best that can be had), then what every method of neurons takes for them."""
    bias, utility = deal.questions("fit").only([context]), deal.texts("fit")
    found: Edits = {"the plan itself": Scale(carriers)}
    for name in ("contrast", *(each for each in find.names("methods") if each != "contrast")):
        method = find.build("methods", name, {"seed": deal.seed} if name == "random" else {})
        if method.space == "neuron":
            found[f"{name}, planted size"] = method.path(lm, bias, utility, [len(carriers)])[0]
    found["set_difference, paper size"] = find.build("methods", "set_difference").fit(lm, bias, utility)
    return found


def variants(found: Edits) -> list[Variant | None]:
    return [None, *(Variant(edit.selection, edit.factor) for edit in found.values())]


def recovery(lm: LM, found: Edits, deal: Deal, context: str, carriers: Selection) -> dict[str, Recovered]:
    """Return what each edit recovered, on the report names of the context and the report part of the neutral text."""
    report = deal.questions("report").only([context])
    before, *levels = (gaps(readouts)[context] for readouts in read_variants(lm, report, variants(found)))
    each = find.build("measures", "perplexity")
    plain, *texts = (
        point(each, readouts[0])["value"] for readouts in read_variants(lm, deal.texts("report"), variants(found))
    )
    sizes = [(len(edit.selection), len(edit.selection & carriers), len(carriers)) for edit in found.values()]
    return {
        name: Recovered(*size, before, gap, text / plain - 1)
        for name, size, gap, text in zip(found, sizes, levels, texts, strict=True)
    }


def transfer(lm: LM, report: Scenario, fitted: Edits) -> Moved:
    """Return what the edit fitted on each context moved in every other."""
    before, *after = (gaps(readouts) for readouts in read_variants(lm, report, variants(fitted)))
    return {name: {c: abs(row[c]) - abs(before[c]) for c in row} for name, row in zip(fitted, after, strict=True)}


def agreement(moved: Moved, sets: Sequence[tuple[str, ...]]) -> str:
    """Say whether |gap| fell most in the contexts that share units with the one fitted on (itself included)."""
    shares = {c: contexts for contexts in sets for c in contexts}
    inside = {c: [row[o] for o in row if o in shares[c]] for c, row in moved.items()}
    outside = {c: [row[o] for o in row if o not in shares[c]] for c, row in moved.items()}
    rows = sum(max(inside[c]) < -max(map(abs, outside[c])) for c in moved)
    least = max(max(row) for row in inside.values())
    most = max((value for row in outside.values() for value in row), key=abs)
    return (
        f"Contexts that share units moved most: {'yes' if rows == len(moved) else 'no'}; in {rows} of {len(moved)} "
        f"rows all of them fell by more than any other moved (smallest fall {least:+.3f}, largest other {most:+.3f})."
    )


def over_seeds(values: Sequence[float], form: Callable[[float], str]) -> str:
    """Return the mean, and the smallest and largest where they differ."""
    mean, low, high = form(sum(values) / len(values)), form(min(values)), form(max(values))
    return mean if low == high else f"{mean} ({low} … {high})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--contexts", nargs="*", help="default: every planted context")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0], help="of the deals of names and texts")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    lm, known = load(model_path()), truth()
    contexts = given.contexts or [c for each in known.sets for c in each.contexts]
    carriers = {context: known.carriers(context) for context in contexts}
    if unknown := [context for context, found in carriers.items() if found is None]:
        parser.error(f"nothing was planted in {unknown[0]!r}")
    recovered: dict[tuple[str, str], list[Recovered]] = {}
    moved: list[Moved] = []
    for deal in map(Deal, given.seeds):
        fitted: Edits = {}
        for context, planted in carriers.items():
            found = edits(lm, deal, context, planted)
            for name, one in recovery(lm, found, deal, context, planted).items():
                recovered.setdefault((context, name), []).append(one)
            fitted[context] = found["contrast, planted size"]
        moved.append(transfer(lm, deal.questions("report"), fitted))
    show(recovered, moved, [each.contexts for each in known.sets], given.seeds)


def show(
    recovered: dict[tuple[str, str], list[Recovered]], moved: list[Moved], sets: Sequence[tuple[str, ...]],
    seeds: Sequence[int],
) -> None:  # fmt: skip
    """Print both tables, and for each seed whether the transfer agrees with which units are shared."""
    of = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
    table = Table(*COLUMNS, title=f"Planted units found, and the gap (SD) on the report names; {of}")
    last = ""
    for (context, name), found in recovered.items():
        if last not in ("", context):
            table.add_section()
        last = context
        columns = zip(*(one.cells() for one in found), strict=True)
        table.add_row(context, name, *(over_seeds(c, f.format) for c, f in zip(columns, FORMATS, strict=True)))
    matrix = Table(
        "fitted on", *next(iter(moved[0].values())), title="Change of |gap| (SD), contrast at the planted size"
    )
    for context, row in moved[0].items():
        matrix.add_row(context, *(over_seeds([each[context][c] for each in moved], "{:+.2f}".format) for c in row))
    said = [f"Seed {seed}: {agreement(each, sets)}" for seed, each in zip(seeds, moved, strict=True)]
    Console(width=190).print(table, matrix, *said, sep="\n")


if __name__ == "__main__":
    main()
