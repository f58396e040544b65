"""Write pages from docstrings: `methods/NAME.md`, `locators.md`, `measures.md`, `spans.md`, and a line for each file.

Run `.venv/bin/python docs/make_pages.py` after a docstring or a setting has changed; a test fails until it is done.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from evenhand import find
from evenhand.core.component import Space

DOCS = Path(__file__).parent
CODE = DOCS.parent / "src" / "evenhand"
MADE = "<!-- Made by docs/make_pages.py from docstrings: change those and run it again. -->\n"
LOCATORS = """# Locators
A locator gives every unit one score; the highest are looked at first:
`evenhand locate MODEL --scenario my_case.toml --locator NAME --set key=value`.
"""
MEASURES = """# Measures
A measure turns what a model said into named numbers, each with an interval. A [study](studies.md) names
those it takes, with settings where they differ from the defaults.
"""
SPANS = """# Span selectors
A selector says which characters of a text are unlearned. [unlearning](methods/unlearning.md) takes one by
`settings = { spans = "NAME", spans_settings = ["key=value"] }`. Your own is a file with one class, as the shortest here
(`given`).
"""
BENCHMARKS = """# Benchmarks
What each benchmark measures, by which convention, and why not to trust it alone. `evenhand audit MODEL --suite quick`
(`standard`, `full`, or a list of your own) runs many and prints one table; `evenhand audit MODEL --scenario NAME` runs
one. The data are not shipped: they are read from the folder that the environment variable EVENHAND_DATA names; files
pinned by their sha256 are downloaded once where they are not there, the others have to be put there. What the measures
compute stands under [measures](measures.md); how the numbers are read under [numbers](numbers.md); where a
number differs from that of another tool, in the [decisions](decisions/0006-whole-texts-begin-with-a-start-token.md).
"""
WORDS: dict[Any, str] = {int: "whole number", float: "number", bool: "true or false", str: "text"}
WORDS[Space] = " or ".join(f'`"{space}"`' for space in get_args(Space))
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def pages() -> dict[str, str]:
    """Return every page as path below `docs/` → text."""
    made = {f"methods/{name}.md": method(name) for name in find.names("methods")}
    rows = [f"| [{name}]({name}.md) | {line} |" for name, line in find.names("methods").items()]
    index = [MADE, "# Methods", "A method looks at a model through a scenario and returns an edit.\n"]
    made["methods/README.md"] = "\n".join([*index, "| method | in short |", "|---|---|", *rows, ""])
    plain = (("locators.md", "locate", LOCATORS), ("measures.md", "measures", MEASURES), ("spans.md", "spans", SPANS))
    for path, kind, intro in plain:
        made[path] = "\n".join([MADE, intro, *(section(kind, name) for name in find.names(kind))])
    return made | {"benchmarks.md": benchmarks(), "modules.md": modules()}


def benchmarks() -> str:
    """Return what stands in the docstring of every benchmark, and which suites run it."""
    suites = {name: find.path_of("suites", name).read_text(encoding="utf-8") for name in find.names("suites")}
    parts = [MADE, BENCHMARKS]
    for name in find.names("scenarios"):
        file = find.path_of("scenarios", name)
        if file.suffix == ".py":
            first, _, rest = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n")
            listed = [suite for suite, text in suites.items() if f'scenario = "{name}"' in text]
            runs = f"In the suites: {', '.join(listed)}. " if listed else ""
            source = f"{runs}Source: [{file.name}](../src/evenhand/scenarios/{file.name})"
            parts.append("\n\n".join([f"## {name}", f"**{first}**", rest.strip(), source]) + "\n")
    return "\n".join(parts)


def modules() -> str:
    """Return one line for every file of the package."""
    parts = [MADE.strip(), "# Where everything lives\nOne line for every file, from the floor up."]
    for folder in ("core", "", *sorted({str(p.parent.relative_to(CODE)) for p in CODE.rglob("*.py")} - {".", "core"})):
        files = [path for path in sorted((CODE / folder).glob("*.py")) if path.name != "__init__.py"]
        lines = [f"- `{path.stem}`: {first_line(path)}" for path in files]
        if lines:
            parts.append(
                f"## {folder or 'evenhand'}\n{first_line(CODE / folder / '__init__.py')}\n\n" + "\n".join(lines)
            )
    return "\n\n".join(parts) + "\n"


def first_line(path: Path) -> str:
    """Return the first paragraph of a file's docstring, on one line."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


def method(name: str) -> str:
    """Return the page of one method."""
    written = [f for f in dataclasses.fields(find.plugin("methods", name)) if f.default is not None]  # TOML has no null
    given = {f.name: json.dumps(f.default) for f in written}
    every = "\n".join(f"{key} = {value}" for key, value in given.items())
    example = next((f" --set {key}={value}" for key, value in given.items() if value[0].isdigit()), "")
    return f"""{MADE}
{section("methods", name, "#", "../../")}
## Use it
```console
evenhand fit MODEL --scenario my_case.toml --method {name}{example} --out my_edit
```
In a [study](../studies.md), here with every default written out:

```toml
[[methods]]
name = "{name}"

[methods.settings]
{every}
```
"""


def section(kind: find.Kind, name: str, level: str = "##", up: str = "../") -> str:
    """Return title, docstrings, settings and source of one plug-in."""
    cls = find.plugin(kind, name)
    first, _, rest = (inspect.getdoc(inspect.getmodule(cls)) or "").partition("\n")
    file = find.path_of(kind, name).name
    parts = [f"{level} {name}", f"**{first}**", rest.strip(), inspect.getdoc(cls) or "", answers(cls), settings(cls),
             f"Source: [{file}]({up}src/evenhand/{kind}/{file})"]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def answers(cls: type[Any]) -> str:
    """Return which answers a measure is read from; nothing for another plug-in."""
    each = "compares two groups" if getattr(cls, "comparison", False) else "for each group and for all"
    return f"Read from answers of kind {', '.join(cls.kinds)}; {each}." if hasattr(cls, "kinds") else ""


def settings(cls: type[Any]) -> str:
    """Return the table of a plug-in's settings: type, default, docstring."""
    types, said = get_type_hints(cls, include_extras=True), docstrings(cls)
    rows = [f"| `{f.name}` | {kind_of(types[f.name])} | `{json.dumps(f.default)}` | {said.get(f.name, '')} |"
            for f in dataclasses.fields(cls)]  # fmt: skip
    return "\n".join(["| setting | is | default | meaning |", "|---|---|---|---|", *rows]) if rows else "No settings."


def docstrings(cls: type[Any]) -> dict[str, str]:
    """Return the text under each field of a class, on one line."""
    body = next(node for node in ast.parse(inspect.getsource(cls)).body if isinstance(node, ast.ClassDef)).body
    return {
        field.target.id: " ".join(str(text.value.value).split()).replace("|", "\\|")
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    }  # fmt: skip


def kind_of(hint: Any) -> str:
    """Return a type in words, with its bounds."""
    if get_origin(hint) is Annotated:
        rules = [rule for extra in get_args(hint)[1:] for rule in getattr(extra, "metadata", [extra])]
        known = [(sign, getattr(rule, key, None)) for rule in rules for key, sign in BOUNDS.items()]
        bounds = [f"{sign} {end}" for sign, end in known if end is not None and end < 2**31]
        return " ".join([kind_of(get_args(hint)[0]), " and ".join(bounds)]).strip()
    if hint not in WORDS and get_origin(hint) is Literal:
        return " or ".join(f"`{json.dumps(each)}`" for each in get_args(hint))
    return WORDS.get(hint, f"`{inspect.formatannotation(hint)}`")


if __name__ == "__main__":
    (DOCS / "methods").mkdir(exist_ok=True)
    for path, text in pages().items():
        (DOCS / path).write_text(text, encoding="utf-8")
