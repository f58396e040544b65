"""`evenhand plant`: make a model with known bias from a specification."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evenhand.cli import options


def plant(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="[SPEC] OUT", help="Specification or name of a bundled model (default: planted), and folder."
        ),
    ],
    json_: options.Json = False,
) -> None:
    """Train a small model whose bias is known: where it is, how large, and which neurons carry it.

    A run that was stopped goes on from its last state. Takes minutes to hours on a CPU.

    Example: evenhand plant my_spec.toml planted_model
    """
    from evenhand import planted
    from evenhand.cli.screen import bars, document
    from evenhand.core.errors import UsageError

    if len(paths) > 2:
        raise UsageError(f"plant takes a specification and a folder, not {len(paths)} arguments")
    first = str(paths[0]) if len(paths) == 2 else "planted"
    spec = planted.spec_path(first) if first in planted.BUNDLED else paths[0]
    with bars() as shown:
        made = planted.plant(spec, paths[-1], shown.progress)
    asked, measured = made.truth["spec"], made.truth["measured"]
    if json_:
        gaps = {context: {"asked_for": wanted, "measured": measured.get(context)} for context, wanted in asked.items()}
        document({"model": str(made.model), "minutes": made.minutes, "gaps": gaps})
        return
    print(f"model: {made.model}\n{made.minutes:.1f} min")
    for context, wanted in asked.items():
        print(f"  {context}: asked for {wanted}, measured {measured.get(context)}")
