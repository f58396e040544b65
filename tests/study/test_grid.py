"""Cells of a study: what each protocol fits on, and what makes two cells different."""

from pathlib import Path

import pytest

from evenhand.core.case import Case
from evenhand.core.errors import UsageError
from evenhand.core.scenario import Context, Scenario
from evenhand.study.config import StudyConfig
from evenhand.study.grid import Made, fits, specs
from evenhand.study.utility import together


def _scenario(variations=("x", "y", "z")):
    cases = tuple(
        Case(id=f"{c}{v}{g}{n}", prompt="p", context=c, variation=v, group=g, cluster=f"{g}{n}")
        for c in ("one", "two") for v in (variations if c == "one" else ("only",)) for g in ("a", "b") for n in range(3)
    )  # fmt: skip
    return Scenario("s", cases, (Context("one", "number"), Context("two", "number")), ("a", "b"))


def _config(**more):
    given = {"name": "s", "scenario": "s", "utility": ("u",), "models": [{"source": "m", "chat": False}],
             "methods": [{"name": "random"}]}  # fmt: skip
    return StudyConfig.model_validate(given | more)


def test_protocols_fit_on_what_they_say():
    config = _config(protocols=["specific", "leave-one-out", "cross-context"])
    assert fits(config, _scenario()) == [
        ("specific", ("one",), ()),
        ("specific", ("two",), ()),
        ("leave-one-out", ("one",), ("y", "z")),
        ("leave-one-out", ("one",), ("x", "z")),
        ("leave-one-out", ("one",), ("x", "y")),
        ("cross-context", ("two",), ()),
        ("cross-context", ("one",), ()),
    ]


def test_lists_of_contexts_are_taken_together_and_unknown_ones_refused():
    assert fits(_config(fitted_on=[["one", "two"]]), _scenario()) == [("specific", ("one", "two"), ())]
    with pytest.raises(UsageError, match="has no context 'onne'; did you mean 'one'"):
        fits(_config(fitted_on=["onne"]), _scenario())
    with pytest.raises(UsageError, match="'leave-one-out' gives no cell"):
        fits(_config(fitted_on=["two"], protocols=["leave-one-out"]), _scenario())


def test_a_single_variation_can_be_fitted_on():
    config = _config(fitted_on=["one/y", ["one/x", "one/z"], "two"], protocols=["specific", "cross-context"])
    assert fits(config, _scenario()) == [
        ("specific", ("one",), ("y",)),
        ("specific", ("one",), ("x", "z")),
        ("specific", ("two",), ()),
        ("cross-context", ("two",), ()),
        ("cross-context", ("one",), ()),
    ]
    cell = specs(config, Made({}, _scenario(), _scenario()))[0]
    assert (cell.fitted_on, cell.variations) == (("one",), ("y",))
    assert fits(_config(fitted_on=["one/big/x"]), _scenario(("big/x", "y"))) == [("specific", ("one",), ("big/x",))]


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ("one/xx", "context 'one' has no variation 'xx'; did you mean 'x'"),
        ("onne/x", "has no context 'onne'; did you mean 'one'"),
        ("two/x", "context 'two' has no variation 'x'"),
        (["one/x", "two"], "only inside one context"),
        (["one/x", "one"], "only inside one context"),
    ],
)
def test_a_wrong_variation_is_refused(entry, text):
    with pytest.raises(UsageError, match=text):
        fits(_config(fitted_on=[entry]), _scenario())


def test_variations_are_not_both_split_and_chosen():
    alone = _scenario().only(["one"])
    split = {"by": "variation"}
    assert fits(_config(split=split), alone) == [("specific", ("one",), ())]
    for more in ({"fitted_on": ["one/x"]}, {"protocols": ["leave-one-out"]}):
        with pytest.raises(UsageError, match="cannot be fitted on chosen ones"):
            fits(_config(split=split, **more), alone)


def test_every_choice_that_changes_a_number_changes_the_hash():
    scenario, model = _scenario(), {"sha256": "1"}
    base = [cell.hash for cell in specs(_config(), Made(model, scenario, scenario))]
    assert len(set(base)) == 2
    assert base == [cell.hash for cell in specs(_config(output="elsewhere"), Made(model, scenario, scenario))]
    for more in ({"seeds": [1]}, {"sizes": [1]}, {"bootstrap": {"replicates": 99}}, {"split": {"fit": 2}},
                 {"reading": {"numeric": "sample"}}, {"budget": {"valid_drop": 0.5}},
                 {"measure_settings": {"standardised_mean_difference": {"winsor": 0.05}}},
                 {"methods": [{"name": "random", "settings": {"factor": 0.5}}]},
                 {"methods": [{"name": "random", "sizes": "paper"}]}):  # fmt: skip
        assert not {cell.hash for cell in specs(_config(**more), Made(model, scenario, scenario))} & set(base), more
    assert not {cell.hash for cell in specs(_config(), Made({"sha256": "2"}, scenario, scenario))} & set(base)


def test_a_method_without_a_seed_of_its_own_gets_the_cells():
    cells = specs(_config(seeds=[0, 5], fitted_on=["one"]), Made({}, _scenario(), _scenario()))
    assert [(cell.seed, cell.settings["seed"]) for cell in cells] == [(0, 0), (5, 5)]
    fixed = _config(seeds=[0, 5], fitted_on=["one"], methods=[{"name": "random", "settings": {"seed": 3}}])
    assert [cell.settings["seed"] for cell in specs(fixed, Made({}, _scenario(), _scenario()))] == [3, 3]


def test_a_wrong_setting_names_the_nearest():
    config = _config(methods=[{"name": "random", "settings": {"sed": 3}}])
    with pytest.raises(UsageError, match="has no setting 'sed'; did you mean 'seed'"):
        specs(config, Made({}, _scenario(), _scenario()))


def test_utility_scenarios_are_split_each_for_itself():
    both = together(["simple_text", "facts"])
    assert [context.outcome for context in both.contexts] == ["sentence", "choice"]
    for part in ("fit", "choose", "report"):
        counts = {c.name: sum(case.context == c.name for case in both.part(part).cases) for c in both.contexts}
        whole = {c.name: sum(case.context == c.name for case in both.cases) for c in both.contexts}
        assert all(abs(counts[name] - whole[name] / 3) < 1 for name in whole)
    with pytest.raises(UsageError, match="'facts' is there twice"):
        together(["facts", "facts"])


def test_contexts_and_clusters_that_two_utility_scenarios_have_are_told_apart(tmp_path: Path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.toml").write_text(
            f"""name = "{name}"
outcome = "choice"
[contexts.lunch]
template = "{{name}} eats at"
options = ["noon", "night"]
favourable = "noon"
[contexts.{name}_tea]
template = "{{name}} has tea at"
options = ["four", "night"]
favourable = "four"
[groups]
a = ["Ann", "Bea", "{name}"]
b = ["Cid", "Dan"]
"""
        )
    both = together([str(tmp_path / "one.toml"), str(tmp_path / "two.toml")])
    assert [context.name for context in both.contexts] == ["one: lunch", "one_tea", "two: lunch", "two_tea"]
    assert {case.context for case in both.cases} == {context.name for context in both.contexts}
    assert {c.cluster for c in both.cases} >= {"one: Ann", "two: Ann", "one", "two"}


def test_a_cell_knows_what_its_method_is_fitted_to_instead_of_the_scenario():
    texts = [["Race: {}", "Colour: {}"]]
    methods = [{"name": "contrast"}, {"name": "fairness_prompt"}, {"name": "awareness_adapter"}, {"name": "steering"},
               {"name": "steering", "settings": {"contrast": texts}}]  # fmt: skip
    config = _config(methods=methods, fitted_on=["one"])
    found = [(cell.method, cell.fitted_to) for cell in specs(config, Made({}, _scenario(), _scenario()))]
    assert found == [("contrast", ""), ("fairness_prompt", "nothing"), ("awareness_adapter", "texts of its own"),
                     ("steering", ""), ("steering", "texts of its own")]  # fmt: skip
