"""The page about studies: its examples load, and it names every key there is; the studies that are shipped can run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from evenhand import find
from evenhand.core.bootstrap import FEWEST, smallest_stratum
from evenhand.scenarios._load import load_scenario
from evenhand.study.config import (
    BootstrapConfig,
    BudgetConfig,
    ControlConfig,
    GoalConfig,
    MethodConfig,
    ModelConfig,
    ReadingConfig,
    SampleConfig,
    SplitConfig,
    StudyConfig,
    load_study,
)
from evenhand.study.entry import sampled
from evenhand.study.grid import Made, fits, specs
from evenhand.study.utility import together

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
SHORT, FULL, CONTROLLED = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
NEED_DATA = ("crispr", "unlearning")
SHIPPED = [
    pytest.param(file, id=file.stem, marks=pytest.mark.data if file.stem in NEED_DATA else ())
    for file in sorted((ROOT / "studies").glob("*.toml"))
]
TABLES = {
    "At the top": StudyConfig,
    "`[[models]]`": ModelConfig,
    "`[[methods]]`": MethodConfig,
    "`controls` of a method": ControlConfig,
    "`[sample]`": SampleConfig,
    "`[split]`": SplitConfig,
    "`[reading]`": ReadingConfig,
    "`[bootstrap]`": BootstrapConfig,
    "`[budget]`": BudgetConfig,
    "`[goal]`": GoalConfig,
}


def loaded(text: str, folder: Path) -> StudyConfig:
    file = folder / "study.toml"
    file.write_text(text, encoding="utf-8")
    return load_study(file)


def keys(title: str) -> list[str]:
    """The keys that the first column of one table of the page names."""
    part = re.search(rf"^### {re.escape(title)}.*?\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert part is not None, title
    cells = re.findall(r"^\| (`.*?) \|", part[1], re.MULTILINE)
    return [key for cell in cells for key in re.findall(r"`(\w+)`", cell)]


_LISTS = ("models", "methods")


def tables_of(model: type[BaseModel]) -> Iterator[str]:
    """The fields of the study that are tables with a heading of their own."""
    yield from _LISTS
    for name, field in model.model_fields.items():
        kinds = get_args(field.annotation) or (field.annotation,)  # one that may be left out is `… | None`
        if any(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in kinds) and name not in _LISTS:
            yield name


@pytest.mark.parametrize("title", TABLES)
def test_every_key_stands_in_its_table_and_no_other(title: str) -> None:
    fields = set(TABLES[title].model_fields)
    if title == "At the top":
        own = set(tables_of(StudyConfig))
        assert {f"`[{name}]`" for name in own - {"models", "methods"}} < set(TABLES)
        fields -= own
    found = keys(title)
    assert sorted(found) == sorted(fields)


def test_the_defaults_told_are_those_of_the_shortest_study(tmp_path: Path) -> None:
    config = loaded(SHORT, tmp_path)
    for title, part in (("`[reading]`", config.reading), ("`[bootstrap]`", config.bootstrap),
                        ("`[budget]`", config.budget), ("`[split]`", config.split)):  # fmt: skip
        table = PAGE.split(f"### {title}")[1].split("###")[0]
        for names, told in re.findall(r"^\| (`.*?) \| (.*?) \|", table, re.MULTILINE):
            for name in re.findall(r"`(\w+)`", names):
                value = getattr(part, name)
                said = f'"{value}"' if isinstance(value, str) else str(value).lower().removesuffix(".0")
                assert told.removesuffix(" each").strip("`").removesuffix(".0") == said, name


def test_the_full_example(tmp_path: Path) -> None:
    config = loaded(FULL, tmp_path)
    assert [model.chat for model in config.models] == [True, False]
    assert config.measure_settings == {"standardised_mean_difference": {"winsor": 0.05}}
    assert config.methods[1].layers == (4, 5, 6, 7)
    scenario, utility = load_scenario(config.scenario), load_scenario(config.utility[0])
    assert "it makes 36 cells for each of its two models" in PAGE
    assert len(specs(config, Made({"source": "one"}, scenario, utility))) == 36


def test_the_example_of_controls(tmp_path: Path) -> None:
    config = loaded(SHORT.split("[[methods]]")[0] + CONTROLLED, tmp_path)
    assert [each.varied for each in config.asked] == [{"groups": ["women"]}, {"groups": ["Muslims"]}]
    assert list(config.asked[0].controls) == ["random tokens of the same texts", "noise of equal damage"]
    assert len(config.entries) == 2 + 2 + 1


@pytest.mark.parametrize("file", SHIPPED)
def test_a_shipped_study_can_run(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if file.stem in NEED_DATA:
        request.getfixturevalue("data_dir")
    monkeypatch.setenv("EVENHAND_MODELS", str(tmp_path))
    config = load_study(file)
    assert config.name == file.stem
    assert all("$" not in model.where() for model in config.models)
    for name in (*config.measures, *config.utility_measures):
        find.build("measures", name, config.measure_settings.get(name, {}))
    seed, shares = config.seeds[0], config.split.shares
    scenario, utility = sampled(load_scenario(config.scenario), config.sample, seed), together(config.utility)
    assert config.goal is not None or len(scenario.groups) > 1
    assert any(context.outcome == "sentence" for context in utility.contexts)
    cells = specs(config, Made({"source": "one"}, scenario, utility))
    assert len(cells) <= len(config.entries) * len(config.seeds) * len(fits(config, scenario))
    assert len(cells) >= len(config.asked) * len(config.seeds) * len(fits(config, scenario))
    report = scenario.part("report", seed, shares, config.split.by)
    assert smallest_stratum(report.cases) >= FEWEST
    assert {case.context for case in report.cases} == {context.name for context in scenario.contexts}
    texts = {case.context for case in utility.part("report", seed, shares).cases}
    assert texts == {context.name for context in utility.contexts}
