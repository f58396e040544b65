"""Every locator works from the command line at its defaults, in the space it scores."""

import json

import pytest

from evenhand import find


@pytest.mark.parametrize("name", find.names("locate"))
def test_at_its_defaults(evenhand, shop, name):
    space = find.build("locate", name).space
    said = evenhand("locate", shop / "model", "-s", shop / "shop.toml", "-c", "lamp", "-l", name, "--top", 3, "--json")
    assert said.code == 0, said.err
    assert len(json.loads(said.out)["units"]) == 3
    assert json.loads(said.out)["size"] == {"neuron": 144, "head": 12}[space]


def test_a_space_that_a_locator_does_not_score(evenhand, shop):
    asked = ("locate", shop / "model", "-s", shop / "shop.toml", "-l")
    said = evenhand(*asked, "name_attention", "--space", "neuron")
    assert (said.code, said.out) == (2, "")
    assert "use --space head" in said.err
    said = evenhand(*asked, "contrast", "--space", "neurons")
    assert (said.code, said.out) == (2, "")
    assert "setting space cannot be 'neurons'; did you mean 'neuron'?" in said.err
    assert json.loads(evenhand(*asked, "contrast", "--space", "head", "--top", 1, "--json").out)["size"] == 12
