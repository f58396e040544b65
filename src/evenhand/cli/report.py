"""`evenhand report`: one self-contained page from a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, as `evenhand run` made it.")],
) -> None:
    """Write report.html into a run folder; it opens offline in any browser.

    Example: evenhand report runs/planted
    """
    from evenhand.report import render

    print(render(run))
