"""`evenhand fit`: make an edit with one method and save it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evenhand.cli import options
from evenhand.core.errors import CannotRun, UsageError

if TYPE_CHECKING:
    from evenhand.core.edit import Edit


def fit(
    model: options.Model,
    out: Annotated[Path, typer.Option(help="Folder the edit is written to.")],
    scenario: options.ScenarioName = "name_audit",
    context: options.Contexts = None,
    method: Annotated[
        str, typer.Option("--method", "-m", help="Which method (see `evenhand list methods`).")
    ] = "contrast",
    set_: Annotated[list[str] | None, typer.Option("--set", help="A setting of the method, key=value.")] = None,
    units: Annotated[
        int | None, typer.Option(min=1, help="How many units (or training steps, …); default: the method's own size.")
    ] = None,
    layers: options.Layers = None,
    utility: Annotated[list[str] | None, typer.Option(help="Texts to leave alone; may be repeated.")] = None,
    chat: options.Chat = None,
    dtype: options.DType = "float32",
    device: options.Device = None,
    device_map: options.DeviceMap = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace what is in the folder already.")] = False,
    json_: options.Json = False,
) -> None:
    """Fit an edit on all names of a scenario and save it. To choose its size and to prove it, use `evenhand run`.

    Example: evenhand fit planted --scenario planted --context loan --method contrast --units 12 --out loan_edit
    """
    import json
    import shutil

    from evenhand import find
    from evenhand.cli.screen import working
    from evenhand.core.contracts import fitted_to
    from evenhand.core.edit import Edit
    from evenhand.core.plugin import returned
    from evenhand.edits._file import save
    from evenhand.study.readings import selection_of, within_layers
    from evenhand.study.search import heard
    from evenhand.study.utility import together

    if not replace and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: is there already and not empty; give another --out, or say --replace")
    wanted = options.layers_of(layers)
    settings = options.settings(set_)
    plan = find.build("methods", method, settings)
    asked = options.open_scenario(scenario, context)
    texts = together(tuple(utility or ("neutral_text",)))
    lm = options.open_lm(model, chat, dtype=dtype, device=device, device_map=device_map, revision=revision,
                         trust_remote_code=trust_remote_code)  # fmt: skip
    unfinished = out.parent / f".{out.name}.unfinished"
    with working(lm, "no edit is saved"), heard(lm, f"{Path(method).stem}: ") as notes, lm.keeping(unfinished):
        if units is None:
            edit = returned(plan.fit(lm, asked, texts), Edit, plan, "fit")
        else:
            edit = returned(plan.path(lm, asked, texts, [units])[0], Edit, plan, "path")
    edit = within_layers(edit, wanted, lm) if wanted is not None else edit
    selection = selection_of(edit)
    if selection is not None and not len(selection):
        raise CannotRun(f"{method} found no unit worth switching off in {asked.name}; no edit is saved")
    if edit.trained is not None and not edit.trained.reached:
        raise CannotRun(f"{method}: nothing was trained: {edit.trained.training.stopped}; no edit is saved")
    about: dict[str, Any] = {
        "method": method, "settings": settings, "units_asked_for": units, "layers": wanted, "scenario": asked.name,
        "scenario_fingerprint": asked.fingerprint,
        "fitted_on": [] if fitted_to(plan) else [c.name for c in asked.contexts], "fitted_to": fitted_to(plan),
        "utility_fingerprint": texts.fingerprint, "notes": list(dict.fromkeys(notes)),
        "steps": edit.trained.reached if edit.trained is not None else None,
        "training": json.loads(edit.trained.training.model_dump_json()) if edit.trained is not None else None,
    }  # fmt: skip
    save(edit, out, lm.identity.to_json(), about)
    shutil.rmtree(unfinished, ignore_errors=True)
    _print(edit, out, list(dict.fromkeys(notes)), json_)


def _print(edit: Edit, out: Path, notes: list[str], json_: bool) -> None:
    from evenhand.cli.screen import document
    from evenhand.core.select import describe
    from evenhand.study.readings import selection_of

    selection = selection_of(edit)
    if json_:
        counts = selection.per_layer() if selection is not None else None
        steps = {} if edit.trained is None else {"steps": edit.trained.reached}
        document({"edit": str(out), "describes": edit.describe(), "per_layer": counts, **steps, "notes": notes})
    else:
        steps = edit.trained and f"taken after {edit.trained.reached} of {edit.trained.training.steps} training steps"
        print("\n".join([edit.describe(), *([describe(selection)] if selection is not None else []),
                         *([steps] if steps else [])]))  # fmt: skip
        print(f"saved in {out}")
