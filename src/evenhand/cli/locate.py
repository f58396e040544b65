"""`evenhand locate`: which units carry the bias, by one attribution."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evenhand.cli import options
from evenhand.core.errors import UsageError

if TYPE_CHECKING:
    from evenhand.core.component import Attribution, Selection
    from evenhand.core.highest import Scores
    from evenhand.lm.model import LM

SHOWN = 50
"""Units printed; of single weights also those in the JSON document."""


def locate(
    model: options.Model,
    scenario: options.ScenarioName = "name_audit",
    context: options.Contexts = None,
    locator: Annotated[
        str, typer.Option("--locator", "-l", help="Which attribution (see `evenhand list locate`).")
    ] = "contrast",
    space: Annotated[
        str | None, typer.Option(help="Kind of unit, such as neuron, head or weight; default: the locator's own.")
    ] = None,
    top: Annotated[float, typer.Option(min=0, help="How many units; below 1, the share of all units.")] = 20,
    layers: options.Layers = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="A setting of the locator, key=value.")] = None,
    chat: options.Chat = None,
    dtype: options.DType = "float32",
    device: options.Device = None,
    device_map: options.DeviceMap = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
    out: Annotated[Path | None, typer.Option(help="Write all scores to this .safetensors file.")] = None,
    replace: options.Replace = False,
    json_: options.Json = False,
) -> None:
    """Score every unit of a model and show the highest.

    Example: evenhand locate planted --scenario planted --context loan --top 10
    """
    from evenhand import find
    from evenhand.cli.screen import working
    from evenhand.core.component import Attribution
    from evenhand.core.entries import MatrixScores
    from evenhand.core.plugin import returned
    from evenhand.core.select import top as highest
    from evenhand.study.readings import only_layers

    if top >= 1 and not top.is_integer():
        raise UsageError(f"--top {top:g}: write a whole number of units, or a share of all units below 1, such as 0.01")
    if out is not None:
        options.check_out(out, replace)
    wanted = options.layers_of(layers)
    settings = options.settings(set_)
    plan = find.build("locate", locator, ({"space": space} if space else {}) | settings)
    if out is not None and plan.space == "weight":
        raise UsageError("--out: scores of single weights are as many as the model is large and are not written; "
                         "`evenhand fit --method weight_difference` saves those chosen")  # fmt: skip
    asked = options.open_scenario(scenario, context)
    lm = options.open_lm(model, chat, dtype=dtype, device=device, device_map=device_map, revision=revision,
                         trust_remote_code=trust_remote_code)  # fmt: skip
    with working(lm, "no score is kept"):
        scored = plan.score(lm, asked)
    scores = scored if isinstance(scored, MatrixScores) else returned(scored, Attribution, plan, "score")
    selection = highest(scores, share=top) if top < 1 else highest(scores, count=int(top))
    selection = only_layers(selection, wanted) if wanted is not None else selection
    _print(f"{locator}, {asked.name}", _units(lm, scores, selection), selection, json_)
    if out is not None and isinstance(scores, Attribution):
        _save(scores, out, {"model": lm.identity.to_json(), "locator": locator, "settings": settings,
                                 "scenario": asked.name, "scenario_fingerprint": asked.fingerprint})  # fmt: skip


def _print(title: str, units: list[dict[str, Any]], selection: Selection, json_: bool) -> None:
    from evenhand.cli.screen import document, table
    from evenhand.core.select import describe

    if json_:
        document({"units": units, "size": selection.layout.size, "share": selection.share,
                  "per_layer": selection.per_layer()})  # fmt: skip
        return
    worded = any(u["promotes"] for u in units)
    body = [
        [u["path"], f"{u['row']}, {u['column']}" if "row" in u else str(u["unit"]), f"{u['score']:.4g}",
         *([" ".join(map(repr, u["promotes"][:5]))] if worded else [])]
        for u in units[:SHOWN]
    ]  # fmt: skip
    weights = selection.layout.space == "weight"
    head = ["matrix", "row, column" if weights else "unit", "score", *(["promotes"] if worded else [])]
    table(title, head, body)
    print(describe(selection))


def _units(lm: LM, scores: Scores, selection: Selection) -> list[dict[str, Any]]:
    """The selected units, highest score first, with the tokens they promote; of single weights only the highest."""
    from evenhand.core.component import Selection
    from evenhand.core.highest import scores_of
    from evenhand.lm.attribution.promote import promoted
    from evenhand.lm.family import writer_inputs

    values = scores_of(scores, selection)
    if selection.layout.space == "weight":
        first = values.argsort(descending=True, stable=True)[:SHOWN].sort().values
        selection, values = Selection(selection.layout, selection.units[first]), values[first]
    found: list[dict[str, Any]] = [
        {"path": each.site.path, "unit": each.unit, "score": float(score), "promotes": each.promotes,
         "suppresses": each.suppresses}
        for each, score in zip(promoted(lm, selection), values, strict=True)
    ]  # fmt: skip
    for unit in found if selection.layout.space == "weight" else ():
        unit["row"], unit["column"] = divmod(unit["unit"], writer_inputs(lm.module(unit["path"])))
    return sorted(found, key=lambda unit: -unit["score"])


def _save(attribution: Attribution, out: Path, about: dict[str, Any]) -> None:
    """Write scores and layout; the header says of what."""
    import json

    from safetensors.torch import save

    from evenhand.study.store import write

    header = {"layout": json.dumps(attribution.layout.to_json()), "about": json.dumps(about)}
    write(out, save({"scores": attribution.scores.float().contiguous()}, metadata=header))
