"""The page about readings: its example loads, and it names every key there is."""

from __future__ import annotations

import re
from pathlib import Path

from evenhand.study.concepts import (
    ConceptConfig,
    FreeConfig,
    ProbeConfig,
    PromptConfig,
    QuestionConfig,
    ReadingFile,
    SeriesConfig,
    load_reading,
)

PAGE = (Path(__file__).parents[2] / "docs" / "readings.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
TABLES = {
    "key": ReadingFile, "in `[[concepts]]`": ConceptConfig, "in `[[questions]]`": QuestionConfig,
    "in `[[series]]`": SeriesConfig, "in `prompts`": PromptConfig, "in `[probe]`": ProbeConfig,
}  # fmt: skip


def keys(title: str) -> list[str]:
    """The keys that the first column of one table of the page names."""
    table = PAGE.split(f"| {title}", 1)[1].split("\n\n", 1)[0]
    return sorted(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))


def test_the_example_is_a_reading(tmp_path: Path) -> None:
    path = tmp_path / "bank.toml"
    path.write_text(EXAMPLE, encoding="utf-8")
    assert [concept.name for concept in load_reading(str(path)).concepts] == ["money", "river"]


def test_every_key_is_told_once() -> None:
    for title, model in TABLES.items():
        assert keys(title) == sorted(model.model_fields), title
    assert keys("in `[free]`") == sorted(set(FreeConfig.model_fields) - set(QuestionConfig.model_fields))
