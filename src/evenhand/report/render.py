"""One self-contained HTML page from a run folder."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

from evenhand.core.errors import CannotRun
from evenhand.report import words
from evenhand.report.load import load
from evenhand.report.page import Page, build


def render(run: Path, out: Path | None = None) -> Path:
    """Write the report of a run folder and return its path (default: `report.html` in the folder).

    Raises UsageError where the folder is no run, CannotRun where a file in it is damaged or the page cannot be written.
    """
    page = build(load(Path(run)))
    path = Path(run) / "report.html" if out is None else Path(out)
    text = html(page)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.part")
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(path)
    except OSError as error:
        raise CannotRun(f"the report cannot be written to {path} ({error}); give another place with --out") from error
    return path


def html(page: Page) -> str:
    """Return the page as HTML: every script, style and figure inside it."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("evenhand.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    figures = json.dumps(page.figures, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    folder = resources.files("evenhand.report") / "templates"
    return environment.get_template("report.html.j2").render(
        page=page,
        record=page.record,
        share=words.percent,
        style=Markup((folder / "style.css").read_text(encoding="utf-8")),
        script=Markup((folder / "page.js").read_text(encoding="utf-8")),
        plotly=Markup(_plotly()),
        figures=Markup(figures.replace("<", "\\u003c")),
    )


def _plotly() -> str:
    """The plotting library's own script, from the installed package."""
    script = (resources.files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")
