"""What a study's methods come to: values that are varied, and controls."""

from __future__ import annotations

from typing import Any

from evenhand.core.asked import asked, entries

METHOD: dict[str, Any] = {
    "name": "unlearning",
    "settings": {"steps": 5},
    "vary": {"groups": [["a"], ["b"]], "lr": [0.1, 0.2]},
    "controls": [
        {"label": "random tokens", "settings": {"spans": "random"}},
        {"label": "noise", "name": "equal_damage", "settings": {"permille": 9}},
    ],
}


def test_every_combination_of_varied_values_is_a_method() -> None:
    found = asked([METHOD])
    assert [each.varied for each in found] == [
        {"groups": ["a"], "lr": 0.1},
        {"groups": ["a"], "lr": 0.2},
        {"groups": ["b"], "lr": 0.1},
        {"groups": ["b"], "lr": 0.2},
    ]
    assert found[3].entry == {"name": "unlearning", "settings": {"steps": 5, "groups": ["b"], "lr": 0.2}}


def test_a_control_is_the_method_with_other_settings_or_another_method_with_its_own() -> None:
    first = asked([METHOD])[0]
    assert first.controls == {
        "random tokens": {
            "name": "unlearning",
            "settings": {"steps": 5, "groups": ["a"], "lr": 0.1, "spans": "random"},
        },
        "noise": {"name": "equal_damage", "settings": {"permille": 9}, "sizes": "paper"},
    }


def test_sizes_and_layers_of_a_method_are_those_of_its_own_controls_only() -> None:
    found = asked([METHOD | {"sizes": [3, 5], "layers": [1], "vary": {}}])[0]
    assert (found.controls["random tokens"]["sizes"], found.controls["random tokens"]["layers"]) == ([3, 5], [1])
    assert (found.controls["noise"]["sizes"], found.controls["noise"]["layers"]) == ("paper", None)
    named = {"label": "noise", "name": "equal_damage", "sizes": [7], "layers": None}
    assert asked([METHOD | {"vary": {}, "controls": [named]}])[0].controls["noise"]["sizes"] == [7]


def test_entries_are_there_once_and_a_control_that_is_also_asked_for_is_no_mere_control() -> None:
    alone = {"name": "equal_damage", "settings": {"permille": 9}, "sizes": "paper"}
    found = entries([METHOD, alone])
    assert len(found) == 4 + 1 + 4
    assert [control for _, control in found] == [False] * 5 + [True] * 4
    assert found[4][0] == alone
    assert entries([{"name": "contrast"}]) == [({"name": "contrast", "settings": {}}, False)]
