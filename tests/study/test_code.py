"""What of files a cell is known by: all that its plug-ins and their settings name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evenhand.scenarios._load import load_scenario
from evenhand.study import code
from evenhand.study.config import StudyConfig
from evenhand.study.grid import Made, specs

OWN = '''"""The mean."""
from dataclasses import dataclass

from evenhand.measures.mean import Mean


@dataclass(frozen=True)
class Own(Mean):
    """Needs data."""

    data: str = "FILE"
'''


def test_files_of_data_and_models_that_settings_name_count_by_their_contents(
    tmp_path: Path, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LISTS", str(tmp_path))
    names = ("pairs.toml", "words.txt", "kept.json", "phrases.csv", "default.csv", "not named.txt")
    files = {name: tmp_path / name for name in names}
    for file in files.values():
        file.write_text("before")
    own = tmp_path / "own.py"
    own.write_text(OWN.replace("FILE", str(files["default.csv"])))
    settings = {
        "pairs": str(files["pairs.toml"]),
        "spans": "lexicon",
        "spans_settings": ["file=${LISTS}/words.txt", f'kept = "{files["kept.json"]}"', "least=0.5"],
        "deep": {"texts": [[1, f'given = ["{files["phrases.csv"]}"]']]},
        "fair": str(shop / "model"),
        "instruction": "a = b " * 9999,
        "none": "",
        "folder": str(tmp_path),
        "missing": str(tmp_path / "missing.txt"),
    }

    def found() -> dict[str, str]:
        return code.fingerprints([("measures", str(own)), ("methods", "unlearning")], [settings])

    named = {name: "${LISTS}/words.txt" if name == "words.txt" else str(files[name]) for name in names[:-1]}
    assert found().keys() == {"evenhand", str(own), str(shop / "model"), *named.values()}
    for name, file in files.items():
        before = found()
        file.write_text("after")
        after = found()
        assert [key for key in before if before[key] != after[key]] == ([named[name]] if name in named else [])


def test_another_list_of_words_is_another_cell(tmp_path: Path, shop: Path, asked: Callable[..., StudyConfig]) -> None:
    words = tmp_path / "words.txt"
    words.write_text("lamp")
    settings = {"spans": "lexicon", "spans_settings": [f"file={words}"]}
    config = asked(methods=[{"name": "unlearning", "settings": settings, "sizes": "paper"}])
    scenario, texts = (load_scenario(str(shop / name)) for name in ("shop.toml", "texts.toml"))

    def cell() -> str:
        (spec,) = specs(config, Made({"source": "model"}, scenario, texts))
        return spec.hash

    before = cell()
    assert cell() == before
    words.write_text("car")
    assert cell() != before
