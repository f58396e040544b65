"""One self-contained HTML page: of a study or an audit by benchmarks from its run folder, of an edit, of a reading."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.core.errors import CannotRun
from evenhand.core.represented import Represented
from evenhand.report import benchmarks, explanation, represented, words
from evenhand.report.benchmarks import AuditPage
from evenhand.report.benchmarks_numbers import SUBJECTS
from evenhand.report.figures import Figure
from evenhand.report.load import Audit, load
from evenhand.report.page import Page, build

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

    from evenhand.core.explained import Explanation, Overlap


def render(run: Path, out: Path | None = None) -> Path:
    """Write the report of a run folder and return its path (default: `report.html` in the folder).

    The folder is one of `evenhand run`, of `evenhand audit` of benchmarks or of `evenhand read`. Raises UsageError
    where it is none of them, CannotRun where a file in it is damaged or the page cannot be written.
    """
    found, path = load(Path(run)), Path(run) / "report.html" if out is None else Path(out)
    if isinstance(found, Represented):
        return render_reading(found, path)
    return _write(audit_html(benchmarks.build(found)) if isinstance(found, Audit) else html(build(found)), path)


def render_explanation(parts: Sequence[Explanation], shared: Overlap | None, title: str, out: Path) -> Path:
    """Write the page of one edit, or of what several share, and return its path; CannotRun where that fails."""
    page = explanation.build(parts, shared, title)
    return _write(_template("explanation.html.j2").render(page=page, count=words.count, style=_style()), Path(out))


def render_reading(found: Represented, out: Path) -> Path:
    """Write the page of a reading and return its path; CannotRun where that fails."""
    page = represented.build(found)
    return _write(_template("reading.html.j2").render(page=page, style=_style(), **_drawn(page.figures)), Path(out))


def _write(text: str, path: Path) -> Path:
    """Write a page that appears complete or not at all."""
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
    return _template("report.html.j2").render(
        page=page,
        record=page.record,
        share=words.percent,
        count=words.count,
        style=_style(),
        **_drawn(page.figures),
    )


def _drawn(figures: Mapping[str, Figure]) -> dict[str, Markup]:
    """What a page needs to draw its figures: their data, the page's script and the plotting library."""
    from markupsafe import Markup

    script = (resources.files("evenhand.report") / "templates" / "page.js").read_text(encoding="utf-8")
    data = _plain(pooled(figures)).replace("<", "\\u003c")
    return {"script": Markup(script), "plotly": Markup(_plotly()), "figures": Markup(data)}


def audit_html(page: AuditPage) -> str:
    """Return the page of an audit as HTML; it needs no script."""
    return _template("audit.html.j2").render(
        page=page, record=page.record, subjects=SUBJECTS, count=words.count, style=_style()
    )


def _template(name: str) -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("evenhand.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    ).get_template(name)  # fmt: skip


def _style() -> Markup:
    from markupsafe import Markup

    return Markup((resources.files("evenhand.report") / "templates" / "style.css").read_text(encoding="utf-8"))


def pooled(figures: Mapping[str, Figure]) -> dict[str, Any]:
    """Return the figures with every distinct trace and layout kept once, in `pool`, and named by its place there.

    Edits of one model share the answers of the unedited model, so this halves the page of a large run.
    """
    pool: dict[str, int] = {}
    slim = {
        name: {**figure, "data": [pool.setdefault(_plain(trace), len(pool)) for trace in figure["data"]],
               "layout": pool.setdefault(_plain(figure["layout"]), len(pool))}
        for name, figure in figures.items()
    }  # fmt: skip
    return {"pool": [json.loads(text) for text in pool], "figures": slim}


def _plain(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _plotly() -> str:
    """The plotting library's own script, from the installed package."""
    script = (resources.files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")
