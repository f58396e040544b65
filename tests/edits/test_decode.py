"""p′ in all our readings, beside each prefix run alone: options, whole texts, next tokens, numbers and answers."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.component import Selection
from evenhand.core.errors import CannotRun, UsageError
from evenhand.edits.compose import Compose
from evenhand.edits.decode import Decode
from evenhand.edits.scale import Scale
from evenhand.edits.steer import Steer
from evenhand.lm.batches.logits import context_length
from evenhand.lm.batches.prefix import Prefix
from evenhand.lm.batches.resume import States, resumed
from evenhand.lm.batches.variants import Variant
from evenhand.lm.generation import decoding
from evenhand.lm.generation.generate import generate
from evenhand.lm.generation.sampling import Sampling
from evenhand.lm.model import LM
from evenhand.lm.scoring.forward import next_token, score_options
from evenhand.lm.scoring.texts import compare_texts, score_texts
from evenhand.lm.tokens import encode
from evenhand.methods.self_debias_decoding import SelfDebiasDecoding
from evenhand.testing.tiny import tiny_lm
from oracles.self_debiasing import continued, likelihood, next_logp

PROMPTS = ("The doctor said", "Jamal asked the doctor, and the teacher told Maria that")
CASES = [Case(str(i), p, "x", options=(" yes, she said", " no", " yes")) for i, p in enumerate((*PROMPTS, PROMPTS[0]))]
TEXTS = ["Maria sold her old bicycle for $120.", "Maria sold a lamp."]
ROW = torch.zeros(1, dtype=torch.long)
EDIT = Decode(("The following text contains a threat:\n", "Rude answer:\n"))


def _ids(lm: LM, text: str) -> list[int]:
    return list(lm.tokenizer(text, add_special_tokens=False).input_ids)


def _prefixes(lm: LM) -> list[list[int]]:
    return [_ids(lm, prefix) for prefix in EDIT.prefixes]


@pytest.mark.parametrize("family", ["gpt2", "llama", "mistral", "gpt_neo"])
def test_options_and_texts_are_those_of_prefixes_run_alone(family: str) -> None:
    lm = tiny_lm(family)
    with EDIT.applied(lm):
        scores, texts = score_options(lm, CASES)[0], score_texts(lm, TEXTS)[0].logp
    for case, found in zip(CASES, scores, strict=True):
        for option, logp in zip(case.options, found.tolist(), strict=True):
            ids = _ids(lm, case.prompt + option)
            first = len(_ids(lm, case.prompt))
            assert logp == pytest.approx(likelihood(lm.model, ids, first, _prefixes(lm)), abs=1e-4)
    for text, logp in zip(TEXTS, texts.tolist(), strict=True):
        assert logp == pytest.approx(likelihood(lm.model, _ids(lm, text), 1, _prefixes(lm)), abs=1e-4)


@pytest.mark.parametrize("family", ["opt", "mistral"])
def test_answers_next_tokens_and_branches_are_those_of_prefixes_run_alone(family: str) -> None:
    lm = tiny_lm(family)
    end = lm.tokenizer.eos_token_id
    with EDIT.applied(lm):
        answers = generate(lm, CASES, Sampling(1, 0.0, max_new_tokens=4))
        after = next_token(lm, PROMPTS)[0]
        prompts = [encode(lm, prompt).ids for prompt in PROMPTS]
        tails = [(7, 9), (), (11,)]
        opened = Prefix.open(lm, prompts).extend([1, 0, 1], tails)
    for case, (answer,) in zip(CASES, answers, strict=True):
        said, _ = continued(lm.model, _ids(lm, case.prompt), _prefixes(lm), 4, end)
        assert [*answer.tokens, *([end] if answer.ended else [])] == said
    for prompt, logp in zip(PROMPTS, after, strict=True):
        expected = next_logp(lm.model, _ids(lm, prompt), _prefixes(lm), 50.0, 0.01)
        torch.testing.assert_close(logp.double(), expected, atol=1e-4, rtol=0)
    for row, tail, logp in zip((1, 0, 1), tails, opened, strict=True):
        expected = next_logp(lm.model, [*prompts[row], *tail], _prefixes(lm), 50.0, 0.01)
        torch.testing.assert_close(logp.double(), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("family", "start"), [("llama", True), ("gpt2", False), ("mistral", True)])
def test_caches_tell_what_reading_anew_tells(family: str, start: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_lm(family)
    lm.tokenizer.bos_token = "[CLS]" if start else None

    def found() -> tuple[torch.Tensor, torch.Tensor, list[list[tuple[int, ...]]], torch.Tensor]:
        with EDIT.applied(lm):
            prompts = [encode(lm, prompt, whole=start).ids for prompt in PROMPTS]
            prefix = Prefix.open(lm, prompts)
            after = torch.cat([prefix.logp, prefix.extend([1, 0, 1, 1], [(7, 9), (), (11,), (7, 9, 3)])])
            said = generate(lm, CASES, Sampling(2, 1.0, max_new_tokens=4))
            return (torch.cat(score_options(lm, CASES)[0]), torch.tensor(score_texts(lm, TEXTS)[0].logp.tolist()),
                    [[each.tokens for each in few] for few in said], after)  # fmt: skip

    def never(*args: object) -> None:
        raise AssertionError("read anew")

    with monkeypatch.context() as cached:
        cached.setattr(decoding, "read_again", never)
        quick = found()
    monkeypatch.setattr(decoding.SelfDebiased, "_behind", lambda *args: None)
    slow = found()
    assert quick[2] == slow[2]
    for one, other in zip((*quick[:2], quick[3]), (*slow[:2], slow[3]), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


def test_with_other_edits_they_hold_behind_the_prefixes_too() -> None:
    lm, units = tiny_lm("llama"), torch.tensor([1, 5, 60])
    steer = Steer((1,), torch.full((1, 32), 0.5), words=("doctor",))
    scale = Scale(Selection.of(lm.layout("neuron"), units), 0.0, "activation")
    with Compose((scale, steer, EDIT)).applied(lm):
        found = score_options(lm, CASES)[0]
        ((said,),) = generate(lm, CASES[:1], Sampling(1, 0.0, max_new_tokens=3))
    with Compose((scale, steer)).applied(lm):
        for case, scores in zip(CASES, found, strict=True):
            ids, first = _ids(lm, case.prompt + case.options[0]), len(_ids(lm, case.prompt))
            assert float(scores[0]) == pytest.approx(likelihood(lm.model, ids, first, _prefixes(lm)), abs=1e-4)
        expected, _ = continued(lm.model, _ids(lm, PROMPTS[0]), _prefixes(lm), 3, lm.tokenizer.eos_token_id)
    assert [*said.tokens] == expected[: len(said.tokens)]


def test_damage_is_measured_beside_the_unedited_model_and_leaves_room_for_prefixes() -> None:
    lm = tiny_lm("gpt2")
    whole = context_length(lm) or 0
    long = " ".join(["Jamal and Hunter waited for the bus, and she said that it was late."] * 40)
    kl, agree = compare_texts(lm, [TEXTS[0], long], lambda: EDIT.applied(lm))
    none, _ = compare_texts(lm, TEXTS, lambda: nullcontext())
    assert bool((kl > 0.1).all())
    assert bool((agree >= 0).all())
    assert none.tolist() == [0.0, 0.0]
    with EDIT.applied(lm):
        assert context_length(lm) == whole - max(map(len, _prefixes(lm)))
    assert (context_length(lm), lm.decoding) == (whole, None)


def test_a_start_token_stays_in_front() -> None:
    lm = tiny_lm("gpt2")
    lm.tokenizer.bos_token = "[CLS]"
    start = lm.tokenizer.bos_token_id
    with EDIT.applied(lm):
        (found,) = score_texts(lm, ["She said"])[0].logp.tolist()
    ids, logp = _ids(lm, "She said"), 0.0
    lm.model.requires_grad_(False)
    for i, token in enumerate(ids):
        rows = [[start, *ids[:i]], *([start, *prefix, *ids[:i]] for prefix in _prefixes(lm))]
        plain, *behind = (lm.model(torch.tensor([row])).logits[0, -1].double().softmax(-1) for row in rows)
        weight = (-50 * (torch.stack(behind).amax(0) - plain).clamp_min(0)).exp().clamp_min(0.01) * plain
        logp += float((weight[token] / weight.sum()).log())
    assert found == pytest.approx(logp, abs=1e-4)


def test_what_cannot_be_done_is_refused() -> None:
    lm = tiny_lm("llama")
    variant = Variant(Selection.of(lm.layout("neuron"), torch.tensor([3])))
    for family in ("bert", "t5"):
        with pytest.raises(CannotRun, match="causal"), EDIT.applied(tiny_lm(family)):
            pass
    with EDIT.applied(lm), pytest.raises(CannotRun, match="one at a time"), EDIT.applied(lm):
        pass
    with EDIT.applied(lm), pytest.raises(CannotRun, match="share a batch"):
        score_options(lm, CASES, (None, variant))
    opened = Prefix.open(lm, [(5, 6, 7)])
    with EDIT.applied(lm), pytest.raises(UsageError, match="before the decoding began"):
        opened.extend([0], [(8,)])
    with EDIT.applied(lm), pytest.raises(CannotRun, match="from one of its blocks"), resumed(lm, States(), 1, ROW):
        pass
    with pytest.raises(CannotRun, match="cannot be baked"):
        EDIT.bake(lm)
    with pytest.raises(UsageError, match="prefix"):
        Decode(())
    assert not lm.edits
    assert lm.decoding is None


def test_the_paper_has_six_prefixes_and_controls_as_many() -> None:
    edit = SelfDebiasDecoding(wording="paper").fit(tiny_lm("gpt2"), None, None)
    assert (len(edit.prefixes), edit.decay, edit.epsilon) == (6, 50.0, 0.01)
    control = edit.control(0)
    assert len({*control.prefixes}) == 6
    assert not {*control.prefixes} & {*edit.prefixes}
    assert Decode.restore({}, edit.settings()).settings() == edit.settings()
