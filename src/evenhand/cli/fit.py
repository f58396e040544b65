"""`evenhand fit`: make an edit with one method and save it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evenhand.cli import options
from evenhand.cli.options import DType


def fit(
    model: options.Model,
    out: Annotated[Path, typer.Option(help="Folder the edit is written to.")],
    scenario: options.ScenarioName = "name_audit",
    context: options.Contexts = None,
    method: Annotated[
        str, typer.Option("--method", "-m", help="Which method (see `evenhand list methods`).")
    ] = "contrast",
    set_: Annotated[list[str] | None, typer.Option("--set", help="A setting of the method, key=value.")] = None,
    units: Annotated[int | None, typer.Option(min=1, help="How many units; default: the method's own size.")] = None,
    layers: options.Layers = None,
    utility: Annotated[list[str] | None, typer.Option(help="Texts to leave alone; may be repeated.")] = None,
    chat: options.Chat = None,
    dtype: options.DTypeOption = DType.float32,
    device: options.Device = None,
    revision: options.Revision = None,
    json_: options.Json = False,
) -> None:
    """Fit an edit on all names of a scenario and save it. To choose its size and to prove it, use `evenhand run`.

    Example: evenhand fit planted --scenario planted --context loan --method contrast --units 12 --out loan_edit
    """
    import json

    from evenhand import find
    from evenhand.core.select import describe
    from evenhand.edits._file import save
    from evenhand.study.readings import selection_of, within_layers
    from evenhand.study.utility import together

    wanted = options.layers_of(layers)
    settings = dict(options.setting(text) for text in set_ or [])
    plan = find.build("methods", method, settings)
    asked = options.open_scenario(scenario, context)
    texts = together(tuple(utility or ("neutral_text",)))
    lm = options.open_lm(model, chat, dtype=dtype.value, device=device, revision=revision)
    edit = plan.fit(lm, asked, texts) if units is None else plan.path(lm, asked, texts, [units])[0]
    edit = within_layers(edit, wanted, lm) if wanted is not None else edit
    selection = selection_of(edit)
    save(edit, out, lm.identity.to_json(), {
        "method": method, "settings": settings, "units_asked_for": units, "layers": wanted, "scenario": asked.name,
        "scenario_fingerprint": asked.fingerprint, "fitted_on": [c.name for c in asked.contexts],
        "utility_fingerprint": texts.fingerprint,
    })  # fmt: skip
    if json_:
        counts = selection.per_layer() if selection is not None else None
        print(json.dumps({"edit": str(out), "describes": edit.describe(), "per_layer": counts}, ensure_ascii=False))
    else:
        print("\n".join([edit.describe(), *([describe(selection)] if selection is not None else [])]))
        print(f"saved in {out}")
