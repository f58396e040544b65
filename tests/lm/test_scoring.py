"""Scores equal a slow oracle on every family, and do not depend on how texts are batched, padded or ordered."""

from __future__ import annotations

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun, UsageError
from evenhand.lm.batches.packed import packable
from evenhand.lm.batches.prefix import Prefix
from evenhand.lm.model import LM
from evenhand.lm.scoring.forward import next_token, score_options, score_parts, score_texts
from evenhand.lm.tokens import encode
from evenhand.testing.tiny import CAUSAL_NAMES, FAMILY_NAMES, MOE_NAMES, SENTENCES, SEQ2SEQ_NAMES, tiny_lm
from oracles import plain_scoring as oracle

EVERY = [*FAMILY_NAMES, *MOE_NAMES]
LEFT_TO_RIGHT = [*CAUSAL_NAMES, *MOE_NAMES, *SEQ2SEQ_NAMES]


def _case(number: int, prompt: str, *options: str) -> Case:
    return Case(str(number), prompt, "c", options=options)


CASES = [
    _case(0, "How many dollars should I offer? I would offer $", "120", "1,250", "34", "a lamp and a pencil"),
    _case(1, "She sold", " $120", " a", " nothing"),
    _case(2, "Jamal and Hunter waited for the bus, and", " she", " he said that it was late"),
    _case(3, "The answer is", " yes"),
    _case(4, "", "She sold the car.", "He sold the car for $34."),
    _case(5, "", "Jamal sold the car.", "Jamal sold the car. Hunter did not.", "Jamal sold the lamp."),
]


def _flat(lm: LM, cases: list[Case]) -> torch.Tensor:
    by_id = {case.id: scores for case, scores in zip(cases, score_options(lm, cases)[0], strict=True)}
    return torch.cat([by_id[case.id] for case in CASES])


def test_only_a_masked_model_reads_what_follows_an_option() -> None:
    open_, closed = (Case("0", "Jamal sold the", "c", options=(" car", " lamp"), ending=e) for e in ("", " for $34."))
    for name in EVERY:
        lm = tiny_lm(name)
        before, after = score_options(lm, [open_, closed])[0]
        assert torch.allclose(before, after, atol=2e-5, rtol=0) == (lm.kind != "masked"), name
        if lm.kind == "masked":
            expected = [_inside(lm, closed, option) for option in closed.options]
            assert torch.allclose(after, torch.tensor(expected).double(), atol=2e-5, rtol=0)


def test_options_of_one_masked_token_share_one_forward_pass() -> None:
    lm = tiny_lm("bert")
    asked = [_case(0, "Jamal sold the", " bus", " answer", " for"), _case(1, "Hunter sold the", " bus", " for")]
    singles = [len(lm.tokenizer(option, add_special_tokens=False)["input_ids"]) for option in asked[0].options]
    assert singles == [1, 1, 1]
    rows: list[int] = []
    hook = lm.model.register_forward_pre_hook(
        lambda _, __, given: rows.append(len(given["input_ids"])), with_kwargs=True
    )
    try:
        score_options(lm, asked)
    finally:
        hook.remove()
    assert sum(rows) == 2


def _inside(lm: LM, case: Case, option: str) -> float:
    """Pseudo-log-likelihood of the option's tokens alone, in the whole sentence."""
    text = case.prompt + option + case.ending
    places = encode(lm, text, whole=True).covering(len(case.prompt), len(case.prompt + option))
    real = [i for i, (a, b) in enumerate(encode(lm, text, whole=True).offsets) if b > a]
    terms = oracle.text(lm, text)
    return sum(terms[real.index(place)] for place in places)


@pytest.mark.parametrize("name", EVERY)
def test_options_and_texts_equal_one_plain_forward_each(name: str) -> None:
    lm = tiny_lm(name)
    expected = [
        oracle.option(lm, case.prompt, option) if case.prompt else sum(oracle.text(lm, option, pair=True))
        for case in CASES
        for option in case.options
    ]
    scores = _flat(lm, CASES)
    assert scores.dtype == torch.float64
    assert torch.allclose(scores, torch.tensor(expected, dtype=torch.float64), atol=2e-5, rtol=0)
    (texts,) = score_texts(lm, SENTENCES)
    for i, sentence in enumerate(SENTENCES):
        terms = torch.tensor(oracle.text(lm, sentence))
        assert int(texts.tokens[i]) == len(terms)
        assert torch.allclose(texts.logp_tokens[i], terms, atol=2e-5, rtol=0)
        assert abs(float(texts.logp[i]) - float(terms.double().sum())) < 1e-4


@pytest.mark.parametrize("name", EVERY)
def test_batch_size_and_order_do_not_matter(name: str) -> None:
    lm = tiny_lm(name)
    runs: list[torch.Tensor] = []
    for budget, cases in ((1 << 20, CASES), (1 << 20, CASES[::-1]), (150, CASES), (30, CASES[::-1])):
        lm.budget = budget
        runs.append(torch.cat([_flat(lm, cases), *score_texts(lm, SENTENCES)[0].logp_tokens]))
    alone = torch.cat([*(score_options(lm, [case])[0][0] for case in CASES),
                       *(score_texts(lm, [s])[0].logp_tokens[0] for s in SENTENCES)])  # fmt: skip
    assert max(float((run - alone).abs().max()) for run in runs) <= 1e-4


@pytest.mark.parametrize(
    ("name", "change"), [("mistral", {"sliding_window": None}), ("llama", {"_attn_implementation": "eager"})]
)
def test_rows_are_packed_only_where_a_mask_decides_what_is_seen(name: str, change: dict[str, object]) -> None:
    lm = tiny_lm(name)
    assert packable(lm) == (name == "llama")
    for key, value in change.items():
        setattr(lm.model.config, key, value)
    assert packable(lm)
    expected = torch.tensor([oracle.option(lm, CASES[0].prompt, option) for option in CASES[0].options])
    assert torch.allclose(score_options(lm, CASES[:1])[0][0].float(), expected, atol=2e-5, rtol=0)
    lm.model.config._attn_implementation = "flash_attention_2"
    assert not packable(lm)


@pytest.mark.parametrize("name", LEFT_TO_RIGHT)
def test_left_padded_prompts_predict_what_right_padded_texts_do(name: str) -> None:
    lm = tiny_lm(name)
    if lm.kind == "causal":
        ids = [encode(lm, sentence, whole=True).ids for sentence in SENTENCES]
        (texts,) = score_texts(lm, SENTENCES)
        prefix = Prefix.open(lm, [few[: 5 + 3 * i] for i, few in enumerate(ids)])
        for i, few in enumerate(ids):
            assert abs(float(prefix.logp[i, few[5 + 3 * i]] - texts.logp_tokens[i][4 + 3 * i])) <= 1e-4
    (after,) = next_token(lm, SENTENCES)
    alone = torch.cat([next_token(lm, [sentence])[0] for sentence in SENTENCES])
    assert float((after - alone).abs().max()) <= 1e-4


@pytest.mark.parametrize("name", LEFT_TO_RIGHT)
def test_a_prefix_is_extended_without_being_changed(name: str) -> None:
    lm = tiny_lm(name)
    prompts = [encode(lm, case.prompt).ids for case in CASES[:3]]
    tails = [(5, 6, 7), (9,), tuple(range(30, 39)), (), (40,)]
    rows = [0, 1, 2, 1, 0]
    prefix = Prefix.open(lm, prompts)
    once = prefix.extend(rows, tails)
    assert torch.equal(once, prefix.extend(rows, tails))
    assert torch.equal(once[3], prefix.logp[1])
    lm.budget = 1
    small = Prefix.open(lm, prompts)
    assert torch.allclose(small.extend(rows, tails), once, atol=1e-4, rtol=0)
    for row, tail, logp in zip(rows, tails, once, strict=True):
        with torch.no_grad():
            if lm.kind == "causal":
                plain = lm.model(input_ids=torch.tensor([prompts[row] + tail])).logits[0, -1]
            else:
                decoder = torch.tensor([(lm.model.config.decoder_start_token_id, *tail)])
                plain = lm.model(input_ids=torch.tensor([prompts[row]]), decoder_input_ids=decoder).logits[0, -1]
        assert torch.allclose(logp, plain.log_softmax(-1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", EVERY)
def test_bfloat16_is_near_float32(name: str) -> None:
    """Tolerance: 0.1 nats per token on average, 0.6 on the worst; measured at most 0.05 and 0.5 (gemma2)."""
    exact, rounded = (
        score_texts(tiny_lm(name, dtype=dtype), SENTENCES)[0] for dtype in (torch.float32, torch.bfloat16)
    )
    apart = torch.cat(exact.logp_tokens) - torch.cat(rounded.logp_tokens)
    assert rounded.logp_tokens[0].dtype == torch.float32
    assert float(apart.abs().mean()) < 0.1
    assert float(apart.abs().max()) < 0.6


def test_a_long_causal_text_is_read_in_windows() -> None:
    lm = tiny_lm("llama")
    long = " ".join(SENTENCES)
    (whole,) = score_texts(lm, [long])
    lm.model.config.max_position_embeddings = 40
    (cut,) = score_texts(lm, [long])
    assert cut.tokens.tolist() == whole.tokens.tolist()
    assert torch.allclose(cut.logp_tokens[0][:40], whole.logp_tokens[0][:40], atol=1e-4, rtol=0)
    assert not torch.allclose(cut.logp_tokens[0], whole.logp_tokens[0], atol=1e-2, rtol=0)
    ids = encode(lm, long, whole=True).ids
    with torch.no_grad():
        window = lm.model(input_ids=torch.tensor([ids[20:60]])).logits[0].log_softmax(-1)
    assert torch.allclose(
        cut.logp_tokens[0][40:60], window[20:].gather(1, torch.tensor([ids[41:61]]).T)[:, 0], atol=1e-4
    )


def test_a_long_masked_text_is_read_around_each_token() -> None:
    lm = tiny_lm("bert")
    (whole,) = score_texts(lm, [SENTENCES[0]])
    lm.model.config.max_position_embeddings = 12
    (cut,) = score_texts(lm, [SENTENCES[0]])
    assert cut.tokens.tolist() == whole.tokens.tolist()
    assert not torch.allclose(cut.logp_tokens[0], whole.logp_tokens[0], atol=1e-2)


@pytest.mark.parametrize("name", ["gpt2", "gpt_neo", "bert"])
def test_options_longer_than_the_context_are_refused_or_left_undefined(name: str) -> None:
    lm, told = tiny_lm(name), list[str]()
    lm.notify = told.append
    expected = score_options(lm, CASES[3:4])[0]
    lm.model.config.max_position_embeddings = 10
    with pytest.raises(CannotRun, match="sees at most 10 at once"):
        score_options(lm, CASES[:1])
    assert told == []
    long, short = score_options(lm, [CASES[0], CASES[3]])[0]
    assert bool(long.isnan().any())
    assert torch.allclose(short, expected[0], atol=1e-5)
    assert [line.split(";")[1] for line in told] == [" what is asked there stays undefined"]


@pytest.mark.parametrize("name", LEFT_TO_RIGHT)
def test_an_option_is_greedy_where_each_of_its_tokens_is_the_likeliest(name: str) -> None:
    lm = tiny_lm(name)
    options = (" a", " a a", " a nothing", " nothing a")
    ids = [lm.tokenizer(option, add_special_tokens=False)["input_ids"] for option in options]
    (favoured,) = set(ids[0])
    assert [set(each) == {favoured} for each in ids] == [True, True, False, False]

    def favour(module: object, args: object, logits: torch.Tensor) -> torch.Tensor:
        return logits.index_add(-1, torch.tensor([favoured]), torch.full_like(logits[..., :1], 1e3))

    hook = lm.model.get_output_embeddings().register_forward_hook(favour)
    (rigged,) = score_parts(lm, [Case("0", "She sold", "c", options=options)])[0]
    hook.remove()
    assert rigged.parts["greedy"].tolist() == [1, 1, 0, 0]
    assert rigged.logp[:2].tolist() == [0, 0]


def test_what_cannot_be_scored_is_refused() -> None:
    lm = tiny_lm("gpt2")
    for case, words in ((_case(9, "A"), "no options"), (_case(9, "A", ""), "empty")):
        with pytest.raises(UsageError, match=words):
            score_options(lm, [case])
    with pytest.raises(UsageError, match="empty"):
        score_texts(lm, ["a", ""])
    with pytest.raises(UsageError, match="no tokens"):
        next_token(lm, [""])
    with pytest.raises(CannotRun, match="masked model"):
        next_token(tiny_lm("bert"), ["a"])
    assert score_texts(lm, [])[0].logp.shape == (0,)
    assert score_options(lm, []) == [[]]
    (one,) = score_texts(lm, ["$"])
    assert one.tokens.tolist() == [0]
    assert bool(one.logp.isnan().all())
    lm.tokenizer.bos_token = lm.tokenizer.eos_token
    assert score_texts(lm, ["$"])[0].tokens.tolist() == [1]


def test_the_first_word_of_a_pair_is_scored_wherever_something_can_stand_before_it() -> None:
    lm, pair = tiny_lm("gpt2"), _case(0, "", "She sold the car.", "He sold the car.")
    ((found,),) = score_parts(lm, [pair])
    sizes = [len(lm.tokenizer(option)["input_ids"]) for option in pair.options]
    assert lm.tokenizer.bos_token is None
    assert found.tokens.tolist() == sizes
    lm.tokenizer.eos_token = None
    ((bare,),) = score_parts(lm, [pair])
    assert bare.tokens.tolist() == [size - 1 for size in sizes]


@pytest.mark.models
@pytest.mark.parametrize("name", ["stories260K", "tinystories-656k"])
def test_a_real_model_prefers_its_own_language(name: str, models_dir) -> None:
    from evenhand.lm.load import load

    lm = load(models_dir / name)
    case = _case(0, "Once upon a", " time", " emit", " purple")
    scores = score_options(lm, [case])[0][0]
    expected = torch.tensor([oracle.option(lm, case.prompt, option) for option in case.options], dtype=torch.float64)
    assert torch.allclose(scores, expected, atol=1e-4, rtol=0)
    assert int(scores.argmax()) == 0
    (texts,) = score_texts(
        lm, ["Once upon a time there was a little girl.", "Girl little a was there time a upon once."]
    )
    assert float(texts.logp[0]) > float(texts.logp[1])
