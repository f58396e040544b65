"""`evenhand report`: one self-contained page from a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="A folder that `evenhand run`, or `evenhand audit` of benchmarks, made."),
    ],
    out: Annotated[Path | None, typer.Option(help="Where the page goes; default: report.html in the folder.")] = None,
) -> None:
    """Write one self-contained page from a run folder; it opens offline in any browser.

    Example: evenhand report runs/planted
    """
    from evenhand.report import render

    print(render(run, out))
