"""A finished cell with chosen numbers, for tests of what is said about it."""

from __future__ import annotations

import math

from evenhand.core.estimate import Estimate
from evenhand.core.record import CellRecord, CellSpec, ContextRecord, Row, RunRecord, ScenarioRecord
from evenhand.judge.facts import GAP


def around(value: float, half: float = 0.1, q: float = float("nan")) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half, n=40, n_clusters=40, unit="SD", q=q)


def gap_rows(
    context: str,
    before: Estimate,
    after: Estimate,
    change: Estimate,
    random: Estimate | None = None,
    beyond: Estimate | None = None,
) -> list[Row]:
    """The rows a study writes for the gap of one use case; `beyond` is the edit less the random edit."""
    groups = ("white", "black")
    rows = [
        Row(measure=GAP, key="value", context=context, groups=groups, subject="base", estimate=before),
        Row(measure=GAP, key="value", context=context, groups=groups, subject="edit", estimate=after),
        Row(measure=GAP, key="value.abs", context=context, groups=groups, subject="base", estimate=size(before)),
        Row(measure=GAP, key="value.abs", context=context, groups=groups, subject="edit", estimate=size(after)),
        Row(measure=GAP, key="value", context=context, groups=groups, subject="edit", against="base",
            estimate=around(after.value - before.value, q=change.q)),
        Row(measure=GAP, key="value.abs", context=context, groups=groups, subject="edit", against="base",
            estimate=change),
    ]  # fmt: skip
    if random is not None:
        rows += [
            Row(measure=GAP, key="value.abs", context=context, groups=groups, subject="random", against="base",
                estimate=random),
            Row(measure=GAP, key="value.abs", context=context, groups=groups, subject="edit", against="random",
                estimate=beyond or around(change.value - random.value)),
        ]  # fmt: skip
    return rows


def size(signed: Estimate) -> Estimate:
    """The size of a signed gap."""
    if math.isnan(signed.low):
        return Estimate(value=abs(signed.value))
    low, high = sorted((abs(signed.low), abs(signed.high)))
    straddles = signed.low <= 0 <= signed.high
    return signed.model_copy(update={"value": abs(signed.value), "low": 0.0 if straddles else low, "high": high})


def level_rows(measure: str, key: str, context: str, base: float, edit: float) -> list[Row]:
    """The rows a study writes for a level: everyone, and each group alone."""
    return [
        Row(measure=measure, key=key, context=context, groups=groups, subject=subject,
            estimate=Estimate(value=value, low=value - 0.01, high=value + 0.01))
        for groups in (("white", "black"), ("white",), ("black",))
        for subject, value in (("base", base), ("edit", edit))
    ]  # fmt: skip


def cell(rows: list[Row], variations: tuple[str, ...] = ()) -> CellRecord:
    """A cell fitted on `loan`."""
    spec = CellSpec(
        model={"source": "somewhere/model", "sha256": "ab" * 32}, method="contrast", settings={"units": 12},
        scenario="name_audit", scenario_fingerprint="f00d", utility_fingerprints=("beef",), fitted_on=("loan",),
        variations=variations, seed=3, run={},
    )  # fmt: skip
    return CellRecord(
        spec=spec, rows=tuple(rows), sweep=(), units=(), per_layer={"decoder.0": 3}, layer_sizes={"decoder.0": 48},
        space="neuron", share=0.02, distributions=(), notes=("12 | of the units are listed.",),
    )  # fmt: skip


def run(contexts: tuple[str, ...] = ("loan", "sport|ball"), outcome: str = "number") -> RunRecord:
    """The run of that cell."""
    return RunRecord(
        name="prices", created="2025-01-02T03:04:05+00:00", command="evenhand run prices.toml", config={},
        versions={"torch": "2.13.0"}, models=(),
        scenario=ScenarioRecord(name="name_audit", version="1", fingerprint="f00d", groups=("white", "black"),
                                contexts=tuple(ContextRecord(name=name, outcome=outcome) for name in contexts)),
    )  # fmt: skip
