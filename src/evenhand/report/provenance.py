"""Where the numbers come from: the run, its models, its data, who saw which names, and how each edit was made."""

from __future__ import annotations

from collections.abc import Sequence

from evenhand.core.record import CellRecord, CellRef, RunRecord
from evenhand.report import words
from evenhand.report.load import Run
from evenhand.report.naming import Method, model_names, plain
from evenhand.report.tables import Table

USED = {"fit": "find the units", "choose": "choose how many", "report": "report the numbers"}


def fresh(run: RunRecord) -> str:
    """Return what the three steps do not share: `names` (`questions` without groups), or `variations` of a use case."""
    split = run.config.get("split", {})
    if split.get("by") == "variation":
        return "variations"
    return "names" if len(run.scenario.groups) > 1 else "questions"


def asked(run: RunRecord) -> str:
    """Return how much of its scenario a study asked, in words; empty where it was all of it."""
    sample = run.config.get("sample", {})
    said = [
        f"only {words.listing([f'“{name}”' for name in sample.get('contexts', ())], 12)}",
        f"at most {words.count(sample.get('clusters') or 0, 'cluster')} of each group in each use case",
        f"at most {words.count(sample.get('cases') or 0, 'case')} of each cluster",
    ]
    given = [sample.get(key) for key in ("contexts", "clusters", "cases")]
    return ", ".join(each for each, limit in zip(said, given, strict=True) if limit)


def tables(run: Run) -> dict[str, Table]:
    """Return the tables of a whole run."""
    record = run.record
    keys = list(dict.fromkeys(key for model in record.models for key in model))
    models = tuple(
        (name, *(plain(model.get(key)) for key in keys))
        for name, model in zip(model_names(record), record.models, strict=True)
    )
    data = [(s.name, s.version, s.fingerprint, s.licence or "not stated", s.citation or "none given")
            for s in (record.scenario, *record.utility)]  # fmt: skip
    run_ = [("run", record.name), ("started", record.created.replace("T", " ")),
            ("command", record.command or "not recorded"),
            ("seeds", words.listing([str(s) for s in sorted({ref.seed for ref in record.cells})], 20)),
            ("asked of the scenario", asked(record) or "all of it"),
            *[(f"version of {name}", version) for name, version in record.versions.items()],
            ("time of computing", f"{sum(c.seconds for _, c in run.cells) / 60:.1f} minutes")]  # fmt: skip
    return {
        "run": Table("Run", ("what", "value"), tuple(run_)),
        "models": Table("Models", ("model", *keys), models),
        "data": Table("Data", ("scenario", "version", "fingerprint", "licence", "citation"), tuple(data)),
        "parts": _parts(record),
    }


def _parts(record: RunRecord) -> Table:
    """Which names, or variations, each of the three steps saw."""
    what, parts = fresh(record), record.scenario.parts
    columns = list(dict.fromkeys(of for held in parts.values() for of in held))
    rows = [(USED.get(part, part), *[f"{len(held.get(of, ()))}: {', '.join(held.get(of, ()))}" for of in columns])
            for part, held in parts.items()]  # fmt: skip
    seeds = sorted({ref.seed for ref in record.cells})
    of = f"{what.capitalize()} used to" + (f" (as seed {seeds[0]} deals them)" if len(seeds) > 1 else "")
    return Table("Who saw which " + what, (of, *columns), tuple(rows))


def cell(ref: CellRef, record: CellRecord, method: Method) -> Table:
    """Return how one edit was made: its method with every setting, what it was fitted on, and where it is."""
    spec = record.spec
    layers, sizes = spec.run.get("layers"), spec.run.get("sizes")
    rows: Sequence[tuple[str, str]] = [
        ("method", f"{ref.method}: {method.about}" if method.about else ref.method),
        *[(f"setting {key}", plain(value)) for key, value in spec.settings.items()],
        ("layers", f"only {plain(layers)}" if layers else "all"),
        ("sizes tried", {"paper": "its own size only", "grid": "a grid up to 5 % of all units"}.get(str(sizes))
         or plain(sizes)),
        ("fitted on", spec.fitted_to or ", ".join(spec.fitted_on)),
        *([("use cases it is for", ", ".join(spec.fitted_on))] if spec.fitted_to else []),
        ("variations it is for" if spec.fitted_to else "variations fitted on",
         ", ".join(spec.variations) or "all dealt to fitting"),
        ("protocol", spec.protocol),
        ("seed", str(spec.seed)),
        ("time of computing", f"{record.seconds:.0f} seconds"),
        ("edit", f"{record.edit} in the run folder" if record.edit else "none: the unedited model was kept"),
        ("record", f"cells/{spec.hash}.json in the run folder"),
    ]  # fmt: skip
    return Table("How this edit was made", ("what", "value"), tuple(rows))
