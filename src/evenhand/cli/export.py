"""`evenhand export`: a checkpoint with the edit in its weights."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from evenhand.cli import options


def export(
    model: options.Model,
    edit: Annotated[Path, typer.Argument(metavar="EDIT", help="An edit folder, from `fit` or a run's edits/.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the new checkpoint.")],
    dtype: options.DType = "auto",
    device: options.Device = None,
    device_map: options.DeviceMap = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
    licence: Annotated[
        str, typer.Option(help="Licence of the base model, such as apache-2.0; default: what its own card says.")
    ] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Replace a checkpoint that is there already.")] = False,
    json_: options.Json = False,
) -> None:
    """Bake an edit into a checkpoint that plain transformers loads, with a model card.

    Example: evenhand export planted loan_edit loan_model
    """
    from evenhand.cli.screen import document
    from evenhand.export.checkpoint import export as write

    lm = options.open_lm(model, False, dtype=dtype, device=device, device_map=device_map, revision=revision,
                         trust_remote_code=trust_remote_code)  # fmt: skip
    done = write(lm, edit, out, replace, licence)
    if json_:
        document({"checkpoint": str(done.folder), "evidence": done.evidence, "licence": done.licence.name,
                  **asdict(done.checked)})  # fmt: skip
    else:
        print(done)
