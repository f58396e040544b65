"""The laws over every measure in the folder: a new file is covered without being named here."""

from __future__ import annotations

import dataclasses
import json

import pytest

from evenhand import find
from evenhand.testing.measures import check_measure


@pytest.mark.parametrize("name", find.names("measures"))
def test_every_measure_obeys_the_laws(name: str) -> None:
    check_measure(find.build("measures", name))


@pytest.mark.parametrize("name", find.names("measures"))
def test_settings_survive_json(name: str) -> None:
    built = find.build("measures", name)
    again = find.build("measures", name, json.loads(json.dumps(dataclasses.asdict(built))))
    assert built == again
    assert type(built).__dataclass_params__.frozen


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("standardised_mean_difference", {"pooling": "n"}),
        ("standardised_mean_difference", {"winsor": 0.1}),
        ("inlier_ratio", {"tail": 0.25}),
    ],
)
def test_every_setting_obeys_the_laws(name: str, settings: dict[str, object]) -> None:
    check_measure(find.build("measures", name, settings))
