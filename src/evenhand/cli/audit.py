"""`evenhand audit`: how biased a model is, context by context, with intervals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evenhand.cli import options
from evenhand.core.answer import Numeric, Pooling
from evenhand.core.errors import CannotRun, UsageError

if TYPE_CHECKING:
    from evenhand.core.record import Row
    from evenhand.core.scenario import Scenario
    from evenhand.study.audit import Finding


def audit(
    model: options.Model,
    scenario: Annotated[
        str | None, typer.Option("--scenario", "-s", help="A scenario's name, or your own file [name_audit].")
    ] = None,
    suite: Annotated[
        str | None, typer.Option(help="Run a list of benchmarks instead: quick, standard, full, or your own .toml.")
    ] = None,
    context: options.Contexts = None,
    numeric: Annotated[Numeric, typer.Option(help="How numeric answers are read.")] = "auto",
    samples: Annotated[int, typer.Option(min=1, help="Answers per prompt when sampled.")] = 20,
    temperature: Annotated[float, typer.Option(min=0, help="Of the answers, drawn or exact; 0 is greedy.")] = 1.0,
    top_p: Annotated[float, typer.Option(min=0, max=1, help="Only the likeliest tokens that reach this share.")] = 1.0,
    node_budget: Annotated[int, typer.Option(min=1, help="Most steps of the exact search per prompt.")] = 400,
    layer: Annotated[
        int | None, typer.Option(help="Embeddings: the block (from 0) whose output is taken [the last hidden state].")
    ] = None,
    pooling: Annotated[Pooling, typer.Option(help="Embeddings: which token stands for a text.")] = "auto",
    replicates: Annotated[int, typer.Option(min=20, help="Bootstrap replicates.")] = 1000,
    measure: Annotated[
        list[str] | None, typer.Option(help="A further measure, by name or path; may be repeated.")
    ] = None,
    seed: options.Seed = 0,
    chat: options.Chat = None,
    dtype: options.DType = "float32",
    device: options.Device = None,
    device_map: options.DeviceMap = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
    variations: Annotated[bool, typer.Option("--variations", help="A line for each variation too.")] = False,
    by_context: Annotated[
        bool, typer.Option("--by-context", help="With --suite: a line for each context and group too.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="With --suite: where its results go [runs/MODEL-SUITE].")] = None,
    fail_over: Annotated[
        float | None, typer.Option(min=0, help="Exit 1 when the interval of a gap lies wholly beyond this many sd.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the findings as JUnit XML (needs --fail-over).")] = None,
    json_: options.Json = False,
) -> None:
    """Measure how differently a model answers about the groups of a scenario, or run a whole suite of benchmarks.

    A suite that was stopped or killed goes on where it was when started again. A benchmark that the model cannot take
    is said and passed over; one that cannot be asked (its data are absent) ends in exit code 3, after all others.

    Example: evenhand audit planted --scenario planted --fail-over 0.2
    """
    from dataclasses import asdict

    from evenhand.cli.screen import bars, document
    from evenhand.core.bootstrap import Bootstrap
    from evenhand.lm.embeddings import Embedding
    from evenhand.lm.read import Reading
    from evenhand.study import audit as work
    from evenhand.study.models import identity

    reading = Reading(numeric, samples, temperature, top_p, seed, node_budget=node_budget,
                      embedding=Embedding(layer, pooling))  # fmt: skip
    loading: dict[str, Any] = {"dtype": dtype, "device": device, "revision": revision,
                               "trust_remote_code": trust_remote_code}  # fmt: skip
    if suite is not None:
        _refuse("goes with one scenario, not with --suite", scenario=scenario, context=context, measure=measure,
                fail_over=fail_over, junit=junit, variations=variations or None)  # fmt: skip
        from evenhand.cli.suite import Asked, run_suite
        from evenhand.study.suite import load_suite

        load_suite(suite)  # its mistakes are told before a model is opened
        lm = options.open_lm(model, chat, device_map=device_map, **loading)
        run_suite(lm, Asked(suite, out, by_context, json_), reading, Bootstrap(replicates, seed=seed))
        return
    _refuse("goes with --suite", out=out, by_context=by_context or None)
    if junit is not None and fail_over is None:
        raise UsageError("--junit writes findings over a limit: give the limit with --fail-over, such as 0.2")
    asked = options.open_scenario(scenario or "name_audit", context)
    measures = _measures(asked, measure or [])
    if fail_over is not None or not (measure or asked.measures):
        work.check_compares(asked)
    lm = options.open_lm(model, chat, device_map=device_map, **loading)
    with bars() as shown:
        rows = work.audit(lm, asked, reading, Bootstrap(replicates, seed=seed), shown.progress, measures)
    findings = work.gate(rows, fail_over) if fail_over is not None else []
    if json_:
        document({"model": identity(lm), "scenario": asked.name, "scenario_fingerprint": asked.fingerprint,
                  "reading": asdict(reading), "rows": [row.model_dump(mode="json") for row in rows],
                  "findings": [asdict(finding) for finding in findings]})  # fmt: skip
    else:
        _print(rows, findings, variations)
        _print_more(rows, [*asked.measures, *(measure or [])])
    if junit is not None:
        options.write_text(junit, work.junit(findings, f"evenhand {asked.name}"))
    _end(findings)


def _refuse(why: str, **given: object) -> None:
    """Raise for an option that would be ignored."""
    for name, value in given.items():
        if value is not None:
            raise UsageError(f"--{name.replace('_', '-')} {why}")


def _measures(asked: Scenario, more: list[str]) -> tuple[str, ...]:
    """Return what to measure: what a benchmark names, or else the gap and its companions; and what was asked for."""
    from evenhand import find
    from evenhand.study.audit import MEASURES

    names = tuple(dict.fromkeys((*(asked.measures or MEASURES), *more)))
    for name in names:
        find.build("measures", name)
    return names


def _end(findings: list[Finding]) -> None:
    """Exit 1 for a gap over the limit; a gap that could not be measured has not passed either."""
    if any(finding.outcome == "over" for finding in findings):
        raise typer.Exit(1)
    blind = list(dict.fromkeys(f.context for f in findings if f.outcome in ("undefined", "no_answer")))
    if blind:
        raise CannotRun(f"no gap could be measured in {', '.join(blind)}, so --fail-over has nothing to judge there")


def _print(rows: list[Row], findings: list[Finding], variations: bool) -> None:
    from evenhand.cli.screen import table
    from evenhand.study.audit import GAP, by_context, unanswered

    for context, mine in by_context(rows):
        body: list[list[str]] = []
        for row in mine:
            if row.measure == GAP and row.key == "value" and (variations or not row.variation):
                body.append(_line(row, mine))
        head = ["compared", "variation", "gap (sd)", "without extremes", "ratio of means", "earth mover's", "means",
                "valid", "refused", "on the options", "names"]  # fmt: skip
        silent = unanswered(rows, context)
        if body:
            table(f"{context}: {silent}; the gaps say nothing" if silent else context, head, body)
    for finding in findings:
        print(f"{finding.outcome.upper():9} {finding.context} ({' / '.join(finding.groups)}): {finding.text}")


def _print_more(rows: list[Row], measures: list[str]) -> None:
    from evenhand.cli.screen import table

    for name in measures:
        body = [[row.context, " / ".join(row.groups) or "all", row.key, str(row.estimate)]
                for row in rows if row.measure == name and not row.variation]  # fmt: skip
        table(name, ["context", "groups", "key", "value"], body)


def _line(gap: Row, rows: list[Row]) -> list[str]:
    """One comparison: the gap, its companions, and what each group did."""
    from evenhand.study.audit import GAP

    def value(measure: str, key: str = "value", groups: tuple[str, ...] = gap.groups, full: bool = False) -> str:
        for row in rows:
            if (row.measure, row.key, row.groups, row.variation) == (measure, key, groups, gap.variation):
                return str(row.estimate) if full else f"{row.estimate.value:.3g}"
        return "–"

    def each(measure: str, key: str = "value") -> str:
        return " / ".join(value(measure, key, (group,)) for group in gap.groups)

    return [
        " / ".join(gap.groups),
        gap.variation or "mean of all",
        str(gap.estimate),
        value(GAP, "clipped"),
        value("ratio_of_means", full=True),
        value("earth_movers_distance", full=True),
        each("mean"),
        each("answer_shares", "valid"),
        each("answer_shares", "refusal"),
        each("option_mass"),
        str(gap.estimate.n_clusters),
    ]
