"""Steering prompts alone leaves answers and options as they are, however the model is run: against hooks by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun
from evenhand.core.scenario import Scenario
from evenhand.edits import _file
from evenhand.edits.steer import Steer
from evenhand.export.control_vector import write
from evenhand.lm.batches.logits import padded
from evenhand.lm.generation.decoding import decoded, decoding_of
from evenhand.lm.generation.generate import generate
from evenhand.lm.generation.sampling import Sampling
from evenhand.lm.model import LM
from evenhand.lm.scoring.forward import score_options, score_texts
from evenhand.lm.tokens import encode
from evenhand.methods.steering import Steering
from evenhand.testing.conformance import check_edit
from evenhand.testing.tiny import tiny_lm

WORDS = ("doctor", "Maria")
ALL = Steer((0, 1), 0.8 * torch.randn(2, 32, generator=torch.Generator().manual_seed(3)), prompt_only=True)
AT_WORDS = replace(ALL, words=WORDS)
# Prompts of several lengths; one goes on as an option of another does, so that both share tokens but not their part.
CASES = [
    Case("a", "Jamal asked the doctor", "x", options=(" said the doctor", " and Maria")),
    Case("b", "Jamal asked the doctor said the", "x", options=(" doctor told", " teacher")),
    Case("c", "The doctor", "x", options=(" doctor", " no doctor said so")),
    Case("d", "We know that Maria told the teacher of the doctor that Jamal", "x", options=(" left", " the doctor")),
]


@contextmanager
def _by_hand(lm: LM, edit: Steer, at: list[int]) -> Iterator[None]:
    """Add the vectors at these positions of the one sequence that is run."""
    handles: list[Any] = []
    for layer, vector in zip(edit.layers, edit.vectors, strict=True):

        def add(module: Any, args: Any, output: Any, vector: torch.Tensor = vector) -> Any:
            hidden = (output[0] if isinstance(output, tuple) else output).clone()
            hidden[:, at] += vector
            return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

        block = lm.module(lm.family.stacks[0].blocks.replace("#", str(layer)))
        handles.append(block.register_forward_hook(add))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _places(lm: LM, edit: Steer, text: str, option: tuple[int, int]) -> list[int]:
    """Tokens that should be steered: all, or the last ones of words, that end before the option or lie behind it."""
    encoded = encode(lm, text)
    outside = [i for i, (a, b) in enumerate(encoded.offsets) if b <= option[0] or a >= option[1]]
    if not edit.words:
        return outside
    found = re.finditer("|".join(edit.words), text)
    return [i for i in (encoded.covering(*match.span())[-1] for match in found) if i in outside]


def _wanted(lm: LM, edit: Steer, case: Case, option: str) -> float:
    """One sequence (of a masked model one per token), one pass, nothing shared."""
    text, span = case.prompt + option + case.ending, (len(case.prompt), len(case.prompt + option))
    encoded = encode(lm, text)
    total, ids = 0.0, torch.tensor([encoded.ids])
    with _by_hand(lm, edit, _places(lm, edit, text, span)), torch.no_grad():
        logp = lm.model(input_ids=ids).logits[0].log_softmax(-1) if lm.kind == "causal" else None
        for i in encoded.covering(*span):
            if logp is not None:
                total += float(logp[i - 1, encoded.ids[i]])
            else:
                hidden = ids.clone()
                hidden[0, i] = lm.tokenizer.mask_token_id
                total += float(lm.model(input_ids=hidden).logits[0].log_softmax(-1)[i, encoded.ids[i]])
    return total


@pytest.mark.parametrize("edit", [ALL, AT_WORDS], ids=["all tokens", "words"])
@pytest.mark.parametrize("name", ["llama", "gpt2", "mistral", "bert"])
def test_options_are_read_as_the_model_stands_behind_a_steered_prompt(name: str, edit: Steer) -> None:
    lm = tiny_lm(name)
    cases = [replace(case, ending=" today, doctor") for case in CASES] if lm.kind == "masked" else CASES
    with edit.applied(lm):
        found = torch.cat(score_options(lm, cases)[0]).float()
    wanted = torch.tensor([_wanted(lm, edit, case, option) for case in cases for option in case.options])
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-5)
    with replace(edit, prompt_only=False).applied(lm):
        everywhere = torch.cat(score_options(lm, cases)[0]).float()
    assert float((found - everywhere).abs().max()) > 1e-3


@pytest.mark.parametrize("edit", [ALL, AT_WORDS], ids=["all tokens", "words"])
@pytest.mark.parametrize("name", ["llama", "gpt2", "mistral"])
def test_answers_are_written_alike_with_and_without_cache_in_batches_padded_on_the_left(name: str, edit: Steer) -> None:
    lm = tiny_lm(name)
    cases = [Case(case.id, case.prompt, "x", "text") for case in CASES]
    encoded = [encode(lm, case.prompt).ids for case in cases]
    wanted: list[tuple[int, ...]] = []
    for case, ids in zip(cases, encoded, strict=True):
        text = list(ids)
        with _by_hand(lm, edit, _places(lm, edit, case.prompt, (len(case.prompt),) * 2)), torch.no_grad():
            for _ in range(6):
                text.append(int(lm.model(input_ids=torch.tensor([text])).logits[0, -1].argmax()))
        wanted.append(tuple(text[len(ids) :]))
    ids, mask = padded(lm, encoded, left=True)
    more = {"attention_mask": mask, "max_new_tokens": 6, "do_sample": False, "pad_token_id": 0, "eos_token_id": -1}
    with edit.applied(lm):
        ours = [each[0].tokens for each in generate(lm, cases, Sampling(temperature=0.0, max_new_tokens=6))]
        cached, again = (lm.model.generate(ids, use_cache=cache, **more) for cache in (True, False))
        beams = [lm.model.generate(input_ids=ids, num_beams=2, use_cache=cache, **more) for cache in (True, False)]
    assert [tuple(row) for row in cached[:, ids.shape[1] :].tolist()] == wanted
    assert torch.equal(cached, again)
    assert torch.equal(*beams)
    assert [each == whole[: len(each)] for each, whole in zip(ours, wanted, strict=True)] == [True] * len(wanted)
    assert "generate" not in vars(lm.model)


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_whole_texts_without_a_prompt_are_steered_whole(name: str) -> None:
    lm = tiny_lm(name)
    texts = [case.prompt for case in CASES]
    pair = [Case("s", "", "x", "pair", options=("The doctor said so.", "The doctor left Maria."))]
    found: list[list[torch.Tensor]] = []
    for edit in (AT_WORDS, replace(AT_WORDS, prompt_only=False)):
        with edit.applied(lm):
            found.append([score_texts(lm, texts)[0].logp, score_options(lm, pair)[0][0]])
    torch.testing.assert_close(found[0], found[1], atol=0.0, rtol=0.0)
    assert not torch.equal(found[0][0], score_texts(lm, texts)[0].logp)


def test_the_choice_is_saved_said_and_made_for_words(tmp_path: Path) -> None:
    lm = tiny_lm("gpt2")
    _file.save(AT_WORDS, tmp_path, lm.identity.to_json(), {})
    loaded = _file.load_edit(tmp_path, lm)
    assert isinstance(loaded, Steer)
    assert loaded.prompt_only
    assert "at the words doctor, Maria of prompts" in loaded.describe()
    old = {name: value for name, value in AT_WORDS.settings().items() if name != "prompt_only"}
    assert not Steer.restore(AT_WORDS.tensors(), old).prompt_only
    nothing = Scenario("none", (), ())
    texts = (("The people are black.", "The walls are black."),)
    for words, chosen, expected in (
        (("black",), None, True), (("black",), False, False), ((), None, False), ((), True, True),
    ):  # fmt: skip
        edit = Steering(contrast=texts, words=words, prompt_only=chosen).fit(lm, nothing, nothing)
        assert isinstance(edit, Steer)
        assert edit.prompt_only == expected


def test_what_cannot_be_said_or_known_is_refused(tmp_path: Path) -> None:
    lm = tiny_lm("gpt2")
    with pytest.raises(CannotRun, match="those of the answer too"):
        write(lm, replace(ALL, layers=(1, 2)), tmp_path / "v.gguf")
    decoding = decoding_of(lm, ["The following text is rude:"], 50.0, 0.01)
    with ALL.applied(lm), decoded(lm, decoding), pytest.raises(CannotRun, match="an edit of decoding reads texts anew"):
        score_options(lm, CASES)


@pytest.mark.parametrize("edit", [ALL, AT_WORDS], ids=["all tokens", "words"])
def test_the_laws_of_edits_hold(edit: Steer) -> None:
    check_edit(edit, tiny_lm("llama"), tuple(CASES))
