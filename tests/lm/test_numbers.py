from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from evenhand.core import numeral
from evenhand.core.case import Case
from evenhand.core.component import Selection
from evenhand.core.errors import CannotRun
from evenhand.core.numeral import Ended
from evenhand.edits.scale import Scale
from evenhand.lm.batches.variants import Variant
from evenhand.lm.generation.generate import generate
from evenhand.lm.generation.numbers import Numbers, exact
from evenhand.lm.generation.numeral_tree import Limits
from evenhand.lm.generation.sampling import Sampling
from evenhand.lm.load import load
from evenhand.lm.model import LM
from evenhand.lm.tokens import encode, render
from evenhand.lm.vocabulary import OPAQUE, check_spells_numbers, vocabulary
from evenhand.planted import model_path
from evenhand.scenarios._load import load_scenario
from evenhand.testing.tiny import tiny_lm
from oracles.number_tree import enumerate_numbers


def few_tokens() -> Any:
    """Return a tokenizer with many ways to split a number: "12" beside "1" and "2", "2k" beside "2" and "k"."""
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    tokens = ["</s>", "1", "2", "12", "0", "00", ",0", ",", ".", " ", "$", "-", "k", "2k", "x", "$1", "2.", "5", "1x"]
    vocab = {token: i for i, token in enumerate(tokens)}
    core = Tokenizer(models.BPE(vocab=vocab, merges=[("$", "1"), ("1", "2"), (",", "0"), ("0", "0")]))
    core.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>", clean_up_tokenization_spaces=False)


@contextmanager
def leaning(lm: LM, towards: dict[str, float]) -> Iterator[None]:
    """Raise the logits of tokens whose text holds any of these characters."""
    bias = torch.tensor([max([0.0, *(w for c, w in towards.items() if c in text)]) for text in vocabulary(lm).texts])
    hook = lm.model.get_output_embeddings().register_forward_hook(lambda module, args, out: out + bias)
    try:
        yield
    finally:
        hook.remove()


def table(numbers: Numbers) -> dict[float, float]:
    return dict(zip(numbers.values.tolist(), numbers.masses.tolist(), strict=True))


def largest_z(lm: LM, prompt: str, sampling: Sampling) -> tuple[float, Numbers]:
    """Return the largest |z| between exact and sampled shares over the 20 likeliest values and not-a-number."""
    known = vocabulary(lm)
    answers = generate(lm, [Case(id="c", prompt=prompt, context="c")], sampling)[0]
    read = [numeral.read(known.pieces(a.tokens), a.ended) for a in answers]
    counts = Counter(r.value if isinstance(r, Ended) else "none" for r in read)
    numbers = exact(lm, [encode(lm, prompt).ids], sampling=sampling, limits=Limits(nodes=400))
    likeliest = sorted(table(numbers[0]).items(), key=lambda item: -item[1])[:20]
    n, worst = sampling.samples, 0.0
    for key, p in [*likeliest, ("none", numbers[0].not_number)]:
        near = min(max(counts[key] / n, p), p + numbers[0].open)
        worst = max(worst, abs(counts[key] - n * near) / math.sqrt(n * near * (1 - near) + 1e-9))
    return worst, numbers[0]


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_equals_enumeration_of_every_tokenisation(family: str) -> None:
    lm = tiny_lm(family, tokenizer=few_tokens())
    prompt, longest = (14, 9), 3
    found, not_number, left = enumerate_numbers(
        lm.model, prompt, lm.tokenizer.convert_ids_to_tokens(range(19)), 0, longest
    )
    limits = Limits(open_share=1e-12, nodes=10**6, tokens=longest - 1, floor=0.0)
    numbers = exact(lm, [prompt], limits=limits)[0]
    assert numbers.not_number == pytest.approx(not_number, abs=1e-6)
    assert numbers.open == pytest.approx(left, abs=1e-6)
    assert table(numbers) == pytest.approx(found, abs=1e-6)
    assert numbers.found + numbers.not_number + numbers.open == pytest.approx(1, abs=1e-6)


def test_every_tokenisation_counts_and_not_only_the_canonical_one() -> None:
    lm = tiny_lm("llama", tokenizer=few_tokens())
    twelve = table(exact(lm, [(14,)], limits=Limits(nodes=300))[0])[12.0]
    stops = [lm.tokenizer.convert_tokens_to_ids(token) for token in ("</s>", "$", "-", "x", "$1")]

    def one_way(*tokens: int) -> float:
        ids = torch.tensor([[14, *tokens]])
        with torch.no_grad():
            p = lm.model(ids).logits[0].softmax(-1)
        path = math.prod(float(p[i, token]) for i, token in enumerate(tokens))
        return path * float(p[len(tokens), stops].sum())

    canonical, spelled = one_way(3), one_way(1, 2)
    assert canonical > 0
    assert spelled > 0
    assert twelve >= canonical + spelled


def test_open_mass_makes_quantiles_intervals_and_the_mean_undefined() -> None:
    lm = tiny_lm("llama", tokenizer=few_tokens())
    with leaning(lm, {"x": 3.5}):
        _check_bounds(lm)


def _check_bounds(lm: LM) -> None:
    closed = exact(lm, [(14,)], limits=Limits(open_share=1e-3, nodes=10**4))[0]
    assert closed.defined
    assert math.isfinite(closed.mean)
    assert math.isfinite(closed.sd)
    for nodes in (1, 2, 4):
        part = exact(lm, [(14,)], limits=Limits(nodes=nodes))[0]
        assert part.nodes <= nodes
        assert not part.defined, part.open
        assert math.isnan(part.mean)
        assert math.isnan(part.sd)
        for q in (0.05, 0.25, 0.5, 0.9):
            low, high = part.quantile_interval(q)
            inner = closed.quantile_interval(q)
            assert low <= inner[0] <= inner[1] <= high
        for value, mass in table(part).items():
            true = table(closed)[value]
            assert mass - 1e-6 <= true <= mass + part.open + 1e-6


def test_quantiles_of_a_closed_search_are_points() -> None:
    values, masses = (
        torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64),
        torch.tensor([0.2, 0.2, 0.1], dtype=torch.float64),
    )
    numbers = Numbers(values, masses, 0.5, 0.0, 3)
    assert numbers.quantile_interval(0.5) == (2.0, 2.0)
    assert numbers.quantile_interval(0.9) == (5.0, 5.0)
    assert numbers.mean == pytest.approx(2.2)
    none = Numbers(values[:0], masses[:0], 1.0, 0.0, 1)
    assert math.isnan(none.mean)
    assert all(map(math.isnan, none.quantile_interval(0.5)))
    some = Numbers(values, masses, 0.4, 0.1, 3)
    assert some.quantile_interval(0.1) == (-math.inf, 1.0)
    assert some.quantile_interval(0.9) == (5.0, math.inf)
    assert some.quantile_interval(0.5) == (1.0, 2.0)


def test_batches_and_company_do_not_matter() -> None:
    lm = tiny_lm("gpt2")
    prompts = [
        encode(lm, text).ids for text in ("I would offer", "It costs $", "No, the answer is", "She said 1", "He")
    ]
    with leaning(lm, dict.fromkeys("0123456789", 3.0)):
        together = exact(lm, prompts, limits=Limits(nodes=24))
        lm.budget = 24
        apart = exact(lm, prompts[::-1], limits=Limits(nodes=24))[::-1]
    for one, other in zip(together, apart, strict=True):
        assert table(one) == pytest.approx(table(other), abs=1e-5)
        assert one.nodes == other.nodes
        assert one.open == pytest.approx(other.open, abs=1e-5)


def test_variants_equal_applied_edits() -> None:
    lm = tiny_lm("llama")
    layout = lm.layout("neuron")
    picks = [None, Selection.of(layout, [0, 5, 60, 100]), Selection.of(layout, list(range(0, 144, 3)))]
    prompt = encode(lm, "How many dollars should I offer? $").ids
    limits = Limits(nodes=40)
    with leaning(lm, dict.fromkeys("0123456789", 2.0)):
        variants = [None if pick is None else Variant(pick, 0.5) for pick in picks]
        side_by_side = exact(lm, [prompt] * 3, variants, limits)
        for pick, numbers in zip(picks, side_by_side, strict=True):
            with Scale(Selection.of(layout, []) if pick is None else pick, 0.5).applied(lm):
                alone = exact(lm, [prompt], limits=limits)[0]
            assert table(numbers) == pytest.approx(table(alone), abs=1e-5)
    assert table(side_by_side[0]) != pytest.approx(table(side_by_side[2]), abs=1e-3)


def test_temperature_and_top_p_shape_the_search_as_they_shape_samples() -> None:
    lm = tiny_lm("gpt2")
    with leaning(lm, dict.fromkeys("0123456789", 2.0)):
        worst, numbers = largest_z(
            lm, "It costs $", Sampling(samples=1500, temperature=0.4, top_p=0.7, max_new_tokens=8)
        )
        greedy = exact(lm, [encode(lm, "It costs $").ids], sampling=Sampling(temperature=0.0))[0]
    assert worst <= 4
    assert numbers.found > 0.2
    assert sorted([*table(greedy).values(), greedy.not_number, greedy.open])[-1] == pytest.approx(1)


def test_a_broken_model_is_no_number() -> None:
    lm = tiny_lm("gpt2")
    with torch.no_grad():
        lm.model.transformer.ln_f.weight[0] = math.nan
    with pytest.raises(CannotRun, match="NaN"):
        exact(lm, [(7, 8)])


def test_masked_models_are_refused() -> None:
    with pytest.raises(CannotRun, match="masked model"):
        exact(tiny_lm("bert"), [(7, 8)])


@pytest.mark.models
@pytest.mark.parametrize("name", ["bert-base-uncased", "simplestories-4096"])
def test_tokenizers_that_cannot_spell_numbers_are_refused(models_dir: Path, name: str) -> None:
    lm = tiny_lm("llama", tokenizer=_tokenizer(models_dir, name))
    with pytest.raises(CannotRun, match=r"cannot spell numbers: '\$1,250' .* becomes '\$ 1"):
        exact(lm, [(7, 8)])


@pytest.mark.models
@pytest.mark.parametrize("name", ["gpt2", "gpt-neox", "phi-2", "falcon-tokenizer", "roberta-base", "t5-small"])
def test_tokenizers_that_can_are_not(models_dir: Path, name: str) -> None:
    lm = tiny_lm("t5" if name == "t5-small" else "llama", tokenizer=_tokenizer(models_dir, name))
    check_spells_numbers(lm)
    texts = vocabulary(lm).texts
    assert {str(d) for d in range(10)} <= set(texts)
    assert sum(any(c in "0123456789" for c in text) for text in texts) > 50
    assert all(texts)


@pytest.mark.models
def test_t5_digits_fused_with_currency_and_full_stops(models_dir: Path) -> None:
    lm = tiny_lm("t5", tokenizer=_tokenizer(models_dir, "t5-small"))
    assert {" $1", "5%", " 2018.", "3.5", ".00"} <= set(vocabulary(lm).texts)
    with leaning(lm, {"$": 2.0, "%": 2.0, "a": 1.0}):
        worst, numbers = largest_z(lm, "It costs", Sampling(samples=600, temperature=0.2, max_new_tokens=5))
    assert worst <= 4
    assert numbers.found > 0.1
    assert numbers.found + numbers.not_number + numbers.open == pytest.approx(1, abs=1e-6)


@pytest.mark.models
def test_byte_fallback_gives_a_second_token_for_each_digit(models_dir: Path) -> None:
    lm = load(models_dir / "stories260K")
    texts = vocabulary(lm).texts
    assert all(texts.count(str(digit)) >= 2 for digit in range(10))
    assert OPAQUE in texts


@pytest.mark.models
@pytest.mark.parametrize("name", ["tinystories-656k", "stories260K"])
@pytest.mark.parametrize("prompt", ["She was ", "Tom had $"])
def test_exact_and_sampled_agree_on_a_real_model(models_dir: Path, name: str, prompt: str) -> None:
    lm = load(models_dir / name)
    worst, numbers = largest_z(lm, prompt, Sampling(samples=1500, max_new_tokens=5))
    assert worst <= 4
    assert numbers.found > 0.003


@pytest.mark.parametrize("context", ["bicycle", "sport"])
def test_exact_and_sampled_agree_on_the_planted_model(context: str) -> None:
    lm = load(model_path())
    case = load_scenario("planted").only([context]).cases[0]
    worst, numbers = largest_z(lm, render(lm, case), Sampling(samples=1000, max_new_tokens=5))
    assert worst <= 4
    assert numbers.found > 0.95
    assert numbers.defined


def test_a_model_that_gives_no_numbers_ends_the_search_early() -> None:
    lm = tiny_lm("llama")
    with leaning(lm, {"e": 30.0}):
        numbers = exact(lm, [encode(lm, "He sold a").ids])[0]
    assert numbers.nodes < 20
    assert numbers.not_number > 0.999
    assert not numbers.defined


def test_exact_and_sampled_agree_on_a_random_model() -> None:
    lm = tiny_lm("llama")
    with leaning(lm, dict.fromkeys("0123456789", 2.0)):
        worst, numbers = largest_z(lm, "It costs $", Sampling(samples=1500, temperature=0.3, max_new_tokens=8))
    assert worst <= 4
    assert numbers.found > 0.2


def _tokenizer(models_dir: Path, name: str) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(models_dir / "tokenizers" / name, local_files_only=True)
