"""`evenhand demo`: the whole loop on the bundled model whose bias is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Run folder.")] = Path("runs/demo"),
) -> None:
    """Audit, edit, re-measure and report on the bundled planted model; needs no network.

    Example: evenhand demo
    """
    import time

    from evenhand.cli.run import carry_out
    from evenhand.cli.screen import clock, notify
    from evenhand.study.config import load_study

    started = time.monotonic()
    notify("a small bundled model with planted bias: finding the units that carry it, and switching them off")
    records = carry_out(load_study(Path(__file__).parents[1] / "study" / "demo.toml"), out)
    from evenhand.report import render

    page = render(out)
    best = next((record for record in records if record.edit), None)
    print(f"report: {page.resolve()}")
    if best is not None:
        print(f"next: evenhand export planted {out / best.edit} edited_model")
    notify(f"done in {clock(time.monotonic() - started)}")
