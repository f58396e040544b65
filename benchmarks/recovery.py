"""Whether the methods find the units that were planted, what switching those off does, and where else it does it.

On the bundled planted model (`evenhand.planted`), whose carriers of every gap are known. Methods see the fit names of
one context and the fit part of the neutral text; everything printed is measured on the report names and the report
part. Run `python benchmarks/recovery.py [--threads N] [--contexts loan sport] [--seed 0]`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from rich.console import Console
from rich.table import Table

from evenhand import find
from evenhand.core.bootstrap import Bootstrap
from evenhand.core.component import Selection
from evenhand.core.measure import Subject, measure, point
from evenhand.core.readout import Readout
from evenhand.core.scenario import Scenario
from evenhand.edits.scale import Scale
from evenhand.lm.load import load
from evenhand.lm.model import LM
from evenhand.lm.read import read_variants
from evenhand.lm.variants import Variant
from evenhand.planted import model_path, truth
from evenhand.scenarios._load import load_scenario

COLUMNS = ("context", "units chosen by", "units", "precision", "recall", "gap before", "gap after", "gap removed",
           "perplexity")  # fmt: skip
Edits = dict[str, Scale]
"""How the units were chosen → the edit that switches them off."""


def gaps(readouts: Sequence[Readout]) -> dict[str, float]:
    """Return context → standardised mean difference, mean over its variations."""
    each = {"gap": find.build("measures", "standardised_mean_difference")}
    rows = [row for r in readouts for row in measure(each, Subject("model", r), Bootstrap(20))]
    return {row.context: row.estimate.value for row in rows if row.key == "value" and not row.variation}


def edits(lm: LM, bias: Scenario, utility: Scenario, carriers: Selection) -> Edits:
    """The planted units themselves (the best that can be had), then what every method takes for them."""
    found: Edits = {"the plan itself": Scale(carriers)}
    for name in ("contrast", "set_difference", "random"):
        found[f"{name}, planted size"] = find.build("methods", name).path(lm, bias, utility, [len(carriers)])[0]
    found["set_difference, paper size"] = find.build("methods", "set_difference").fit(lm, bias, utility)
    return found


def variants(found: Edits) -> list[Variant | None]:
    return [None, *(Variant(edit.selection, edit.factor) for edit in found.values())]


def recovery(lm: LM, table: Table, found: Edits, data: tuple[Scenario, Scenario], carriers: Selection) -> None:
    """Add a row for each edit; `data` is the context's report part and the report part of the neutral text."""
    levels = [next(iter(gaps(readouts).values())) for readouts in read_variants(lm, data[0], variants(found))]
    each = find.build("measures", "perplexity")
    texts = [point(each, readouts[0])["value"] for readouts in read_variants(lm, data[1], variants(found))]
    for (name, edit), gap, text in zip(found.items(), levels[1:], texts[1:], strict=True):
        chosen = edit.selection
        hits, n = len(chosen & carriers), len(chosen)
        shares = (f"{hits / n:.2f}" if n else "–", f"{hits / len(carriers):.2f}")
        effect = (f"{levels[0]:+.3f}", f"{gap:+.3f}", f"{1 - abs(gap / levels[0]):.0%}", f"{text / texts[0] - 1:+.2%}")
        table.add_row(data[0].contexts[0].name, name, str(n), *shares, *effect)
    table.add_section()


def transfer(lm: LM, report: Scenario, fitted: Edits) -> dict[str, dict[str, float]]:
    """Context fitted on → context measured on → change of |gap|."""
    before, *after = (gaps(readouts) for readouts in read_variants(lm, report, variants(fitted)))
    return {name: {c: abs(row[c]) - abs(before[c]) for c in row} for name, row in zip(fitted, after, strict=True)}


def agreement(moved: dict[str, dict[str, float]], sets: Sequence[tuple[str, ...]]) -> str:
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--contexts", nargs="*", help="default: every planted context")
    parser.add_argument("--seed", type=int, default=0, help="of the split of names and texts")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    lm, known = load(model_path()), truth()
    cases, texts = load_scenario("planted"), load_scenario("planted_text")
    fit, report = cases.part("fit", given.seed), cases.part("report", given.seed)
    table = Table(*COLUMNS, title="Planted units found, and the gap (SD) on the report names")
    fitted: Edits = {}
    for context in given.contexts or [c for each in known.sets for c in each.contexts]:
        carriers = known.carriers(cases.context(context).name)
        if carriers is None:
            parser.error(f"nothing was planted in {context!r}")
        found = edits(lm, fit.only([context]), texts.part("fit", given.seed), carriers)
        recovery(lm, table, found, (report.only([context]), texts.part("report", given.seed)), carriers)
        fitted[context] = found["contrast, planted size"]
    moved = transfer(lm, report, fitted)
    matrix = Table("fitted on", *next(iter(moved.values())), title="Change of |gap| (SD), contrast at the planted size")
    for context, row in moved.items():
        matrix.add_row(context, *(f"{value:+.3f}" for value in row.values()))
    Console(width=130).print(table, matrix, agreement(moved, [each.contexts for each in known.sets]))


if __name__ == "__main__":
    main()
