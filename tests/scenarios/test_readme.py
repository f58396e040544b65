"""The scenario in the README is one that can be read."""

from __future__ import annotations

import re
from pathlib import Path

from evenhand.scenarios._load import load_scenario

README = Path(__file__).parents[2] / "README.md"


def test_the_scenario_of_the_readme_is_read(tmp_path: Path) -> None:
    found = re.search(r"^```toml\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None
    file = tmp_path / "bicycle-shop.toml"
    file.write_text(found.group(1), encoding="utf-8")
    scenario = load_scenario(str(file))
    assert scenario.name == "bicycle-shop"
    assert scenario.groups == ("white", "black")
    assert scenario.variations("bicycle-shop") == ("bicycle", "scooter", "car")
    assert len(scenario.cases) == 3 * 16
