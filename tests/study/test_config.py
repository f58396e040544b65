"""A study file is read strictly: every mistake names file, line, key and the nearest key."""

from pathlib import Path

import pytest

from evenhand.core.errors import UsageError
from evenhand.study._explain import line_of
from evenhand.study.config import ModelConfig, StudyConfig, load_study

GOOD = """
name = "s"
scenario = "planted"
utility = ["planted_text"]
fitted_on = ["loan", ["bicycle", "salary"]]
sizes = [0, 4, 0.01]

[[models]]
source = "planted"
chat = false

[[models]]
source = "m"
chat = true

[[methods]]
name = "contrast"
settings = { space = "head" }

[split]
report = 2
"""


def _written(folder: Path, text: str) -> Path:
    path = folder / "study.toml"
    path.write_text(text, encoding="utf-8")
    return path


def _message(folder: Path, text: str) -> str:
    with pytest.raises(UsageError) as caught:
        load_study(_written(folder, text))
    return str(caught.value)


def test_a_good_file_is_resolved_with_its_defaults(tmp_path):
    config = load_study(_written(tmp_path, GOOD))
    assert config.fitted_on == (("loan",), ("bicycle", "salary"))
    assert config.sizes == (0, 4, 0.01)
    assert [type(size) for size in config.sizes] == [int, int, float]
    assert config.split.shares == (1, 1, 2)
    assert config.folder == Path("runs/s")
    assert StudyConfig.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ('chat = true', 'chatt = true', ["line 14", "unknown key 'chatt' in models[2]", "did you mean 'chat'?"]),
        ('chat = true', '', ["line 12", "'models[2].chat' is missing"]),
        ('report = 2', 'reprot = 2', ["line 21", "unknown key 'reprot' in split", "did you mean 'report'?"]),
        ('report = 2', 'report = 0', ["line 21", "split.report", "greater than 0"]),
        ('name = "contrast"', 'nam = "contrast"', ["unknown key 'nam' in methods[1]", "did you mean 'name'?"]),
        ('scenario = "planted"', 'scenarios = "planted"', ["line 3", "did you mean 'scenario'?"]),
        ('sizes = [0, 4, 0.01]', 'sizes = [0, -4]', ["line 6", "counts (0, 1, 2, …) or shares"]),
        ('sizes = [0, 4, 0.01]', 'sizes = "papr"', ["line 6", "'paper' or 'grid'"]),
        ('name = "s"', 'name = "a/b"', ["line 2", "name"]),
        ('chat = true', 'chat = "maybe"', ["line 14", "models[2].chat", "boolean"]),
        ('[split]', '[splt]', ["unknown key 'splt' in the file", "did you mean 'split'?"]),
        ('[split]', 'measures = ["mean"]\n[split]', ["measures"]),
    ],
)  # fmt: skip
def test_a_mistake_names_line_key_and_nearest_key(tmp_path, old, new, parts):
    message = _message(tmp_path, GOOD.replace(old, new))
    assert "study.toml" in message
    for part in parts:
        assert part in message


SETTINGS = 'measures = [{ name = "standardised_mean_difference", settings = { pooling = "n", winsor = 0.05 } }, "mean"]'


def test_measures_may_have_settings(tmp_path):
    config = load_study(_written(tmp_path, GOOD.replace("sizes", f"{SETTINGS}\nsizes")))
    assert config.measures == ("standardised_mean_difference", "mean")
    assert config.measure_settings == {"standardised_mean_difference": {"pooling": "n", "winsor": 0.05}}
    assert StudyConfig.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("winsor", "winsr", "line 6: measures[1]: measures: 'standardised_mean_difference' has no setting 'winsr'; "
                            "did you mean 'winsor'?"),
        ("0.05", "0.7", "winsor and check lie in [0, 0.5)"),
        ("settings", "setings", "line 6: measures[1]: unknown key 'setings'; did you mean 'settings'?"),
        ("_difference", "_diference", "did you mean 'standardised_mean_difference'?"),
        ('name = "s', 'name = 3, x = "s', "unknown key 'x'"),
        ('"mean"', '{ name = "standardised_mean_difference", settings = { winsor = 0.1 } }', "two different settings"),
        ('"mean"', '{ settings = { winsor = 0.1 } }', "measures[2]: a measure with settings is written { name ="),
    ],
)  # fmt: skip
def test_a_wrong_setting_of_a_measure_is_named(tmp_path, old, new, text):
    assert text in _message(tmp_path, GOOD.replace("sizes", f"{SETTINGS.replace(old, new)}\nsizes"))


def test_broken_toml_and_missing_files_are_usage_errors(tmp_path):
    assert "not valid TOML" in _message(tmp_path, "name = \n")
    with pytest.raises(UsageError, match="cannot be read"):
        load_study(tmp_path / "absent.toml")


def test_environment_variables_are_filled_in_or_named(monkeypatch):
    monkeypatch.setenv("SOME_MODELS", "/m")
    assert ModelConfig(source="${SOME_MODELS}/x", chat=False).where() == "/m/x"
    monkeypatch.delenv("SOME_MODELS")
    with pytest.raises(UsageError, match="SOME_MODELS, which is not set"):
        ModelConfig(source="${SOME_MODELS}/x", chat=False).where()


def test_lines_are_found_in_nested_tables():
    text = "[a]\nx = 1\n[[b]]\ny = 1\n[[b]]\ny = 2\n[b.c]\nz = 3\n"
    assert line_of(text, ("a", "x")) == 2
    assert line_of(text, ("b", 1, "y")) == 6
    assert line_of(text, ("b", 1, "c", "z")) == 8
    assert line_of(text, ("b", 0, "missing")) == 3
    assert line_of(text, ("nowhere",)) is None


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "studies").glob("*.toml")), ids=lambda p: p.stem)
def test_shipped_studies_are_valid(path):
    assert load_study(path).methods
