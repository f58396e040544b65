"""Our scores of options beside lm-eval's of the same rows: equal, or different for one of two reasons, each shown.

Why they differ there: docs/decisions/0009.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from agreement.outside import OutsideScores
from evenhand.core.readout import Readout
from evenhand.lm.batches.logits import context_length
from evenhand.lm.load import load
from evenhand.lm.model import LM

MODELS = ("stories260K", "tinystories-656k", "gpt2")


def loaded(name: str, models_dir: Path, folder: Path) -> LM:
    """Return a real model, or a random one with GPT-2's tokenizer (which adds no start token) and a long context."""
    if name != "gpt2":
        return load(models_dir / name)
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(n_positions=2048, n_embd=32, n_layer=2, n_head=2)).save_pretrained(folder / name)
    AutoTokenizer.from_pretrained(models_dir / "tokenizers" / "gpt2").save_pretrained(folder / name)
    return load(folder / name)


def compare(lm: LM, ours: Readout, theirs: OutsideScores) -> dict[str, int]:
    """Check every option of every row; return how many are equal, `crossed` and `cut`.

    `crossed`: a token covers the end of the context and the start of the option, as ": " is one in one of the
    tokenizers. lm-eval feeds the context's own tokens and scores what the whole has beyond their number; we feed the
    tokens of the whole and score those that reach past the context. `cut`: context and option are longer than the model
    sees; lm-eval drops the first tokens, we leave the case undefined.
    """
    counts = {"equal": 0, "crossed": 0, "cut": 0}
    assert len(ours) == len(theirs.items)
    limit = context_length(lm)
    assert limit is not None
    for row, (case, item) in enumerate(zip(ours.cases, theirs.items, strict=True)):
        assert item.requests == tuple((case.prompt, option) for option in case.options)
        before = _ids(lm, case.prompt)
        wholes = [_ids(lm, case.prompt + option) for option in case.options]
        fits = max(map(len, wholes)) - 1 <= limit
        for number, (option, whole) in enumerate(zip(case.options, wholes, strict=True)):
            our, their = float(ours.arrays["logp"][row, number]), item.logp[number]
            same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, whole, strict=False)))
            if not fits:
                counts["cut"] += 1
                assert our != our
                assert not bool(ours.defined[row])
                kept = [*before, *whole[len(before) :]][-(limit + 1) :]
                after = len(whole) - len(before)
                assert their == pytest.approx(_plain(lm, kept[:-after], kept[-after:]), abs=1e-4)
            elif same < len(before):
                counts["crossed"] += 1
                assert their == pytest.approx(_plain(lm, before, whole[len(before) :]), abs=1e-4)
                first = len(whole) - int(ours.arrays["tokens"][row, number])
                assert first >= same
                assert _letters(option) in _letters(lm.tokenizer.decode(whole[first:]))
                assert our == pytest.approx(_plain(lm, whole[:first], whole[first:]), abs=1e-4)
            else:
                counts["equal"] += 1
                assert our == pytest.approx(their, abs=1e-4)
                assert int(ours.arrays["tokens"][row, number]) == item.tokens[number]
    return counts


def _letters(text: str) -> str:
    """Without what some tokenizers drop: brackets, signs."""
    return re.sub(r"\W", "", text)


def _ids(lm: LM, text: str) -> list[int]:
    return lm.tokenizer(text)["input_ids"]


def _plain(lm: LM, before: Sequence[int], after: Sequence[int]) -> float:
    """Log-likelihood of these tokens after those, in one plain forward pass."""
    with torch.no_grad():
        table = lm.model(torch.tensor([[*before, *after][:-1]])).logits[0].log_softmax(-1)
    return sum(float(table[len(before) + i - 1, token]) for i, token in enumerate(after))
