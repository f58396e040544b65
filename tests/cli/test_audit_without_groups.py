"""A scenario without groups has no gap: audit says so and what to ask for, before a model is loaded."""

import pytest


@pytest.mark.parametrize(("name", "alone"), [("facts", "accuracy"), ("neutral_text", "perplexity")])
def test_it_is_refused(evenhand, name, alone):
    for more in ((), ("--fail-over", 0.2, "--measure", alone)):
        said = evenhand("audit", "/nowhere/model", "-s", name, *more)
        assert (said.code, said.out) == (2, "")
        assert f"scenario '{name}' compares no groups, so it has no gap to audit" in said.err
        assert f"--measure {alone}" in said.err


def test_what_it_measures_by_itself_can_be_asked_for(evenhand, shop):
    said = evenhand("audit", shop / "model", "-s", shop / "texts.toml", "--replicates", 50, "--measure", "perplexity")
    assert said.code == 0, said.err
    assert said.out.startswith("perplexity\n")
    assert "gap" not in said.out
