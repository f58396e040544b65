"""Bias-neuron scores against a slow two-pass version in both modes; sums from weight gradients; what is refused."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.scenario import Context, Scenario
from evenhand.locate._answers import candidates
from evenhand.locate.crispr import Crispr
from evenhand.testing.tiny import tiny_lm
from oracles import crispr as oracle
from oracles.gates import option_logp
from oracles.people import use_case

ASKED = (
    ("Select the best answer.", "The man sold the lamp. Who sold it?"),
    ("Pick one.", "Ann has a car and Bob none. Who bought it?"),
    ("Choose.", "It rains. What is the weather?"),
)
OPTIONS = (" a", " 3", " the")


def questions(cases: int = 6) -> Scenario:
    """Three questions in two instructions, of several lengths, options of several lengths, right answers varied."""
    made = [
        Case(f"{i}/{how}", f"{instruction[: 9 if how else None]} {asked} Answer: ", "q", str(how), "", str(i), "",
             OPTIONS, (i + how) % 3)
        for how in range(2) for i, (instruction, asked) in enumerate(ASKED)
    ]  # fmt: skip
    return Scenario("questions", tuple(made[:cases]), (Context("q", "choice"),))


@pytest.mark.parametrize("name", ["t5", "llama", "gpt2"])
def test_paper_scores_equal_two_passes_with_plain_hooks(name: str) -> None:
    lm, scenario = tiny_lm(name), questions()
    found = Crispr().score(lm, scenario)
    wanted = oracle.paper(lm, scenario, found.layout)
    _close(found.scores, wanted, f"{name} paper")


@pytest.mark.parametrize("name", ["t5", "llama"])
@pytest.mark.parametrize("batch_size", [2, 4])
def test_code_scores_equal_two_passes_with_plain_hooks(name: str, batch_size: int) -> None:
    lm, scenario = tiny_lm(name), questions()
    found = Crispr(mode="code", batch_size=batch_size).score(lm, scenario)
    wanted = oracle.code(lm, scenario, found.layout, batch_size)
    _close(found.scores, wanted, f"{name} code, batches of {batch_size}")


def _close(found: torch.Tensor, wanted: torch.Tensor, what: str) -> None:
    """To 1e-4 of the largest score, and no worse in absolute terms."""
    off = float((found.double() - wanted).abs().max())
    sys.stdout.write(f"{what}: largest score {float(wanted.abs().max()):.3g}, largest difference {off:.2g}\n")
    assert off < 1e-4
    assert off < 1e-4 * float(wanted.abs().max())


def test_the_score_of_the_published_code_depends_on_its_batches() -> None:
    lm, scenario = tiny_lm("llama"), questions()
    scores = [Crispr(mode="code", tokens="sum", batch_size=n).score(lm, scenario).scores for n in (1, 3)]
    assert not torch.allclose(*scores, rtol=1e-3, atol=0.0)
    by_case = Crispr(mode="code", tokens="sum", clamp="instance").score(lm, scenario).scores
    torch.testing.assert_close(scores[0], by_case)
    whole = Crispr(mode="code", tokens="sum", clamp="dataset").score(lm, scenario).scores
    torch.testing.assert_close(scores[1], whole)


@pytest.mark.parametrize("space", ["row", "neuron", "head"])
def test_scores_do_not_depend_on_how_computing_is_batched(space: Any) -> None:
    for name in ("t5", "bert") if space != "head" else ("llama",):
        lm, alone = tiny_lm(name), tiny_lm(name)
        alone.budget = 1
        found, wanted = (Crispr(space, "code").score(each, questions(4)).scores for each in (lm, alone))
        torch.testing.assert_close(found, wanted, atol=float(wanted.abs().max()) * 1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", ["t5", "llama", "gpt2", "opt"])
def test_sums_over_tokens_are_those_of_weight_gradients(name: str) -> None:
    """Without the right answer's term and α, with log P: Σ_t h·g of the wrong option, which needs no hook at all."""
    lm, scenario = tiny_lm(name), questions(1)
    (case,) = scenario.cases
    found = Crispr(tokens="sum", clamp="dataset", strength=0.0, weight=False).score(lm, scenario)
    wrong = oracle.wrong_option(lm, case, None)
    with torch.no_grad():
        p = option_logp(lm, case.prompt, case.options[wrong]).double().exp()
    wanted = p * oracle.weight_gradient_sums(lm, found.layout, case, wrong)
    assert float((found.scores - wanted).abs().max()) < 1e-5 * float(wanted.abs().max())


def test_the_wrong_option_is_the_likeliest_but_the_right_one() -> None:
    """Beside an encoder that is found out while units are scored, which the oracles below and above see."""
    lm, cases = tiny_lm("llama"), questions().cases
    assert candidates(lm, cases) == [[oracle.wrong_option(lm, case, None)] for case in cases]
    assert candidates(tiny_lm("t5"), cases) == [[o for o in range(3) if o != case.favourable] for case in cases]


def test_an_encoder_reads_each_prompt_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lm, read = tiny_lm("t5"), list[int]()
    encoder = lm.model.get_encoder()
    monkeypatch.setattr(encoder, "forward", _counting(encoder.forward, read))
    Crispr().score(lm, questions(4))
    assert sum(read) == len(questions(4).cases)


def _counting(forward: Any, read: list[int]) -> Any:
    def counted(*args: Any, **given: Any) -> Any:
        read.append(len(given["input_ids"]))
        return forward(*args, **given)

    return counted


def two_options() -> Scenario:
    """The questions with a right and a wrong answer each, the right one first, second, …"""
    cases = [dataclasses.replace(c, options=OPTIONS[:2], favourable=i % 2) for i, c in enumerate(questions().cases)]
    return dataclasses.replace(questions(), cases=tuple(cases))


@pytest.mark.parametrize("name", ["t5", "llama"])
@pytest.mark.parametrize("mode", ["paper", "code"])
def test_of_two_options_the_other_is_wrong_and_nothing_is_scored_to_find_it(
    name: str, mode: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm, scenario = tiny_lm(name), two_options()
    wanted = (
        oracle.paper(lm, scenario, lm.layout("row"))
        if mode == "paper"
        else oracle.code(lm, scenario, lm.layout("row"), 4)
    )
    monkeypatch.setattr("evenhand.locate._answers.score_options", None)
    assert candidates(lm, scenario.cases) == [[1], [0], [1], [0], [1], [0]]
    _close(Crispr(mode=mode).score(lm, scenario).scores, wanted, f"{name} {mode}, two options")


def test_two_and_three_options_may_be_mixed() -> None:
    lm, several, two = tiny_lm("llama"), questions().cases, two_options().cases
    mixed = [case for both in zip(several, two, strict=True) for case in both]
    assert candidates(lm, mixed)[::2] == candidates(lm, several)
    assert candidates(lm, mixed)[1::2] == [[1], [0], [1], [0], [1], [0]]


@pytest.mark.parametrize("name", ["t5", "llama", "gpt2"])
def test_what_cannot_be_scored_is_refused_with_two_options_too(name: str) -> None:
    lm, (case, *_) = tiny_lm(name), two_options().cases

    def scores(**other: Any) -> None:
        Crispr().score(lm, dataclasses.replace(two_options(), cases=(dataclasses.replace(case, **other),)))

    with pytest.raises(UsageError, match=r"empty|adds no token"):
        scores(options=(" a", ""))
    if lm.family.positions:
        with pytest.raises(CannotRun, match=r"case '0/0': the prompt with an option has .* tokens"):
            scores(options=(" a", " the" * 5000))
    torch.nn.init.constant_(lm.model.get_input_embeddings().weight, torch.nan)
    with pytest.raises(CannotRun, match="no number, so the model is broken"):
        scores()


def test_an_encoder_reads_each_question_once_for_both_answers() -> None:
    """Besides what it reads to find the wrong options, without gradients."""
    lm, scenario = tiny_lm("t5"), questions()
    read: list[int] = []

    def count(module: Any, args: Any, out: Any) -> None:
        read.extend([len(args[0])] * torch.is_grad_enabled())

    handle = lm.module("encoder.block.0").register_forward_hook(count)
    try:
        Crispr().score(lm, scenario)
    finally:
        handle.remove()
    assert sum(read) == len(scenario.cases)


def test_notes_say_how_often_a_wrong_option_is_likelier() -> None:
    lm, scenario = tiny_lm("llama"), questions()
    notes = Crispr().score(lm, scenario).notes
    likelier, alphas = 0, 0.0
    for case in scenario.cases:
        assert case.favourable is not None
        with torch.no_grad():
            logp = [float(option_logp(lm, case.prompt, option)) for option in case.options]
        wrong = max(x for i, x in enumerate(logp) if i != case.favourable)
        likelier += wrong > logp[case.favourable]
        alphas += float(torch.tensor(wrong).exp())
    assert (notes["cases"], notes["instructions"]) == (6, 2)
    assert notes["wrong_share"] == pytest.approx(likelier / 6)
    assert notes["mean_alpha"] == pytest.approx(alphas / 6, rel=1e-4)


def test_only_questions_with_a_right_answer_are_scored() -> None:
    lm = tiny_lm("llama")
    for scenario in (use_case("number"), use_case().where(lambda case: False)):
        with pytest.raises(UsageError, match=r"questions with a right answer .* such as bbq, bbq_instructions"):
            Crispr().score(lm, scenario)


@pytest.mark.parametrize("clamp", ["token", "batch", "dataset"])
def test_a_batch_that_memory_runs_out_for_counts_once(clamp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lm, scenario = tiny_lm("t5"), questions()
    locator = Crispr(clamp=clamp, batch_size=3)
    expected = locator.score(lm, scenario)
    monkeypatch.setattr(lm, "budget", 64)
    few = locator.score(lm, scenario)
    torch.testing.assert_close(few.scores, expected.scores, atol=1e-9, rtol=1e-4)
    calls, real = [0], torch.Tensor.double

    def runs_out(self: torch.Tensor) -> torch.Tensor:
        if self.ndim == 2 and self.shape[1] == expected.layout.size:
            calls[0] += 1
            if calls[0] == 1:
                raise torch.OutOfMemoryError
        return real(self)

    monkeypatch.setattr(lm, "budget", 8192)
    monkeypatch.setattr(torch.Tensor, "double", runs_out)
    again = locator.score(lm, scenario)
    assert calls[0] > 1
    assert again.notes == pytest.approx(few.notes)
    torch.testing.assert_close(again.scores, expected.scores, atol=1e-9, rtol=1e-4)


def test_answers_less_probable_than_float32_can_hold_are_refused_or_told() -> None:
    lm = tiny_lm("llama")
    told: list[str] = []
    lm.notify = told.append
    scenario = questions()
    long = dataclasses.replace(
        scenario, cases=tuple(dataclasses.replace(c, options=tuple(o * 30 for o in c.options)) for c in scenario.cases)
    )
    with pytest.raises(CannotRun, match="none of the 6 cases counts"):
        Crispr().score(lm, long)
    assert float(Crispr(mode="code", weight=False).score(lm, long).scores.abs().max()) > 0
    assert not told
    Crispr().score(lm, dataclasses.replace(scenario, cases=scenario.cases[:3] + long.cases[3:]))
    assert "crispr: 3 of 6 cases count nothing" in told[0]
