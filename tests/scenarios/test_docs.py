"""The example of the manual does what the manual says."""

from __future__ import annotations

import re
from pathlib import Path

from evenhand import find
from evenhand.scenarios._toml.read import parse_toml
from evenhand.scenarios._toml.schema import ScenarioFile

PAGE = (Path(__file__).parents[2] / "docs" / "scenarios.md").read_text(encoding="utf-8")
WORKSHOP, CAPITALS = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


def test_the_full_example():
    scenario = parse_toml(WORKSHOP, "workshop.toml")
    prompts = {(case.context, case.variation) for case in scenario.cases}
    assert (len(scenario.contexts), len(prompts), len(scenario.cases)) == (3, 8, 48)
    assert "It makes 3 contexts, 8 prompts and 48 cases." in PAGE
    assert "wait/old + radio/southerners/Alba" in {case.id for case in scenario.cases}
    assert [context.unit for context in scenario.contexts] == ["dollars", "days", ""]
    assert [context.favourable for context in scenario.contexts] == ["high", "low", "high"]


def test_the_utility_example():
    assert parse_toml(CAPITALS, "capitals.toml").cases[0].favourable == 0


def test_every_key_and_every_pack_is_in_the_manual():
    packs = [name for name in find.names("scenarios") if find.path_of("scenarios", name).suffix == ".toml"]
    keys = [*ScenarioFile.model_fields, *packs]
    assert [key for key in keys if not re.search(rf"`\[?{key}\b", PAGE)] == []


def test_every_benchmark_warns_of_itself():
    benchmarks = [name for name in find.names("scenarios") if find.path_of("scenarios", name).suffix == ".py"]
    silent = [name for name in benchmarks if "not to trust it alone" not in find.path_of("scenarios", name).read_text()]
    assert silent == []
