"""The pages about plug-ins say what the plug-ins say."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from evenhand import find
from evenhand.core.component import Space
from evenhand.study.config import MethodConfig
from evenhand.study.grid import settings_of

DOCS = Path(__file__).parents[2] / "docs"
SPEC = importlib.util.spec_from_file_location("make_pages", DOCS / "make_pages.py")
assert SPEC is not None
assert SPEC.loader is not None
make_pages = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(make_pages)
PAGES: dict[str, str] = make_pages.pages()


@pytest.mark.parametrize("path", PAGES)
def test_no_page_is_stale(path: str) -> None:
    page = DOCS / path
    assert page.is_file(), f"docs/{path} is missing: run .venv/bin/python docs/make_pages.py"
    assert page.read_text(encoding="utf-8") == PAGES[path], "stale: run .venv/bin/python docs/make_pages.py"


def test_every_plug_in_has_a_page_and_every_page_a_plug_in() -> None:
    assert {f"methods/{name}.md" for name in find.names("methods")} < set(PAGES)
    assert {f"methods/{path.name}" for path in (DOCS / "methods").iterdir()} == {p for p in PAGES if "/" in p}
    for kind, page in (("locate", "locators.md"), ("measures", "measures.md")):
        assert re.findall(r"^## (\w+)$", PAGES[page], re.MULTILINE) == list(find.names(kind))


@pytest.mark.parametrize("name", find.names("methods"))
def test_the_snippet_of_a_method_holds_its_defaults(name: str) -> None:
    snippet = re.search(r"```toml\n(.*?)```", PAGES[f"methods/{name}.md"], re.DOTALL)
    assert snippet is not None
    (written,) = tomllib.loads(snippet[1])["methods"]
    asked = MethodConfig.model_validate(written)
    assert asked.name == name
    assert settings_of(asked, 0) == settings_of(MethodConfig(name=name), 0)


def test_types_are_told_in_words_with_their_bounds() -> None:
    assert make_pages.kind_of(Annotated[int, Field(ge=1)]) == "whole number ≥ 1"
    assert make_pages.kind_of(Annotated[float, Field(gt=0, le=1)]) == "number > 0 and ≤ 1"
    assert make_pages.kind_of(Literal["a", "b"]) == '`"a"` or `"b"`'


def test_every_space_is_told() -> None:
    assert make_pages.kind_of(Space) == '`"neuron"` or `"head"` or `"value"` or `"row"` or `"weight"`'


class Toy:
    plain: int = 1
    told: int = 2
    """At most a | this."""
    other: int = 3


def test_the_text_under_a_field_is_its_meaning() -> None:
    assert make_pages.docstrings(Toy) == {"told": "At most a \\| this."}
