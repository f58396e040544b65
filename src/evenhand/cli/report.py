"""`evenhand report`: one self-contained page from the folder of a study, an audit or a reading."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="A folder that `run`, `audit` of benchmarks, or `read --out` made."),
    ],
    out: Annotated[Path | None, typer.Option(help="Where the page goes; default: report.html in the folder.")] = None,
) -> None:
    """Write one self-contained page from the folder of a study, an audit or a reading; it opens offline in any browser.

    Example: evenhand report runs/planted
    """
    from evenhand.report import render

    print(render(run, out))
