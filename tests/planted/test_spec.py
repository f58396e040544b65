"""A wrong specification is refused in plain words."""

from __future__ import annotations

from pathlib import Path

import pytest

from evenhand.core.errors import UsageError
from evenhand.planted import spec_path
from evenhand.planted.spec import read_spec, shares_of
from evenhand.planted.units import addresses

TEXT = spec_path().read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "vocabulary",
            "vocabluary",
            "unknown key 'vocabluary'; did you mean 'vocabulary'. .known here: seed, scenario",
        ),
        (
            "seed = 7",
            "seed = 7\nname = 'a study'",
            r"unknown key 'name'.* .known here: seed, scenario, vocabulary, model",
        ),
        ("units =", "unit =", r"unknown key 'sets\[1\]\.unit'; did you mean 'units'. .known here: name, units, layers"),
        ("seed = 7", "", r"the key 'seed' is missing; see .*spec\.toml"),
        ("seed = 7", "seed = 'x'", r"key 'seed' must be a valid integer, .*not 'x'"),
        ("gaps = { loan = 1.0 }", "gaps = { lone = 1.0 }", "did you mean 'loan'"),
        ("gaps = { loan = 1.0 }", "gaps = { bicycle = 1.0 }", "planted by two sets"),
        ("layers = [2, 3]", "layers = [2, 9]", "layers between 1 and 5"),
        ("seed = 7", "seed = ", "not valid TOML"),
    ],
)
def test_says_what_is_wrong(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "spec.toml"
    path.write_text(TEXT.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UsageError, match=said):
        read_spec(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_spec(tmp_path / "none.toml")


def test_units_are_distinct_and_where_the_spec_wants_them() -> None:
    spec = read_spec(spec_path())
    places = addresses(spec)
    everything = [place for units in places.values() for place in units]
    assert len(everything) == len(set(everything)) == sum(each.units for each in spec.sets)
    for each in spec.sets:
        found = [layer for layer, _ in places[each.name]]
        assert {layer: found.count(layer) for layer in each.layers} == shares_of(each)
    other = spec.model_copy(update={"seed": spec.seed + 1})
    assert addresses(other) != places
    assert addresses(spec) == places
