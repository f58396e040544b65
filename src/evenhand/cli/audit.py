"""`evenhand audit`: how biased a model is, with intervals: the gaps of a scenario, a benchmark, or a suite of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evenhand.cli import options
from evenhand.core.answer import Numeric, Pooling
from evenhand.core.errors import UsageError


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
    variations: Annotated[bool, typer.Option("--variations", help="Of gaps: a line for each variation too.")] = False,
    by_context: Annotated[
        bool, typer.Option("--by-context", help="Of benchmarks: a line for each context and group too.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Of benchmarks: where results go [runs/MODEL-SUITE].")] = None,
    edit: Annotated[
        Path | None, typer.Option(help="Of benchmarks: an edit folder, measured beside the unedited model.")
    ] = None,
    fail_over: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Exit 1 when an interval lies wholly further from no bias: sd of a gap, or the benchmark's unit.",
        ),
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the findings as JUnit XML (needs a limit).")] = None,
    json_: options.Json = False,
) -> None:
    """Measure how differently a model answers about the groups of a scenario, or run benchmarks, one or a whole suite.

    Benchmarks that were stopped or killed go on where they were when started again. One that the model cannot take is
    said and passed over; one that cannot be asked (its data are absent) ends in exit code 3, after all others.

    Example: evenhand audit planted --scenario planted --fail-over 0.2
    """
    from functools import partial

    from evenhand.cli import gap
    from evenhand.cli import suite as benchmarks
    from evenhand.core.bootstrap import Bootstrap
    from evenhand.lm.embeddings import Embedding
    from evenhand.lm.read import Reading

    reading = Reading(numeric, samples, temperature, top_p, seed, node_budget=node_budget,
                      embedding=Embedding(layer, pooling))  # fmt: skip
    bootstrap, more = Bootstrap(replicates, seed=seed), tuple(measure or ())
    open_ = partial(options.open_lm, model, chat, device_map=device_map, dtype=dtype, device=device, revision=revision,
                    trust_remote_code=trust_remote_code)  # fmt: skip
    if suite is not None:
        _refuse("goes with one scenario, not with --suite", scenario=scenario, context=context, measure=measure,
                variations=variations or None)  # fmt: skip
        _refuse("goes with one scenario; the limits of a suite stand in it, as fail_over", fail_over=fail_over)
        listed = benchmarks.suite_of(suite)
    else:
        asked = options.open_scenario(scenario or "name_audit", context)
        if not asked.measures:
            _refuse(
                "goes with benchmarks: --suite, or a --scenario that names its own measures, such as crows_pairs (for "
                "a use case of yours beside an edit: evenhand run)",
                out=out,
                by_context=by_context or None,
                edit=edit,
            )
            _need_limit(junit, fail_over is not None)
            gap.audit_gaps(gap.Asked(asked, more, fail_over, junit, variations, json_), open_, reading, bootstrap)
            return
        _refuse("goes with a scenario that compares groups", variations=variations or None)
        listed = benchmarks.only(scenario or "", asked, tuple(context or ()), more, fail_over)
    _need_limit(junit, any(entry.fail_over for entry in listed.suite.benchmarks))
    shown = benchmarks.Shown(out, by_context, junit, json_)
    benchmarks.audit_benchmarks(listed, shown, benchmarks.Opened(open_, edit), reading, bootstrap)


def _refuse(why: str, **given: object) -> None:
    """Raise for an option that would be ignored."""
    for name, value in given.items():
        if value is not None:
            raise UsageError(f"--{name.replace('_', '-')} {why}")


def _need_limit(junit: Path | None, limited: bool) -> None:
    if junit is not None and not limited:
        raise UsageError(
            "--junit writes findings over a limit: give the limit with --fail-over, such as 0.2, or in the suite, such "
            "as `fail_over = { stereotype_preference = 5 }`"
        )
