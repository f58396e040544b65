"""`evenhand export`: a checkpoint with the edit in its weights, or an adapter beside them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from evenhand.cli import options


def export(
    model: options.Model,
    edit: Annotated[Path, typer.Argument(metavar="EDIT", help="An edit folder, from `fit` or a run's edits/.")],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder of the new checkpoint; or NAME.gguf, a control vector.")
    ],
    dtype: options.DType = "auto",
    device: options.Device = None,
    device_map: options.DeviceMap = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
    licence: Annotated[
        str, typer.Option(help="Licence of the base model, such as apache-2.0; default: what its own card says.")
    ] = "",
    adapter: Annotated[
        bool, typer.Option("--adapter", help="Write a low-rank edit as an adapter for peft, without the model.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace what was exported there before.")] = False,
    json_: options.Json = False,
) -> None:
    """Bake an edit into a checkpoint that plain transformers loads, with a model card.

    An edit that adds a vector at all tokens has no weights; its vectors go into OUT.gguf, for llama.cpp and repeng.

    Example: evenhand export planted loan_edit loan_model
    """
    from evenhand.cli.screen import document
    from evenhand.export.adapter import export_adapter
    from evenhand.export.checkpoint import export as write
    from evenhand.export.control_vector import export_vector

    lm = options.open_lm(model, False, dtype=dtype, device=device, device_map=device_map, revision=revision,
                         trust_remote_code=trust_remote_code)  # fmt: skip
    if out.suffix == ".gguf" and not adapter:
        layers = export_vector(lm, edit, out, replace)
        if json_:
            document({"control_vector": str(out), "layers": layers})
        else:
            print(f"{out}: control vector for blocks {', '.join(map(str, layers))}")
        return
    done = (export_adapter if adapter else write)(lm, edit, out, replace, licence)
    if json_:
        document({"adapter" if adapter else "checkpoint": str(done.folder), "evidence": done.evidence,
                  "licence": done.licence.name, **asdict(done.checked)})  # fmt: skip
    else:
        print(done)
