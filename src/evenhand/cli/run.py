"""`evenhand run`: from a model and a use case, or from a whole study file, to a run folder with its report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evenhand.cli import options
from evenhand.core.dtype import DTypeName
from evenhand.core.errors import UsageError

if TYPE_CHECKING:
    from evenhand.core.record import CellRecord
    from evenhand.study.config import StudyConfig


def run(
    what: Annotated[str, typer.Argument(metavar="STUDY.toml|MODEL", help="A study file; or a model, with --scenario.")],
    scenario: Annotated[
        str | None, typer.Option("--scenario", "-s", help="With MODEL: the use case, a scenario's name or file.")
    ] = None,
    context: options.Contexts = None,
    method: Annotated[
        list[str] | None, typer.Option("--method", "-m", help="With MODEL: a method; may be repeated [contrast].")
    ] = None,
    utility: Annotated[
        list[str] | None, typer.Option(help="With MODEL: texts to leave alone; may be repeated [neutral_text].")
    ] = None,
    chat: options.Chat = None,
    dtype: Annotated[
        DTypeName | None, typer.Option("--dtype", help="With MODEL: number format it is loaded in [float32].")
    ] = None,
    device: options.Device = None,
    device_map: options.DeviceMap = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
    seed: Annotated[int | None, typer.Option(help="With MODEL: seed of everything that is drawn [0].")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; default: the study's `output`, or runs/<name>.")] = None,
    export: Annotated[
        Path | None, typer.Option(help="Bake the edit that lowered the gap most into a checkpoint in this folder.")
    ] = None,
    json_: options.Json = False,
) -> None:
    """Find the units behind a gap, switch them off, and measure what that did everywhere; ends in a report.

    With MODEL and --scenario the defaults of a study are used; a study file says more (sizes, splits, protocols, many
    models). A run that was stopped, killed or failed goes on where it was when started again. A cell that cannot be
    computed does not stop the others; the end lists them, with exit code 3 (2 for a mistake).

    Example: evenhand run planted --scenario planted --context loan --utility planted_text
    """
    from evenhand.cli import outcome
    from evenhand.study.config import load_study
    from evenhand.study.engine import Unfinished

    loading = {"chat": chat, "dtype": dtype, "device": device, "device_map": options.read_device_map(device_map),
               "revision": revision, "trust_remote_code": trust_remote_code}  # fmt: skip
    if export is not None and export.exists() and (not export.is_dir() or any(export.iterdir())):
        raise UsageError(f"{export}: is there already and not empty; give --export a new folder")
    if scenario is not None:
        if what.endswith(".toml"):
            raise UsageError(
                f"{what}: is a study, which names its scenario itself; leave --scenario out, or give MODEL"
            )
        named = {"source": what, **loading, "dtype": dtype or "float32"}
        config = _at_once(named, scenario, context, method, utility, seed or 0)
    elif not what.endswith(".toml"):
        raise UsageError(
            f"{what} is no study file (.toml); to edit a model for one use case, name that too: "
            f"evenhand run {what} --scenario yours.toml"
        )
    else:
        given = {"context": context, "method": method, "utility": utility, "seed": seed, **loading}
        _only_with_a_model(given | {"trust_remote_code": trust_remote_code or None})
        config = load_study(Path(what))
    folder = out or config.folder
    try:
        records = carry_out(config, folder)
    except Unfinished as error:
        outcome.tell(folder, error.records, error.not_run, export, json_)
        raise
    outcome.tell(folder, records, [], export, json_)


def _only_with_a_model(given: dict[str, Any]) -> None:
    """Raise for an option that a study would ignore."""
    for name, value in given.items():
        if value is not None:
            raise UsageError(
                f"--{name.replace('_', '-')} goes with MODEL --scenario; what a study does stands in its file"
            )


def _at_once(
    model: dict[str, Any], scenario: str, context: list[str] | None, method: list[str] | None,
    utility: list[str] | None, seed: int,
) -> StudyConfig:  # fmt: skip
    """Return the study of one model and one use case, defaults for the rest."""
    import re

    from evenhand.study.config import MethodConfig, ModelConfig, StudyConfig

    names = (Path(model["source"]).name, Path(scenario).stem)
    return StudyConfig(
        name=re.sub(r"[^\w.-]+", "_", "-".join(dict.fromkeys(names))),
        models=(ModelConfig(**model),),
        scenario=scenario,
        utility=tuple(utility or ("neutral_text",)),
        methods=tuple(MethodConfig(name=name) for name in method or ("contrast",)),
        fitted_on=tuple((name,) for name in context or ()),
        seeds=(seed,),
    )


def carry_out(config: StudyConfig, folder: Path) -> list[CellRecord]:
    """Run a study with bars and lines on stderr; Ctrl-C says how to go on and exits with 130."""
    import sys

    from evenhand.cli.main import INTERRUPTED
    from evenhand.cli.outcome import summary
    from evenhand.cli.screen import bars, clock, notify
    from evenhand.study.engine import Listener, NotRun, run_study

    command = " ".join(["evenhand", *sys.argv[1:]])
    try:
        with bars() as shown:

            def ended(cell: CellRecord | NotRun, place: int, total: int, fresh: bool) -> None:
                shown.cell(place, total, fresh)
                if isinstance(cell, NotRun):
                    shown.line(f"[{place}/{total}] could not be run: {cell.cell}: {cell.error}")
                else:
                    took = clock(cell.seconds) if fresh else "was there already"
                    shown.line(f"[{place}/{total}] {summary(folder, cell)} ({took})")

            return run_study(config, folder, Listener(shown.progress, ended, notify), command)
    except KeyboardInterrupt:
        notify(f"stopped; finished cells are in {folder}. Run the same command again: it goes on where it stopped")
        raise typer.Exit(INTERRUPTED) from None
