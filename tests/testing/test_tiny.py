from __future__ import annotations

import pytest
import torch

from evenhand.core.errors import UsageError
from evenhand.testing.tiny import FAMILY_NAMES, MOE_NAMES, tiny_lm, tiny_tokenizer


@pytest.mark.parametrize("name", [*FAMILY_NAMES, *MOE_NAMES])
def test_every_family_is_built_the_same_twice_and_leaves_the_random_state(name: str) -> None:
    before = torch.get_rng_state()
    one, two = tiny_lm(name), tiny_lm(name)
    other = tiny_lm(name, seed=1)
    assert torch.equal(before, torch.get_rng_state())
    pairs = list(zip(one.model.parameters(), two.model.parameters(), other.model.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert not any(torch.equal(a, c) for a, _, c in pairs)
    assert all(bool((p != 0).any()) for p in one.model.parameters())
    assert one.layout("head").size > 0


@pytest.mark.parametrize("name", ["gpt2", "bert", "t5"])
def test_the_tokenizer_spells_numbers_and_round_trips(name: str) -> None:
    tokenizer = tiny_tokenizer(name)
    for text in ("$1,250", " I paid 34.5% naïvely."):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text
    assert len(tokenizer.encode("1250", add_special_tokens=False)) == 4
    added = {"gpt2": 0, "bert": 2, "t5": 1}[name]
    assert len(tokenizer.encode("a")) == len(tokenizer.encode("a", add_special_tokens=False)) + added


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'llama'"):
        tiny_lm("lama")
