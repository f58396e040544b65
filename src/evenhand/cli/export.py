"""`evenhand export`: a checkpoint with the edit in its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evenhand.cli import options
from evenhand.cli.options import DType


def export(
    model: options.Model,
    edit: Annotated[Path, typer.Argument(metavar="EDIT", help="An edit folder, from `fit` or a run's edits/.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the new checkpoint.")],
    dtype: options.DTypeOption = DType.auto,
    revision: options.Revision = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a checkpoint that is there already.")] = False,
) -> None:
    """Bake an edit into a checkpoint that plain transformers loads, with a model card.

    Example: evenhand export planted loan_edit loan_model
    """
    from evenhand.export.checkpoint import export as write

    lm = options.open_lm(model, False, dtype=dtype.value, revision=revision)
    print(write(lm, edit, out, replace))
