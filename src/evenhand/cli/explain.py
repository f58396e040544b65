"""`evenhand explain`: what an edit changes, unit by unit, and what it shares with other edits or with scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from evenhand.cli import options
from evenhand.core.dtype import DTypeName
from evenhand.core.errors import CannotRun, EvenhandError, UsageError

if TYPE_CHECKING:
    from evenhand.core.explained import Explanation
    from evenhand.core.scenario import Scenario
    from evenhand.edits._file import Saved
    from evenhand.lm.model import LM
    from evenhand.study.overlap import Known


@dataclass(frozen=True)
class _Asked:
    """What an edit is explained on, as far as it was said."""

    model: str | None
    scenario: str | None
    contexts: tuple[str, ...]
    utility: tuple[str, ...]
    top: int
    names: int


def explain(
    edit: Annotated[Path, typer.Argument(metavar="EDIT", help="An edit's folder, a run folder, or a file of scores.")],
    model: Annotated[
        str | None, typer.Option("--model", help="Where its model is; default: as the edit's record says.")
    ] = None,
    scenario: Annotated[
        str | None, typer.Option("--scenario", "-s", help="Prompts about groups; default: those it was fitted on.")
    ] = None,
    context: Annotated[
        list[str] | None, typer.Option("--context", "-c", help="May be repeated; default: those it was fitted on.")
    ] = None,
    utility: Annotated[list[str] | None, typer.Option(help="Neutral texts [the study's, or neutral_text].")] = None,
    top: Annotated[int, typer.Option(min=1, help="At most so many units, those that do most to the gaps.")] = 20,
    names: Annotated[
        int,
        typer.Option(
            min=2, help="Names of each group that single units are tried on; 4 times as many questions without groups."
        ),
    ] = 12,
    against: Annotated[
        list[Path] | None, typer.Option(help="Another edit, run or file of scores to compare with; may be repeated.")
    ] = None,
    chat: options.Chat = None,
    dtype: Annotated[DTypeName | None, typer.Option("--dtype", help="Default: that of the edit's record.")] = None,
    device: options.Device = None,
    device_map: options.DeviceMap = None,
    trust_remote_code: options.TrustRemoteCode = False,
    out: Annotated[Path | None, typer.Option(help="Write a page that opens in any browser to this file.")] = None,
    replace: options.Replace = False,
    json_: options.Json = False,
) -> None:
    """Say of an edit which words its units write, what drives them, and what each does alone to gaps, answers and text.

    Of a run folder: which of its edits share units; its only edit, where it has one. Of scores (`evenhand locate
    --out`) against others: how alike they rank. Shared units are set against what random sets of these sizes share.

    Example: evenhand explain loan_edit --top 10 --out loan.html
    """
    from evenhand.cli.explained import tell
    from evenhand.report import render_explanation
    from evenhand.study.overlap import overlap

    if out is not None:
        options.check_out(out, replace)
    edit = edit if against else _only(edit)
    found: list[Explanation] = []
    if (edit / "run.json").is_file() or edit.is_file():
        if given := [name for name, value in (("model", model), ("scenario", scenario), ("context", context)) if value]:
            raise UsageError(f"--{given[0]} goes with the folder of one edit; {edit} is not one")
    else:
        found = _parts(edit, _Asked(model, scenario, tuple(context or ()), tuple(utility or ()), top, names),
                       {"chat": chat, "dtype": dtype, "device": device, "device_map": device_map,
                        "trust_remote_code": trust_remote_code})  # fmt: skip
    known = _known([edit, *(against or ())])
    shared = overlap([each for each, _ in known]) if len(known) > 1 else None
    if not found and (shared is None or not (shared.pairs or shared.correlations)):
        raise CannotRun(_nothing(edit, known))
    page, failed = None, None
    try:
        page = render_explanation(found, shared, str(edit), out) if out is not None else None
    except EvenhandError as error:  # What was found is told all the same: it took long.
        failed = error
    tell(edit, found, shared, page, json_)
    if failed is not None:
        raise failed


def _only(folder: Path) -> Path:
    """The one edit of a run that has no other to compare it with; else what was named."""
    from evenhand.study.store import read_run

    edits = [cell.edit for cell in read_run(folder)[1] if cell.edit] if (folder / "run.json").is_file() else []
    return folder / edits[0] if len(edits) == 1 else folder


def _parts(folder: Path, asked: _Asked, loading: dict[str, Any]) -> list[Explanation]:
    """Open the edit, its model and its prompts, and explain every part of it."""
    from evenhand.cli.screen import bars
    from evenhand.edits._file import load
    from evenhand.study.explanation import explain as explained
    from evenhand.study.ground import Depth, Ground
    from evenhand.study.utility import together

    saved = load(folder)
    bias, said = _prompts(folder, saved, asked)
    run = _run_of(folder)
    texts = together(asked.utility or (tuple(run["utility"]) if run else ("neutral_text",)))
    if run and not asked.utility:
        texts = _kept_apart(texts, run, saved, "name")
    lm = _model(folder, saved, asked, loading)
    edit = saved.on(lm)
    with bars("edit") as shown:
        ground = Ground(lm, bias, texts, Depth(names=asked.names), shown.progress, names=said)
        return explained(ground, edit, asked.top)


def _prompts(folder: Path, saved: Saved, asked: _Asked) -> tuple[Scenario, str]:
    """The scenario that was named, or the one the edit was fitted on, in the contexts it was fitted on; whose names.

    Of a study's edit those of the report part, which were neither fitted on nor used to choose its size.
    """
    run, fitted = _run_of(folder), saved.provenance
    whole, same = _scenario(folder, saved, asked)
    contexts = asked.contexts or (tuple(fitted.get("fitted_on", ())) if same or not asked.scenario else ())
    if same and run:
        # Dealt as in the study: all that its sample holds, in all contexts, before any is left out.
        kept = _kept_apart(whole, run, saved, run["split"]["by"]).only(contexts)
        of = "question" if run["split"]["by"] == "name" and not kept.groups else run["split"]["by"]
        return kept, f"The {of}s are those its study reports on, none of which it was fitted on."
    bias = whole.only(contexts)
    if same:
        names, gaps = ("names", "gaps") if bias.groups else ("questions", "numbers")
        return bias, (f"It was fitted on these {names}, so the {gaps} are in-sample; `evenhand run` fits and measures "
                      "on different ones.")  # fmt: skip
    if bias.name != fitted.get("scenario"):
        return bias, "It was fitted on another scenario."
    if not fitted.get("scenario_fingerprint"):
        return bias, "Its record does not say on which cases it was fitted, so some of these may be among them."
    return bias, (f"This scenario {bias.name!r} is not the one it was fitted on: their fingerprints differ, so these "
                  "numbers are on other cases, some of which may have been fitted on.")  # fmt: skip


def _fitted_on(scenario: Scenario, saved: Saved, run: dict[str, Any] | None) -> Scenario | None:
    """The scenario, of a study's as much as its sample holds; None where the edit was fitted on other cases."""
    from evenhand.study.config import SampleConfig
    from evenhand.study.entry import sampled

    try:
        if run:
            scenario = sampled(scenario, SampleConfig.model_validate(run["sample"]), run["seeds"][0])
        read = scenario if run else scenario.only(saved.provenance.get("fitted_on", ()))
    except UsageError:  # A context is not there any more.
        return None
    return scenario if read.fingerprint == saved.provenance.get("scenario_fingerprint") else None


def _kept_apart(scenario: Scenario, run: dict[str, Any], saved: Saved, by: Literal["name", "variation"]) -> Scenario:
    """The part of a study's scenario, or of its utility texts, that its numbers are of."""
    from evenhand.study.config import SplitConfig

    shares = SplitConfig.model_validate(run["split"]).shares
    return scenario.part("report", int(saved.provenance["seed"]), shares, by)


def _scenario(folder: Path, saved: Saved, asked: _Asked) -> tuple[Scenario, bool]:
    """All contexts of the scenario that was named, or of the one it was fitted on; whether it is that one."""
    run = _run_of(folder)
    name = asked.scenario or str(run["scenario"] if run else saved.provenance.get("scenario", ""))
    if not name:
        raise UsageError(f"{folder}: its record names no scenario; say which prompts to read with --scenario")
    other: Scenario | None = None
    failed: EvenhandError | None = None
    # Without a name given, also a file of one's own in this folder.
    places = (name,) if asked.scenario else dict.fromkeys((name, name.replace("-", "_"), f"{name}.toml"))
    for each in places:
        try:
            found = options.open_scenario(each, None)
            found.only(() if asked.scenario else saved.provenance.get("fitted_on", ()))
        except EvenhandError as error:
            failed = failed or error
            continue
        if (same := _fitted_on(found, saved, run)) is not None:
            return same, True
        other = other or found
    if other is not None:
        return other, False
    if asked.scenario and failed is not None:
        raise failed
    raise UsageError(f"{failed}. The edit was fitted on {name!r}; say where that is with --scenario") from failed


def _model(folder: Path, saved: Saved, asked: _Asked, loading: dict[str, Any]) -> LM:
    """The model that was named, or the one of the edit's record, loaded as it was when the edit was fitted."""
    known, run = saved.model, _run_of(folder)
    fits = [each for each in run["models"] if Path(str(each["source"])).name == known.get("source")] if run else []
    source = asked.model or str(fits[0]["source"] if fits else known.get("source"))
    chat = known.get("chat") if loading["chat"] is None else loading["chat"]
    dtype = loading["dtype"] or known.get("dtype")
    revision = None if asked.model else known.get("revision") or None
    try:
        return options.open_lm(source, **{**loading, "chat": chat, "dtype": dtype, "revision": revision})
    except EvenhandError as error:
        if asked.model:
            raise
        raise type(error)(f"{error}. That is the model of the edit's record; say where it is with --model") from error


def _run_of(folder: Path) -> dict[str, Any] | None:
    """The settings of the study whose run folder holds this edit."""
    from evenhand.study.store import read_record

    run = folder.resolve().parent.parent
    record = read_record(run) if (run / "run.json").is_file() else None
    # An edit of the same folder that is no cell of the run was made by other settings: of an earlier run.
    return record.config if record is not None and folder.name in {cell.hash for cell in record.cells} else None


def _known(paths: list[Path]) -> list[tuple[Known, Path]]:
    """All that can be compared, each with where it lies: of a run every edit."""
    from evenhand.study.overlap import of_edit, of_scores
    from evenhand.study.store import read_run

    known: list[tuple[Known, Path]] = []
    for path in paths:
        if path.is_file():
            known.append((of_scores(str(path), path), path))
        elif (path / "run.json").is_file():
            for cell in (cell for cell in read_run(path)[1] if cell.edit):
                name = f"{cell.spec.method} on {cell.spec.fitted}, seed {cell.spec.seed}"
                known.append((of_edit(name, path / cell.edit), path / cell.edit))
        else:
            known.append((of_edit(str(path), path), path))
    return known


def _nothing(asked: Path, known: list[tuple[Known, Path]]) -> str:
    """Why nothing can be compared, what there is, and what to try."""
    if len(known) < 2:
        return f"{asked}: there is nothing to compare it with; name other edits or scores with --against"
    models = list(dict.fromkeys(each.model for each, _ in known))
    there = "; ".join(
        f"{each.name} ({_space(each)}{f', model {models.index(each.model) + 1}' if len(models) > 1 else ''})"
        for each, _ in known
    )
    edits = [path for each, path in known if each.scores is None]
    alone = f"Explain each edit by its path, such as `evenhand explain {edits[0]}`, or name" if edits else "Name"
    return (f"{asked}: no two of these are edits or scores of units of the same space and model, so nothing can be "
            f"compared: {there}. {alone} other edits or scores with --against")  # fmt: skip


def _space(each: Known) -> str:
    """What it is of: units of a space, or no set of them."""
    from evenhand.core.component import called

    if each.scores is not None:
        return f"scores of {called(each.scores.layout.space)}"
    return called(each.selection.layout.space) if each.selection is not None else "no set of units"
