"""Logit scores against the softmax loop case by case; how groups and stereotypes orient them; what they predict."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.component import Selection
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.scenario import Context, Scenario
from evenhand.lm.attribution.first_tokens import first_token_rows
from evenhand.lm.batches.variants import Variant
from evenhand.lm.model import LM
from evenhand.lm.scoring.forward import score_options
from evenhand.locate.contrast import Contrast
from evenhand.locate.logit_score import LogitScore
from evenhand.locate.query_neurons import QueryNeurons
from evenhand.testing.tiny import tiny_lm
from oracles.logit_loop import looped, queries, read
from oracles.people import PEOPLE, use_case


def _words() -> Scenario:
    """Words with a stereotype, as in common_words: two frames, one neutral prompt in each."""
    words = {"nurse": "female", "nanny": "female", "pilot": "male", "farmer": "male", "clerk": "neither"}
    cases = [
        Case(f"{frame}/{word}", frame.format(word=word), "work", frame, "", word, word,
             (" she", " he", " her", " him"), None, facts=(("sides", "fmfm"), ("leaning", leaning)))
        for frame in ("The {word} said that", "I saw the {word} and")
        for word, leaning in (*words.items(), ("person", "baseline"))
    ]  # fmt: skip
    return Scenario("words", tuple(cases), (Context("work", "pair"),))


def _case_by_case(lm: LM, name: str, part: Scenario, wanted: Any = "contrast") -> tuple[torch.Tensor, torch.Tensor]:
    """Parts [case, unit] of the neurons and read-outs, from the full softmax."""
    units, values = [], []
    for row in first_token_rows(lm, part, wanted):
        loop = looped(lm, name, row)
        units.append(torch.cat([read(loop.neurons(layer), row) for layer in range(loop.layers())]))
        values.append(read(loop.logits.log_softmax(-1), row))
    return torch.stack(units), torch.stack(values)


@pytest.mark.parametrize("kind", ["contrast", "cna"])
def test_scores_are_gap_weighted_differences_of_what_the_softmax_loop_gives(kind: Any) -> None:
    lm, scenario = tiny_lm("llama"), use_case()
    total, weight = torch.zeros(lm.layout("neuron").size), 0.0
    for item in ("car", "lamp"):
        part = scenario.only(variations=[item])
        units, values = _case_by_case(lm, "llama", part, "target" if kind == "cna" else "contrast")
        ours = torch.tensor([case.group == "a" for case in part.cases])
        gap = float(values[ours].mean() - values[~ours].mean())
        total += gap * (units[ours].mean(0) - units[~ours].mean(0))
        weight += abs(gap)
    found = LogitScore(kind=kind, exact=lm.layout("neuron").size).score(lm, scenario)
    torch.testing.assert_close(found.scores, total / weight, atol=1e-5, rtol=1e-3)
    first = LogitScore(kind=kind).score(lm, scenario)
    assert float(torch.corrcoef(torch.stack([first.scores, found.scores]))[0, 1]) > 0.97
    swapped = LogitScore(kind=kind).score(lm, replace(scenario, groups=("b", "a")))
    torch.testing.assert_close(swapped.scores, first.scores, atol=1e-6, rtol=1e-4)


def test_a_target_is_the_mean_over_all_cases_and_needs_no_groups() -> None:
    lm, scenario = tiny_lm("gpt2"), replace(use_case().only(variations=["car"]), groups=())
    units, values = _case_by_case(lm, "gpt2", scenario, "target")
    found = LogitScore(kind="target", exact=lm.layout("neuron").size).score(lm, scenario)
    torch.testing.assert_close(found.scores, units.mean(0), atol=1e-5, rtol=1e-3)
    assert found.notes["mean_log_p"] == pytest.approx(float(values.mean()), abs=1e-4)


def test_words_that_lean_are_oriented_by_their_stereotype_and_told_apart() -> None:
    lm, scenario = tiny_lm("llama"), _words()
    expected: dict[str, Any] = {"female": 0.0, "male": 0.0}
    for frame in scenario.variations("work"):
        part = scenario.where(lambda c, f=frame: c.variation == f)
        units, _ = _case_by_case(lm, "llama", part)
        for side, sign in (("female", 1), ("male", -1)):
            here, neutral = (torch.tensor([c.fact("leaning") == x for c in part.cases]) for x in (side, "baseline"))
            expected[side] = expected[side] + sign * (units[here].mean(0) - units[neutral].mean(0)) / 2
    found = {side: LogitScore(leaning=side).score(lm, scenario) for side in ("both", "female", "male")}  # type: ignore[arg-type]
    for side, scores in expected.items():
        torch.testing.assert_close(found[side].scores, scores, atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(found["both"].scores, (expected["female"] + expected["male"]) / 2, atol=1e-5, rtol=1e-3)
    correlation = float(torch.corrcoef(torch.stack([expected["female"], expected["male"]]))[0, 1])
    assert found["both"].notes["correlation_of_female_and_male_words"] == pytest.approx(correlation, abs=1e-3)
    assert len(found["both"].notes["gaps"]) == 6, "two frames of female words, male words and the neutral prompt"
    bare = scenario.where(lambda case: case.fact("leaning") != "baseline")
    torch.testing.assert_close(LogitScore().score(lm, bare).scores, found["both"].scores, atol=1e-6, rtol=1e-4)
    assert not torch.allclose(LogitScore(leaning="female").score(lm, bare).scores, found["female"].scores, atol=1e-3)
    with pytest.raises(UsageError, match="no groups"):
        LogitScore(kind="cna").score(lm, scenario)
    with pytest.raises(UsageError, match="has groups"):
        LogitScore(leaning="male").score(lm, use_case())
    target = LogitScore(kind="target").score(lm, scenario)
    assert bool(target.scores.any())


@pytest.mark.parametrize("frame", [0, 1])
@pytest.mark.parametrize(
    ("gone", "leaning", "told"),
    [("male", "both", "no word that leans male"), ("female", "female", "no word that leans female"),
     ("baseline", "male", "no neutral prompt"), ("baseline", "both", "no neutral prompt")],
)  # fmt: skip
def test_words_missing_in_one_variation_are_named_with_it(gone: str, leaning: Any, told: str, frame: int) -> None:
    scenario = _words()
    where = scenario.variations("work")[frame]
    lacking = scenario.where(lambda case: (case.fact("leaning"), case.variation) != (gone, where))
    with pytest.raises(UsageError, match=f"work/{re.escape(where)}: it has {told}.*leave this variation out"):
        LogitScore(leaning=leaning).score(tiny_lm("llama"), lacking)


@pytest.mark.parametrize(("side", "other"), [("female", "male"), ("male", "female")])
def test_words_of_one_gender_need_none_of_the_other(side: Any, other: str) -> None:
    lm, scenario = tiny_lm("llama"), _words()
    alone = LogitScore(leaning=side).score(lm, scenario.where(lambda case: case.fact("leaning") != other))
    both = LogitScore(leaning=side).score(lm, scenario)
    torch.testing.assert_close(alone.scores, both.scores, atol=1e-6, rtol=1e-4)
    assert "correlation_of_female_and_male_words" not in alone.notes


def test_answers_are_read_where_they_first_differ() -> None:
    lm = tiny_lm("llama")
    part = use_case().only(variations=["car"])
    cases = [replace(case, options=(" no, it is 34.", " no, it is 1.", " no, it is 3 or 1.")) for case in part.cases]
    shared, digits = " no, it is", [lm.tokenizer(d)["input_ids"][-1] for d in "31"]
    for case, row in zip(cases, first_token_rows(lm, replace(part, cases=tuple(cases))), strict=True):
        assert lm.tokenizer.decode(row.ids).rstrip() == case.prompt + shared
        assert {t.token: t.weight for t in row.targets} == {digits[0]: 0.5, digits[1]: -0.5}
        assert all(t.position == len(row.ids) - 1 for t in row.targets)


@pytest.mark.parametrize("kind", ["contrast", "target"])
def test_of_options_none_of_which_is_favourable_none_is_chosen(kind: Any) -> None:
    lm, scenario = tiny_lm("llama"), use_case().only(variations=["car"])
    unknown = replace(scenario, cases=tuple(replace(case, favourable=None) for case in scenario.cases))
    with pytest.raises(UsageError, match=r"none of its 3 options is favourable.*`favourable`"):
        LogitScore(kind=kind).score(lm, unknown)
    one = replace(unknown, cases=tuple(replace(case, options=(" yes",)) for case in unknown.cases))
    assert bool(LogitScore(kind="target").score(lm, one).scores.any()), "of a single answer there is no doubt"


@pytest.mark.parametrize("name", ["llama", "t5"])
@pytest.mark.parametrize("kind", ["pair", "number"])
def test_sentences_and_numbers_are_contrasts_too(kind: Any, name: str) -> None:
    lm, scenario = tiny_lm(name), use_case(kind).only(variations=["car"])
    for row in first_token_rows(lm, scenario):
        assert sum(target.weight for target in row.targets) == pytest.approx(0.0, abs=1e-6)
        assert len(row.targets) > 1
    low = LogitScore().score(lm, use_case(kind, favourable="low").only(variations=["car"]))
    high = LogitScore().score(lm, scenario)
    assert bool(high.scores.any())
    torch.testing.assert_close(low.scores, high.scores, atol=1e-6, rtol=1e-4)
    if kind == "number":
        assert [-gap for gap in low.notes["gaps"].values()] == pytest.approx(list(high.notes["gaps"].values()))
        with pytest.raises(UsageError, match="no one target token"):
            LogitScore(kind="target").score(lm, scenario)


def test_cases_whose_answers_cannot_be_told_apart_are_left_out_and_told_of() -> None:
    lm = tiny_lm("llama")
    told: list[str] = []
    lm.notify = told.append
    part = use_case().only(variations=["car"])
    broken = replace(part.cases[0], options=(" no", " no it"))
    assert len(first_token_rows(lm, replace(part, cases=(broken, *part.cases[1:])))) == len(part.cases) - 1
    assert "1 of 6 cases" in told[0]
    gone = tuple(replace(case, options=(" no", " no it")) for case in part.cases)
    with pytest.raises(UsageError, match="no context and variation can be read"):
        LogitScore().score(lm, replace(part, cases=gone))


def test_scores_of_the_last_layer_predict_real_ablation_and_shallow_ones_less_than_gradients() -> None:
    """In the last block an ablated neuron has no other path than the direct one; only the norm's size differs."""
    lm = tiny_lm("qwen3")
    part = use_case(people=PEOPLE).only(variations=["car"])
    part = replace(part, cases=tuple(replace(case, options=(" 3", " 1")) for case in part.cases))
    layout = lm.layout("neuron")
    variants = [None, *(Variant(Selection.of(layout, [unit])) for unit in range(layout.size))]
    rows = torch.stack([torch.stack([s[0] - s[1] for s in one]) for one in score_options(lm, part.cases, variants)])
    ours = torch.tensor([case.group == "a" for case in part.cases])
    gap = rows[:, ours].mean(1) - rows[:, ~ours].mean(1)
    real = gap[0].sign() * (gap[0] - gap[1:])
    last = torch.arange(layout.size - layout.sites[-1].units, layout.size)

    def agreement(scores: torch.Tensor, units: torch.Tensor) -> float:
        return float(torch.corrcoef(torch.stack([scores.double()[units], real[units]]))[0, 1])

    direct, gradient = LogitScore().score(lm, part).scores, Contrast().score(lm, part).scores
    first = torch.arange(layout.sites[0].units)
    assert agreement(direct, last) > 0.9
    assert agreement(direct, first) < agreement(gradient, first)


def test_query_scores_are_compared_as_logit_scores_are() -> None:
    lm, scenario = tiny_lm("llama"), use_case().only(variations=["car"])
    rows = first_token_rows(lm, scenario)
    units = torch.stack([queries(lm, "llama", row, 10) for row in rows])
    ours = torch.tensor([case.group == "a" for case in scenario.cases])
    found = QueryNeurons(top=10).score(lm, scenario)
    sign = 1 if next(iter(found.notes["gaps"].values())) > 0 else -1
    expected = sign * (units[ours].mean(0) - units[~ours].mean(0))
    torch.testing.assert_close(found.scores, expected, atol=1e-5, rtol=1e-3)
    with pytest.raises(UsageError, match="scores neurons"):
        QueryNeurons("head")


@pytest.mark.parametrize("locator", [LogitScore(), QueryNeurons()])
def test_masked_models_are_refused(locator: Any) -> None:
    with pytest.raises(CannotRun, match="masked model"):
        locator.score(tiny_lm("bert"), use_case())
