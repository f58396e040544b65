"""Steering gives the same logits however the model is run, and the same tokens as transformers' own `generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun, UsageError
from evenhand.edits import _file
from evenhand.edits.compose import Compose
from evenhand.edits.steer import Mode, Steer
from evenhand.lm.batches.logits import padded, positions
from evenhand.lm.batches.shared import share
from evenhand.lm.batches.variants import RowMasks
from evenhand.lm.generation.generate import generate
from evenhand.lm.generation.sampling import Sampling
from evenhand.lm.model import LM
from evenhand.lm.scoring.forward import score_options
from evenhand.lm.states.occurrences import forms
from evenhand.lm.tokens import continuations, encode
from evenhand.testing.tiny import tiny_lm

PROMPTS = ("The doctor said", "Jamal asked the doctor, and the doctor told Maria that the teacher")
OPTIONS = (" yes, the doctor", " no doctor said so")


def _steer(mode: Mode = "add", words: tuple[str, ...] = (), strength: float = 0.8) -> Steer:
    drawn = torch.randn(2, 2, 32, generator=torch.Generator().manual_seed(3))
    return Steer((0, 1), drawn[0], drawn[1] if mode == "level" else None, mode, strength, words)


EDITS = [_steer(), _steer("level"), _steer(words=("doctor",)), _steer("replace", ("doctor", "Maria"))]


def _plain(lm: LM, prompt: str, option: str) -> float:
    """One sequence, one forward pass, nothing shared."""
    found = continuations(lm, prompt, [option])
    ids = found.prefix + found.tails[0]
    with torch.no_grad():
        if lm.kind == "encoder-decoder":
            start = [int(lm.model.config.decoder_start_token_id), *ids]
            text = torch.tensor([encode(lm, prompt).ids])
            logp = lm.model(input_ids=text, decoder_input_ids=torch.tensor([start])).logits[0].log_softmax(-1)
        else:
            logp = lm.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    first = len(found.prefix) + found.first[0]
    return float(sum(logp[i - 1, ids[i]] for i in range(first, len(ids))))


@pytest.mark.parametrize("edit", EDITS, ids=["add", "level", "words", "replace"])
@pytest.mark.parametrize("name", ["llama", "gpt2", "opt", "mistral"])
def test_shared_prefixes_and_packed_rows_score_as_plain_passes(name: str, edit: Steer) -> None:
    lm = tiny_lm(name)
    cases = [Case(prompt, prompt, "x", options=OPTIONS) for prompt in PROMPTS]
    before = torch.cat(score_options(lm, cases)[0])
    with edit.applied(lm):
        found = torch.cat(score_options(lm, cases)[0])
        wanted = torch.tensor([_plain(lm, prompt, option) for prompt in PROMPTS for option in OPTIONS])
        shared = share(
            lm, [continuations(lm, prompt, OPTIONS).prefix for prompt in PROMPTS], RowMasks(lm, [None]), [0, 0]
        )
        stepwise = _stepwise(lm, shared)
    torch.testing.assert_close(found.float(), wanted, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(stepwise, wanted, atol=1e-4, rtol=1e-5)
    assert float((found - before).abs().min()) > 1e-3


def _stepwise(lm: LM, shared: Any) -> torch.Tensor:
    """Every option as a tail of its shared prompt, over the cache."""
    rows, tails, first = [], [], []
    for row, prompt in enumerate(PROMPTS):
        each = continuations(lm, prompt, OPTIONS)
        assert min(each.first) >= 0
        rows += [row] * len(each.tails)
        tails += each.tails
        first += each.first
    fed = [(node, at) for node, tail in enumerate(tails) for at in range(len(tail) - 1)]
    logp = shared.extend(rows, [tail[:-1] for tail in tails], [n for n, _ in fed], [a for _, a in fed]).log_softmax(-1)
    start = shared.logits.log_softmax(-1)
    sums = []
    for node, (row, tail) in enumerate(zip(rows, tails, strict=True)):
        total = 0.0
        for i in range(first[node], len(tail)):
            total += float(start[row, tail[0]] if i == 0 else logp[fed.index((node, i - 1)), tail[i]])
        sums.append(total)
    return torch.tensor(sums)


@pytest.mark.parametrize("edit", EDITS, ids=["add", "level", "words", "replace"])
@pytest.mark.parametrize("name", ["llama", "gpt2", "t5"])
def test_the_same_tokens_come_out_of_transformers_generate(name: str, edit: Steer) -> None:
    lm = tiny_lm(name)
    cases = [Case(prompt, prompt, "x", "text") for prompt in PROMPTS]
    ids, mask = padded(lm, [encode(lm, prompt).ids for prompt in PROMPTS], left=lm.kind == "causal")
    more = {"attention_mask": mask, "max_new_tokens": 8, "do_sample": False, "pad_token_id": 0}
    with edit.applied(lm):
        ours = [each[0].tokens for each in generate(lm, cases, Sampling(temperature=0.0, max_new_tokens=8))]
        cached, again = (lm.model.generate(ids, use_cache=cache, **more) for cache in (True, False))
        beams = [lm.model.generate(ids, num_beams=2, use_cache=cache, **more) for cache in (True, False)]
    assert torch.equal(cached, again)
    assert torch.equal(*beams)
    skip = ids.shape[1] if lm.kind == "causal" else 1
    ends = {int(lm.tokenizer.eos_token_id), 0}
    theirs = [tuple(int(t) for t in row[skip:]) for row in cached]
    assert [_until(row, ends) for row in theirs] == ours
    plain = lm.model.generate(ids, use_cache=True, **more)
    assert edit.words or not torch.equal(plain, cached)


def _until(row: tuple[int, ...], ends: set[int]) -> tuple[int, ...]:
    stop = next((i for i, token in enumerate(row) if token in ends), len(row))
    return row[:stop]


@pytest.mark.parametrize("name", ["llama", "gpt2", "mistral"])
def test_a_word_is_found_when_it_is_read_token_by_token(name: str) -> None:
    lm = tiny_lm(name)
    ids = torch.tensor([encode(lm, PROMPTS[1]).ids])
    assert max(len(form) for form in forms(lm, "doctor")) > 1
    with _steer(words=("doctor",)).applied(lm), torch.no_grad():
        whole, cache, steps = lm.model(input_ids=ids).logits, None, []
        for token in ids[0]:
            out = lm.model(input_ids=token[None, None], past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            steps.append(out.logits)
    torch.testing.assert_close(torch.cat(steps, dim=1), whole, atol=1e-4, rtol=1e-4)


def test_padding_does_not_move_a_change() -> None:
    lm = tiny_lm("bert")
    encoded = [encode(lm, prompt).ids for prompt in PROMPTS]
    for edit in EDITS:
        with edit.applied(lm), torch.no_grad():
            ids, mask = padded(lm, encoded)
            both = lm.model(input_ids=ids, attention_mask=mask, **positions(lm, mask)).logits
            for row, each in zip(both, encoded, strict=True):
                alone = lm.model(input_ids=torch.tensor([each])).logits[0]
                torch.testing.assert_close(row[: len(each)], alone, atol=1e-4, rtol=1e-4)


def test_saved_composed_controlled(tmp_path: Path) -> None:
    lm = tiny_lm("gpt2")
    case = [Case("a", PROMPTS[1], "x", options=OPTIONS)]
    both = Compose((EDITS[1], EDITS[3]))
    _file.save(both, tmp_path / "edit", lm.identity.to_json(), {})
    loaded = _file.load_edit(tmp_path / "edit", lm)
    scores = []
    for edit in (both, loaded, both.control(1)):
        assert edit is not None
        with edit.applied(lm):
            scores.append(score_options(lm, case)[0][0])
    assert torch.equal(scores[0], scores[1])
    assert not torch.allclose(scores[0], scores[2], atol=1e-3)
    control = EDITS[0].control(5)
    torch.testing.assert_close(control.vectors.norm(dim=1), EDITS[0].vectors.norm(dim=1))
    assert "blocks 0 to 1 at the words doctor" in EDITS[2].describe()


def test_refusals_say_why() -> None:
    lm = tiny_lm("gpt2")
    with pytest.raises(CannotRun, match="cannot be baked"):
        EDITS[0].bake(lm)
    with pytest.raises(UsageError, match="there is no layer 7"), Steer((7,), torch.ones(1, 32)).applied(lm):
        pass
    with pytest.raises(UsageError, match="width 5"), Steer((0,), torch.ones(1, 5)).applied(lm):
        score_options(lm, [Case("a", PROMPTS[0], "x", options=OPTIONS)])
    with pytest.raises(UsageError, match="one vector for each layer"):
        Steer((0, 1), torch.ones(1, 5))
    with pytest.raises(UsageError, match="no layer is steered"):
        Steer((), torch.ones(0, 32))
    other = _steer()
    object.__setattr__(other, "mode", "bogus")  # what a file may say: in tests no such argument can be given
    with pytest.raises(UsageError, match="no mode 'bogus'; choose one of add, replace, level"):
        other.__post_init__()
    for strength in (float("nan"), float("inf")):
        with pytest.raises(UsageError, match="give a finite number"):
            Steer((0,), torch.ones(1, 32), strength=strength)
    with pytest.raises(UsageError, match="no word to look for"), _steer(words=(" ",)).applied(lm):
        pass
