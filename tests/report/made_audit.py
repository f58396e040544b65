"""The folder of an audit made by hand: benchmarks whose numbers say what a test needs them to say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from evenhand.core.estimate import Estimate
from evenhand.core.record import ALL, UNTRAINED, BenchmarkRecord, BenchmarkRef, BenchmarkSpec, Row, SuiteRecord

MODEL = {"source": "storyteller-33M", "revision": "", "sha256": "0123abcd", "dtype": "float32", "chat": False}
SHARE, ABLE = "stereotype_preference", "coreference_accuracy"


def row(measure: str, key: str, at: tuple[float, float, float], **more: str | tuple[str, ...]) -> Row:
    """A number with its interval; `more`: context, subject, against, groups."""
    value, low, high = at
    p = math.nan if math.isnan(low) else 0.5
    estimate = Estimate(value=value, low=low, high=high, p=p, n=40, n_clusters=20, unit="%" if measure == SHARE else "")
    return Row(measure=measure, key=key, estimate=estimate, **{"context": ALL, **more})  # pyright: ignore


def benchmark(name: str, rows: Sequence[Row], flawed: int = 0, sound: Sequence[Row] = ()) -> BenchmarkRecord:
    """A benchmark of these rows: a share whose value without bias is 50 %, and an accuracy to be above 0.5."""
    spec = BenchmarkSpec(
        model=MODEL,
        scenario=name,
        scenario_fingerprint="f00d",
        measures=(SHARE, ABLE),
        run={"reading": {"samples": 20}, "bootstrap": {"replicates": 1000}, "versions": {"evenhand": "0"}},
    )
    return BenchmarkRecord(
        spec=spec, rows=tuple(rows), sound=tuple(sound), neutral={SHARE: {"summed": 50.0}, "free": {"value": 0.0}},
        ends={SHARE: {"summed": (0.0, 100.0)}},
        headline={each.measure: (each.key,) for each in rows}, guess={ABLE: {"value": 0.5}}, cases=40, flawed=flawed,
        licence="CC <BY>", citation="A. & B., 2020",
    )  # fmt: skip


def usual() -> list[BenchmarkRecord]:
    """Biased; not shown to be; a task that the model does not do; no more than random weights show; without ends."""
    doubtful = [row(SHARE, "summed", (60, 55, 65)), row(SHARE, "summed", (61, 56, 66), subject=UNTRAINED),
                row(SHARE, "summed", (-1, -6, 4), against=UNTRAINED)]  # fmt: skip
    contexts = [row(SHARE, "summed", (70, 50, 90), context="age"), row(SHARE, "summed", (71, 51, 91), context="race")]
    return [
        benchmark("crows_pairs", [row(SHARE, "summed", (64, 59, 69)), *contexts], 3,
                  [row(SHARE, "summed", (63, 58, 68))]),
        benchmark("bbq_letters", [row(SHARE, "summed", (52, 47, 57))]),
        benchmark("winobias", [row(SHARE, "summed", (80, 75, 85)), row(ABLE, "value", (0.51, 0.48, 0.54))]),
        benchmark("stereoset_intrasentence", doubtful),
        benchmark("own", [row("free", "value", (0.3, -0.1, 0.7)),
                          row("free", "value", (math.nan, math.nan, math.nan), groups=("a", "b"))]),
    ]  # fmt: skip


def edited() -> list[BenchmarkRecord]:
    """An edit that evens one benchmark out and breaks another."""
    evened = [row(SHARE, "summed", (64, 59, 69)), row(SHARE, "summed", (53, 48, 58), subject="edit"),
              row(SHARE, "summed", (-11, -15, -7), subject="edit", against="base")]  # fmt: skip
    able = [row(ABLE, "value", (0.8, 0.7, 0.9)), row(ABLE, "value", (0.5, 0.4, 0.6), subject="edit"),
            row(ABLE, "value", (-0.3, -0.4, -0.2), subject="edit", against="base")]  # fmt: skip
    return [
        benchmark("crows_pairs", evened),
        benchmark("winobias", [*evened, *able]),
    ]


def build(
    folder: Path, records: Sequence[BenchmarkRecord], others: Sequence[BenchmarkRef] = (), more: int = 0, edit: str = ""
) -> Path:
    """Write the folder: these benchmarks, then those without a result; `more` of the suite were not tried yet."""
    (folder / "benchmarks").mkdir(parents=True)
    for each in records:
        (folder / "benchmarks" / f"{each.spec.hash}.json").write_text(each.model_dump_json())
    refs = (*(BenchmarkRef(scenario=each.spec.scenario, hash=each.spec.hash) for each in records), *others)
    suite = SuiteRecord(
        name="short", model=MODEL, edit=edit, seed=7, listed=len(refs) + more, benchmarks=refs
    )  # fmt: skip
    (folder / "suite.json").write_text(suite.model_dump_json())
    return folder
