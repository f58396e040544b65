"""A mistake in a plug-in is told to its author: file, line, and what was expected there."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from evenhand import find
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.plugin import told
from evenhand.scenarios._load import load_scenario

METHOD = '''"""A method of ours."""
from dataclasses import dataclass
from evenhand.methods.random import Random


@dataclass(frozen=True)
class MyMethod:
    """Does nothing."""

    space: str = "neuron"

    def fit(self, lm, bias, utility):
        return 1 / 0

    def path(self, lm, bias, utility, sizes):
        return []
'''
LOCATOR = '''"""A locator of ours."""
from dataclasses import dataclass


@dataclass(frozen=True)
class MyLocator:
    """Scores nothing."""

    space: str = "neuron"

    def score(self, lm, scenario):
        return lm.nothing
'''
MEASURE = '''"""A measure of ours."""
from dataclasses import dataclass

from evenhand.measures.mean import Mean


@dataclass(frozen=True)
class MyMeasure(Mean):
    """Counts."""
'''
CASES: list[tuple[find.Kind, str, str, str, int, tuple[str, ...]]] = [
    ("methods", METHOD, "return 1 / 0", "return 1 /", 13, ("not valid Python", "the line reads: return 1 /")),
    ("locate", LOCATOR, "import dataclass", "import dataclas", 2, ("cannot be imported", "dataclas")),
    ("methods", METHOD, "evenhand.methods.random", "evenhand.methods.rnd", 3, ("cannot be imported", "install")),
    ("measures", MEASURE, "evenhand.measures.mean", "nowhere", 4, ("No module named 'nowhere'", "take the import out")),
    ("methods", METHOD, "@dataclass", "x = {}['y']\n@dataclass", 6, ("cannot be imported (KeyError: 'y')",)),
    ("methods", METHOD, "class MyMethod", "class Mine", 6, ("must define the class 'MyMethod'", "'Mine'")),
    ("methods", METHOD, "def fit", "def fits", 6, ("lacks fit(lm, bias, utility) (", "path(lm, bias, utility, sizes)")),
    ("methods", METHOD, "def path", "def paths", 6, ("lacks path(lm, bias, utility, sizes) (",)),
    ("methods", METHOD, "    space: str", "    spac: str", 6, ("lacks space (",)),
    ("methods", METHOD, "(self, lm, bias, utility)", "(self, lm)", 6, ("lacks fit(lm, bias, utility) (",)),
    ("methods", METHOD, "@dataclass(frozen=True)\n", "", 6, ("lacks the decorator @dataclass(frozen=True) (",)),
    ("methods", METHOD, ' = "neuron"', "", 6, ("cannot be built", "'space'", "fields all have defaults")),
    ("locate", LOCATOR, "def score", "def scores", 5, ("lacks score(lm, scenario) (", "core.contracts.Locator")),
    ("locate", LOCATOR, "    space: str", "    spac: str", 5, ("lacks space (",)),
    ("measures", MEASURE, "(Mean)", "", 7, ("lacks kinds, ", "combine(stats, weights)")),
]  # fmt: skip


def _file(kind: find.Kind, folder: Path, text: str) -> Path:
    file = folder / {"methods": "my_method.py", "locate": "my_locator.py", "measures": "my_measure.py"}[kind]
    file.write_text(text)
    return file


@pytest.mark.parametrize(("kind", "text"), [("methods", METHOD), ("locate", LOCATOR), ("measures", MEASURE)])
def test_they_are_right_before_the_mistake(kind: find.Kind, text: str, tmp_path: Path) -> None:
    assert find.build(kind, str(_file(kind, tmp_path, text)))


@pytest.mark.parametrize(("kind", "text", "old", "new", "line", "said"), CASES)
def test_a_mistake_is_told_with_its_line(
    kind: find.Kind, text: str, old: str, new: str, line: int, said: tuple[str, ...], tmp_path: Path
) -> None:
    assert old in text
    file = _file(kind, tmp_path, text.replace(old, new, 1))
    with pytest.raises(UsageError) as caught:
        find.build(kind, str(file))
    message = str(caught.value)
    assert message.startswith(f"{kind}: {file}")
    assert f"line {line}" in message
    for part in said:
        assert part in message


def test_a_module_of_ones_own_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_tools").mkdir()
    (tmp_path / "own_tools" / "__init__.py").write_text("")
    file = tmp_path / "own_tools" / "my_method.py"
    file.write_text(METHOD.replace("evenhand.methods.random", "nowhere"))
    with pytest.raises(UsageError, match=r"my_method\.py, line 3: cannot be imported .*'nowhere'"):
        find.build("methods", "own_tools.my_method")
    file.write_text(METHOD)
    method = find.build("methods", "own_tools.my_method")
    assert isinstance(told(_raised(lambda: method.fit(None, None, None))), CannotRun)


def test_listing_tells_of_a_broken_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "_HERE", tmp_path)
    (tmp_path / "methods").mkdir()
    file = _file("methods", tmp_path / "methods", METHOD.replace("(frozen=True)", "(frozen=True", 1))
    with pytest.raises(UsageError, match=r"methods: .*my_method\.py, line 6: not valid Python"):
        find.names("methods")
    assert find.summary("methods", str(file)) == ""


def _raised(call: object) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        call()  # type: ignore[operator]
    return caught.value


def test_what_a_plug_in_raises_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    method = find.build("methods", str(_file("methods", tmp_path, METHOD)))
    error = _raised(lambda: method.fit(None, None, None))
    said = told(error)
    assert isinstance(said, CannotRun)
    assert str(said).startswith(
        f"{tmp_path / 'my_method.py'}, line 13: this plug-in stopped in fit() with ZeroDivisionError: division by zero"
    )
    monkeypatch.setenv("EVENHAND_DEBUG", "1")
    assert told(error) is None


def test_what_evenhand_raises_is_not(tmp_path: Path) -> None:
    ours = _raised(lambda: find.build("methods", "random").fit(None, None, None))
    assert traceback.extract_tb(ours.__traceback__)
    assert told(ours) is None
    known = UsageError("wrong")
    assert told(known) is known


def test_a_scenario_in_python_is_told_too(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def load():\n    return 3\n")
    with pytest.raises(UsageError, match=r"mine\.py.* must define the function load\(data"):
        load_scenario(str(file))
    file.write_text("import nowhere\n")
    with pytest.raises(UsageError, match=r"scenarios: .*mine\.py, line 1: cannot be imported .*'nowhere'"):
        load_scenario(str(file))
    file.write_text("def load(data):\n    return {}['x']\n")
    said = told(_raised(lambda: load_scenario(str(file))))
    assert "mine.py, line 2: this plug-in stopped in load() with KeyError" in str(said)
