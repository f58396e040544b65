"""The page about suites: its example loads, and it names every key there is."""

from __future__ import annotations

import re
from pathlib import Path

from evenhand.study.entry import Entry
from evenhand.study.suite import load_suite

PAGE = (Path(__file__).parents[2] / "docs" / "suites.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_example_is_a_suite(tmp_path: Path) -> None:
    path = tmp_path / "release.toml"
    path.write_text(EXAMPLE, encoding="utf-8")
    suite = load_suite(str(path))
    assert [entry.scenario for entry in suite.benchmarks] == ["crows_pairs", "bbq", "weat", "wikitext"]
    assert suite.benchmarks[0].fail_over == {"stereotype_preference.normalised": 5.0}
    assert suite.benchmarks[2].untrained


def test_every_key_is_told_once() -> None:
    assert sorted(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == sorted(Entry.model_fields)
