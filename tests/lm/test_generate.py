from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.component import Selection
from evenhand.core.errors import CannotRun, UsageError
from evenhand.edits.scale import Scale
from evenhand.lm.batches.variants import Variant
from evenhand.lm.generation.generate import Answer, generate
from evenhand.lm.generation.sampling import Sampling, distribution, draw, sample
from evenhand.lm.load import load
from evenhand.lm.model import LM
from evenhand.testing.tiny import CAUSAL_NAMES, SENTENCES, SEQ2SEQ_NAMES, tiny_lm
from oracles.plain_generation import plain_greedy

PROMPTS = (*SENTENCES[:4], "He", "I would offer $")


def cases(*prompts: str) -> list[Case]:
    return [Case(id=prompt, prompt=prompt, context="c") for prompt in prompts]


def texts(answers: list[list[Answer]]) -> list[list[str]]:
    return [[answer.text for answer in few] for few in answers]


@pytest.mark.parametrize("name", [*CAUSAL_NAMES, *SEQ2SEQ_NAMES])
def test_greedy_equals_one_plain_forward_per_token(name: str) -> None:
    lm = tiny_lm(name)
    found = generate(lm, cases(*PROMPTS), Sampling(samples=1, temperature=0.0, max_new_tokens=7))
    for prompt, (answer,) in zip(PROMPTS, found, strict=True):
        assert answer.tokens == plain_greedy(lm, prompt, 7)


@pytest.mark.parametrize("name", ["gpt2", "gpt_neo", "gemma2", "t5"])
def test_answers_do_not_depend_on_the_batch(name: str) -> None:
    lm = tiny_lm(name)
    sampling = Sampling(samples=5, max_new_tokens=8)
    together = generate(lm, cases(*PROMPTS), sampling)
    lm.budget = 60
    apart = [generate(lm, cases(prompt), sampling)[0] for prompt in PROMPTS[::-1]][::-1]
    assert together == apart
    assert len({text for few in texts(together) for text in few}) > 20


def test_a_sample_does_not_depend_on_how_many_there_are() -> None:
    lm = tiny_lm("llama")
    many = generate(lm, cases("He"), Sampling(samples=30, max_new_tokens=6))[0]
    few = generate(lm, cases("He"), Sampling(samples=3, max_new_tokens=6))[0]
    assert many[:3] == few


def test_seed_and_case_decide_the_draw() -> None:
    lm = tiny_lm("llama")
    first = texts(generate(lm, cases("He"), Sampling(samples=10, max_new_tokens=6)))
    assert first == texts(generate(lm, cases("He"), Sampling(samples=10, max_new_tokens=6)))
    assert first != texts(generate(lm, cases("He"), Sampling(samples=10, max_new_tokens=6, seed=1)))
    assert first != texts(generate(lm, [replace(cases("He")[0], id="other")], Sampling(samples=10, max_new_tokens=6)))


def test_global_random_state_is_neither_used_nor_changed() -> None:
    lm = tiny_lm("gpt2")
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = generate(lm, cases("He"), Sampling(samples=3, max_new_tokens=4))
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert generate(lm, cases("He"), Sampling(samples=3, max_new_tokens=4)) == first


def test_the_generation_config_changes_nothing_but_the_end() -> None:
    lm = tiny_lm("llama")
    first = generate(lm, cases("He"), Sampling(samples=8, max_new_tokens=6))
    lm.model.generation_config.update(do_sample=True, top_k=1, top_p=0.01, temperature=0.1, max_length=2)
    assert generate(lm, cases("He"), Sampling(samples=8, max_new_tokens=6)) == first


def test_ended_answers_are_told_from_cut_off_ones() -> None:
    lm = tiny_lm("llama")
    end = lm.tokenizer.eos_token_id
    bias = torch.zeros(lm.model.get_output_embeddings().weight.shape[0])
    bias[end] = 4.0
    hook = lm.model.get_output_embeddings().register_forward_hook(lambda module, args, out: out + bias)
    answers = generate(lm, cases(*PROMPTS), Sampling(samples=20, max_new_tokens=6))
    hook.remove()
    flat = [answer for few in answers for answer in few]
    assert {answer.ended for answer in flat} == {True, False}
    for answer in flat:
        assert end not in answer.tokens
        assert "</s>" not in answer.text
        assert len(answer.tokens) < 6 if answer.ended else len(answer.tokens) == 6


@pytest.mark.parametrize("name", ["gpt2", "opt", "t5"])
def test_a_variant_answers_like_the_applied_edit(name: str) -> None:
    lm = tiny_lm(name)
    pick = Selection.of(lm.layout("neuron"), list(range(0, 140, 2)))
    sampling = Sampling(samples=4, max_new_tokens=6)
    beside = generate(lm, cases(*PROMPTS), sampling, variant=Variant(pick))
    with Scale(pick).applied(lm):
        applied = generate(lm, cases(*PROMPTS), sampling)
    assert beside == applied
    assert beside != generate(lm, cases(*PROMPTS), sampling)


def test_progress_reaches_its_end() -> None:
    seen: list[tuple[str, int, int]] = []
    generate(tiny_lm("gpt2"), cases(*PROMPTS), Sampling(samples=2, max_new_tokens=2), lambda *told: seen.append(told))
    assert seen[-1][0] == "generating"
    assert seen[-1][1] == seen[-1][2] > 0


def test_what_cannot_be_answered() -> None:
    with pytest.raises(CannotRun, match="masked"):
        generate(tiny_lm("bert"), cases("He"))
    with pytest.raises(UsageError, match="no tokens"):
        generate(tiny_lm("gpt2"), cases(""))
    with pytest.raises(CannotRun, match="at most 512"):
        generate(tiny_lm("gpt2"), cases("He"), Sampling(max_new_tokens=512))


@pytest.mark.parametrize(
    "wrong", [{"samples": 0}, {"max_new_tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.5}]
)
def test_wrong_sampling_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Sampling(**wrong)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("vocab", [3, 256, 257, 1000])
def test_draws_follow_the_distribution(vocab: int) -> None:
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(1, vocab, generator=generator) ** 6
    p[:, ::3] = 0
    p /= p.sum()
    n = 20_000
    drawn = draw(p.expand(n, -1), (torch.arange(n, dtype=torch.float64) + 0.5) / n)
    share = torch.bincount(drawn, minlength=vocab) / n
    assert not share[::3].any()
    assert float((share - p[0]).abs().max()) <= 1.01 / n
    last = torch.nextafter(torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
    assert p[0, draw(p, last)] > 0
    assert p[0, draw(p, torch.zeros(1, dtype=torch.float64))] > 0


def test_top_p_keeps_the_fewest_tokens_that_reach_it() -> None:
    logp = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    kept = distribution(logp, Sampling(top_p=0.75))
    assert torch.allclose(kept, torch.tensor([[0.625, 0.375, 0.0, 0.0]]))
    assert torch.allclose(distribution(logp, Sampling(top_p=0.1)), torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
    cold = distribution(logp, Sampling(temperature=0.5))
    assert torch.allclose(cold, logp.exp() ** 2 / (logp.exp() ** 2).sum())
    assert sample(logp, Sampling(temperature=0.0), torch.tensor([0.99])).tolist() == [0]


@pytest.mark.models
def test_several_tokens_of_one_character_are_joined(models_dir: Path) -> None:
    lm: LM = load(models_dir / "stories260K")
    from evenhand.lm.vocabulary import vocabulary

    ids = lm.tokenizer("xé€", add_special_tokens=False)["input_ids"]
    assert vocabulary(lm).text(ids).endswith("é€")
