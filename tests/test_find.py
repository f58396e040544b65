"""Plug-ins are found by file name, listed without importing, and mistyped names get a suggestion."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from evenhand import find
from evenhand.core.errors import UsageError

PLUGIN = '''"""A measure of ours."""
from dataclasses import dataclass

from evenhand.measures.mean import Mean


@dataclass(frozen=True)
class OwnMeasure(Mean):
    """Doubles."""

    factor: float = 2.0
'''


def test_a_file_of_ones_own_is_found_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "own_measure.py"
    file.write_text(PLUGIN)
    assert find.build("measures", str(file), {"factor": 3.0}).factor == 3.0


def test_a_file_is_one_class_until_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "own_measure.py"
    file.write_text(PLUGIN)
    assert find.build("measures", str(file)) == find.build("measures", str(file))
    file.write_text(PLUGIN.replace("2.0", "5.0"))
    assert find.build("measures", str(file)).factor == 5.0


def test_a_dotted_module_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "somewhere").mkdir()
    (tmp_path / "somewhere" / "__init__.py").write_text("")
    (tmp_path / "somewhere" / "own_measure.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find.build("measures", "somewhere.own_measure").factor == 2.0


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("perplexty", {}, "did you mean 'perplexity'"),
        ("no/such/file.py", {}, "there is no file 'no/such/file.py'"),
        ("not.a.module", {}, "cannot be imported"),
        ("_hidden", {}, "unknown name '_hidden'"),
        ("standardised_mean_difference", {"poling": "n"}, "did you mean 'pooling'"),
        ("standardised_mean_difference", {"pooling": "equl"}, "cannot be 'equl'; did you mean 'equal'.*'equal' or 'n'"),
        ("standardised_mean_difference", {"winsor": "five"}, "winsor cannot be 'five' .*valid number"),
        ("standardised_mean_difference", {"winsor": True}, "winsor cannot be True .*valid number"),
    ],
)
def test_wrong_names_say_what_is_known(name: str, settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find.build("measures", name, settings)


def test_settings_take_the_types_of_their_fields(tmp_path: Path) -> None:
    file = tmp_path / "own_measure.py"
    file.write_text(PLUGIN + "    steps: tuple[int, ...] = ()\n")
    built = find.build("measures", str(file), {"factor": 3, "steps": [1, 2]})
    assert (repr(built.factor), built.steps) == ("3.0", (1, 2))
    file.write_text("from __future__ import annotations\n" + PLUGIN.split("\n", 1)[1].replace("float", "Unknown"))
    with pytest.raises(UsageError, match=r"must be importable when it runs .*'Unknown'"):
        find.build("measures", str(file), {"factor": 3})


def test_a_file_without_its_class_says_which_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "other_name.py"
    file.write_text(PLUGIN)
    with pytest.raises(UsageError, match=r"other_name\.py must define the class 'OtherName' .*'OwnMeasure' \(line 7\)"):
        find.plugin("measures", str(file))
    file.write_text('"""Nothing in it."""\nOtherName = 3\n')
    with pytest.raises(UsageError, match=r"'OtherName' .*it defines no class"):
        find.plugin("measures", str(file))


def test_listing_and_importing_the_package_load_no_torch() -> None:
    code = (
        "import sys, evenhand; from evenhand import find; [find.names(k) for k in find.KINDS]; "
        "assert not {'torch', 'transformers', 'plotly', 'scipy'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("kind", find.KINDS)
def test_every_plugin_says_in_one_line_what_it_is(kind: find.Kind) -> None:
    listed = find.names(kind)
    assert listed
    assert all(len(line) > 10 for line in listed.values()), listed


def test_public_names_are_importable() -> None:
    import evenhand

    for name in evenhand.__all__:
        assert getattr(evenhand, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = evenhand.nothing
