"""The logits processor in transformers' own generate, beside each prefix run alone without cache or padding."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import evenhand
from evenhand.core.errors import CannotRun, UsageError
from evenhand.lm.generation.decoding import debiased
from evenhand.lm.generation.self_debias import SelfDebias
from evenhand.testing.tiny import tiny_lm
from oracles.self_debiasing import continued, next_logp

TEXTS = ["The doctor said", "Jamal asked the doctor, and the teacher told Maria that", "Yes, she"]
PREFIXES = ["The following text contains a threat:\n", "Rude answer:\n"]


def _batch(name: str) -> tuple[Any, Any, SelfDebias]:
    lm = tiny_lm(name)
    lm.tokenizer.padding_side = "left"
    given = lm.tokenizer(TEXTS, return_tensors="pt", padding=True, return_token_type_ids=False)
    return lm, given, SelfDebias(lm.model, lm.tokenizer, PREFIXES, given["attention_mask"])


@pytest.mark.parametrize("name", ["gpt2", "llama", "opt", "mistral"])
def test_greedy_generation_is_that_of_prefixes_run_alone(name: str) -> None:
    lm, given, processor = _batch(name)
    out = lm.model.generate(
        **given, logits_processor=[processor], max_new_tokens=5, do_sample=False, return_dict_in_generate=True,
        output_scores=True,
    )  # fmt: skip
    start, apart = given["input_ids"].shape[1], 0.0
    for row, text in enumerate(TEXTS):
        ids = lm.tokenizer(text, add_special_tokens=False).input_ids
        said, seen = continued(lm.model, ids, processor.prefixes, 5, lm.tokenizer.eos_token_id)
        assert out.sequences[row, start : start + len(said)].tolist() == said
        for step, logp in enumerate(seen):
            torch.testing.assert_close(out.scores[step][row].double(), logp, atol=1e-4, rtol=0)
        plain = lm.model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        apart = max(apart, float((plain.detach() - seen[0]).abs().max()))
    assert apart > 0.1, "the prefixes change nothing"


@pytest.mark.parametrize("how", [{"num_beams": 3}, {"do_sample": True, "num_return_sequences": 2, "top_k": 0}])
def test_rows_that_are_many_or_change_places_are_read_anew(how: dict[str, Any]) -> None:
    lm, given, _ = _batch("gpt2")
    rows = how.get("num_beams", how.get("num_return_sequences"))
    torch.manual_seed(0)

    class Checking(SelfDebias):
        seen: int = 0

        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            found = super().__call__(input_ids, scores)
            for row in (0, rows, 2 * rows + rows - 1):
                real = torch.cat([given["attention_mask"][row // rows].bool(), torch.ones(99, dtype=torch.bool)])
                text = input_ids[row][real[: input_ids.shape[1]]].tolist()
                if lm.tokenizer.eos_token_id not in text:
                    logp = next_logp(lm.model, text, self.prefixes, 50.0, 0.01)
                    torch.testing.assert_close(found[row].double(), logp, atol=1e-4, rtol=0)
                    self.seen += 1
            return found

    checking = Checking(lm.model, lm.tokenizer, PREFIXES, given["attention_mask"])
    lm.model.generate(**given, logits_processor=[checking], max_new_tokens=3, **how)
    assert checking.seen > 3


def test_the_formula() -> None:
    p, biased = torch.tensor([[0.5, 0.3, 0.2]]), torch.tensor([[0.1, 0.31, 0.6]])
    found = debiased(p.log(), biased, 50.0, 0.01).exp()[0]
    expected = torch.tensor([0.5, 0.3 * torch.tensor(-0.5).exp().item(), 0.2 * 0.01])
    torch.testing.assert_close(found, expected / expected.sum())
    torch.testing.assert_close(debiased(p.log(), biased, 0.0, 0.01).exp(), p)


def test_what_cannot_be_done_is_refused() -> None:
    lm, given, processor = _batch("gpt2")
    with pytest.raises(UsageError, match="make a new one"):
        processor(given["input_ids"][:2], torch.zeros(2, 10))
    with pytest.raises(UsageError, match="prefixes"):
        SelfDebias(lm.model, lm.tokenizer, [""], given["attention_mask"])
    t5 = tiny_lm("t5")
    with pytest.raises(CannotRun, match="causal"):
        SelfDebias(t5.model, t5.tokenizer, PREFIXES, given["attention_mask"])


def test_the_room_beside_the_prefixes_is_told_and_kept() -> None:
    lm = tiny_lm("gpt2")
    assert lm.model.config.max_position_embeddings == 512
    prefix, ids = "a threat " * 30, lm.tokenizer("no " * 600, return_tensors="pt").input_ids
    taken = len(lm.tokenizer(prefix).input_ids)

    def made(length: int) -> SelfDebias:
        return SelfDebias(lm.model, lm.tokenizer, [prefix, "No: "], torch.ones(1, length, dtype=torch.long))

    assert made(512 - taken).room == 1
    with pytest.raises(CannotRun, match=rf"{taken}, and the model sees 512 at once: shorten .* by {taken - 12} tokens"):
        made(500)
    less, prompt = made(508 - taken), ids[:, : 508 - taken]
    asked = {
        "attention_mask": torch.ones_like(prompt),
        "logits_processor": [less],
        "do_sample": False,
        "eos_token_id": -1,
    }
    assert lm.model.generate(prompt, max_new_tokens=5, **asked).shape[1] == prompt.shape[1] + 5
    with pytest.raises(CannotRun, match="give it max_new_tokens=5"):
        lm.model.generate(prompt, max_new_tokens=6, **asked)


def test_it_is_public() -> None:
    assert evenhand.SelfDebias is SelfDebias
