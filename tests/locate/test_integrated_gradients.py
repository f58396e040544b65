"""The contrast of integrated gradients between groups, and the published score, from the loop over single steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from evenhand.core.errors import UsageError
from evenhand.core.scenario import Scenario
from evenhand.lm.attribution.objective import favourable_rows
from evenhand.lm.attribution.rows import continuation_rows
from evenhand.lm.tokens import Unscorable
from evenhand.locate.integrated_gradients import IntegratedGradients
from evenhand.testing.tiny import tiny_lm, tiny_tokenizer
from oracles import integrated_gradients as oracle
from oracles.gates import option_logp
from oracles.people import use_case


def _two_each() -> Scenario:
    return use_case(people={"a": ["Hunter", "Jo"], "b": ["Jamal", "DaShawn"]})


def test_scores_are_gap_weighted_differences_between_groups() -> None:
    lm, scenario = tiny_lm("gpt2"), _two_each()
    layout = lm.layout("neuron")
    total, gaps = torch.zeros(layout.size, dtype=torch.float64), dict[str, float]()
    for variation in ("car", "lamp"):
        part = scenario.only(variations=[variation])
        rows = favourable_rows(lm, part)
        side: dict[str, list[tuple[float, torch.Tensor]]] = {"a": [], "b": []}
        for i, case in enumerate(part.cases):
            mine = [row for row in rows if row.case == i]
            pieces = [
                oracle.attribution(lm, s.path, s.stack, mine, ("riemann", 3), "last", torch.zeros(s.units), False)[0]
                for s in layout.sites
            ]
            side[case.group].append((float(oracle.case_outcome(lm, mine, False).detach()), torch.cat(pieces)))
        (value_a, score_a), (value_b, score_b) = (
            (sum(v for v, _ in each) / 2, sum(s for _, s in each) / 2) for each in side.values()
        )
        gaps[f"shop/{variation}/b"] = value_a - value_b
        total += (value_a - value_b) * (score_a - score_b)
    found = IntegratedGradients(rule="riemann", steps=3).score(lm, scenario)
    torch.testing.assert_close(found.scores.double(), total / sum(map(abs, gaps.values())), atol=1e-5, rtol=1e-4)
    assert found.notes["gaps"] == pytest.approx(gaps, abs=1e-5)
    assert float(found.scores.abs().max()) > 1e-2


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_the_published_score_is_the_mean_over_cases_of_the_right_options_probability(name: str) -> None:
    lm, part = tiny_lm(name), _two_each().only(variations=["car"])
    part = replace(part, cases=tuple(replace(case, favourable=2) for case in part.cases[::2]))
    layout = lm.layout("neuron")
    expected = torch.zeros(layout.size, dtype=torch.float64)
    for case in part.cases:
        rows = continuation_rows(lm, 0, case.prompt, [" maybe"], [1.0])
        expected += torch.cat(
            [oracle.attribution(lm, s.path, s.stack, rows, ("riemann", 4), "last", torch.zeros(s.units), True)[0]
             for s in layout.sites]
        )  # fmt: skip
        probability = float(option_logp(lm, case.prompt, " maybe").detach().exp())
        assert probability == pytest.approx(float(oracle.case_outcome(lm, rows, True).detach()), rel=1e-4)
    found = IntegratedGradients(target="answer", rule="riemann", steps=4).score(lm, part).scores.double()
    expected /= len(part.cases)
    largest = float(expected.abs().max())
    torch.testing.assert_close(found / largest, expected / largest, atol=1e-5, rtol=1e-4)


def test_notes_say_how_far_each_layer_misses_its_sum() -> None:
    lm, scenario = tiny_lm("llama"), _two_each().only(variations=["car"])
    told: list[str] = []
    lm.notify = told.append
    rough, fine = (IntegratedGradients(rule=r, steps=n).score(lm, scenario) for r, n in (("riemann", 5), ("gauss", 8)))
    assert len(told) == 1, "five left steps miss it by more than a tenth, eight nodes do not"
    assert told[0].endswith("so these cannot be trusted; try more `steps` or baseline 'mean'")
    paths = [site.path for site in lm.layout("neuron").sites]
    assert list(rough.notes["completeness"]) == paths
    for path in paths:
        left, nodes = rough.notes["completeness"][path], fine.notes["completeness"][path]
        assert left["largest"] >= left["mean"] > 4 * nodes["mean"] > 0
        assert left["relative"] > 0.01 > nodes["relative"]
    assert fine.notes["rule"] == "gauss"


def test_a_mean_baseline_gives_nothing_where_all_cases_are_alike() -> None:
    lm = tiny_lm("llama")
    same = use_case(people={"a": ["Jo"], "b": ["Jo"]}).only(variations=["car"])
    same = replace(same, cases=tuple(replace(case, options=("!", "?")) for case in same.cases))
    answer = IntegratedGradients(target="answer", baseline="mean")
    zero = float(IntegratedGradients(target="answer").score(lm, same).scores.abs().max())
    assert zero > 1e-5
    assert float(answer.score(lm, same).scores.abs().max()) < 1e-3 * zero
    other = _two_each().only(variations=["car"])
    means = IntegratedGradients(baseline="mean").score(lm, other).scores
    assert not torch.allclose(means, IntegratedGradients().score(lm, other).scores, atol=1e-3)


def test_an_option_with_an_unknown_token_is_an_error_never_its_score() -> None:
    for name in ("gpt2", "bert", "t5"):
        tokenizer = tiny_tokenizer(name)
        tokenizer.unk_token = "~"
        lm, scenario = tiny_lm(name, tokenizer=tokenizer), _two_each()
        strange = tuple(replace(case, options=(" ~yes", " no")) for case in scenario.cases)
        for target in ("answer", "favourable"):
            with pytest.raises(Unscorable, match="does not know"):
                IntegratedGradients(target=target).score(lm, replace(scenario, cases=strange))  # type: ignore[arg-type]


def test_what_has_no_right_option_is_refused() -> None:
    lm, published = tiny_lm("llama"), IntegratedGradients(target="answer")
    with pytest.raises(UsageError, match="use target 'favourable'"):
        published.score(lm, use_case("pair"))
    without = tuple(replace(case, favourable=None) for case in _two_each().cases)
    with pytest.raises(UsageError, match="right or favourable"):
        published.score(lm, replace(_two_each(), cases=without))
    with pytest.raises(UsageError, match="no cases"):
        published.score(lm, replace(_two_each(), cases=()))
    with pytest.raises(UsageError, match="not of rows"):
        IntegratedGradients("row").score(lm, _two_each())


@pytest.mark.parametrize("space", ["neuron", "value"])
def test_where_a_norm_undoes_the_scale_of_a_writer_the_path_begins_at_the_mean(space: Any) -> None:
    """From zero, attributions of such a model miss their sum by all of it with nodes, hundredfold with left steps."""
    lm, told = tiny_lm("gemma2"), list[str]()
    lm.notify = told.append
    scenario, fine = _two_each(), IntegratedGradients(space, steps=32)
    found = fine.score(lm, scenario)
    assert told == [
        "integrated_gradients: a norm behind the writers makes nothing of a zero baseline; the mean is used"
    ]
    assert found.notes["baseline"] == "mean"
    assert max(each["relative"] for each in found.notes["completeness"].values()) < 0.05
    assert torch.equal(found.scores, replace(fine, baseline="mean").score(lm, scenario).scores)
    assert len(told) == 1, "a mean that was asked for is not told"
    with pytest.raises(UsageError, match="zero baseline mean nothing here; use baseline 'mean'"):
        replace(fine, baseline="zero").score(lm, scenario)
    assert IntegratedGradients(space).score(tiny_lm("llama"), scenario).notes["baseline"] == "zero"


def test_the_user_is_told_of_missed_sums_by_each_and_only_of_what_can_mend_them() -> None:
    lm, told = tiny_lm("llama", dtype=torch.bfloat16), list[str]()
    lm.notify = told.append
    rough = IntegratedGradients(rule="riemann", steps=3)
    parts = [part for part, _ in rough.each(lm, _two_each(), "someone")]
    assert len(parts) == 2
    (line,) = told
    assert line.startswith("someone: in ")
    assert line.endswith("try more `steps` or baseline 'mean' or float32")
    lm = tiny_lm("gemma2")
    lm.notify = told.append
    list(replace(rough, steps=1).each(lm, _two_each()))
    assert told[-1].endswith("try more `steps`")
