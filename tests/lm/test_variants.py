"""Variants side by side in one batch equal re-applying weights one by one; KL is what it says."""

from __future__ import annotations

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.component import Selection, Space
from evenhand.core.errors import UsageError
from evenhand.edits.scale import Scale
from evenhand.lm.batches.prefix import Prefix
from evenhand.lm.batches.variants import RowMasks, Variant
from evenhand.lm.model import LM
from evenhand.lm.scoring.forward import next_token, score_options, score_texts
from evenhand.lm.tokens import encode
from evenhand.testing.tiny import CAUSAL_NAMES, FAMILY_NAMES, MOE_NAMES, SENTENCES, tiny_lm
from oracles import plain_scoring as oracle

CASES = [
    Case("0", "How many dollars should I offer? I would offer $", "c", options=("120", "1,250", "a lamp")),
    Case("1", "She sold", "c", options=(" $120", " nothing")),
    Case("2", "", "c", options=("She sold the car.", "He sold the car for $34.")),
]
PAIRS: list[tuple[str, Space]] = [(name, space) for name in FAMILY_NAMES for space in ("neuron", "head")]
PAIRS += [(name, "row") for name in FAMILY_NAMES] + [("llama", "value"), ("t5", "value")]


def _variants(lm: LM, space: Space) -> list[Variant | None]:
    layout = lm.layout(space)
    generator = torch.Generator().manual_seed(1)
    few = [Selection.where(layout, torch.rand(layout.size, generator=generator) < share) for share in (0.1, 0.4)]
    return [None, Variant(few[0]), Variant(few[1], 0.3), Variant(few[0] | few[1])]


def _everything(lm: LM, variants: list[Variant | None]) -> list[torch.Tensor]:
    """All numbers of each variant as one vector."""
    options = [torch.cat(scores) for scores in score_options(lm, CASES, variants)]
    texts = [torch.cat(scores.logp_tokens) for scores in score_texts(lm, SENTENCES, variants)]
    return [torch.cat(parts) for parts in zip(options, texts, strict=True)]


@pytest.mark.parametrize(("name", "space"), [*PAIRS, *((name, "head") for name in MOE_NAMES)])
def test_variants_equal_weights_edited_one_by_one(name: str, space: Space) -> None:
    lm = tiny_lm(name)
    variants = _variants(lm, space)
    together = _everything(lm, variants)
    plain = _everything(lm, [None])[0]
    largest = 0.0
    for variant, ours in zip(variants, together, strict=True):
        if variant is None:
            assert torch.allclose(ours, plain, atol=1e-5, rtol=1e-6)
            continue
        with Scale(variant.selection, variant.factor).applied(lm):
            (alone,) = _everything(lm, [None])
        largest = max(largest, float((ours - alone).abs().max()))
        assert torch.allclose(ours, alone, atol=1e-5, rtol=1e-6)
        assert not torch.allclose(ours, plain, atol=1e-3, rtol=0)
    print(f"{name}, {space}: masks and edited weights differ by at most {largest:.1e}")  # noqa: T201
    assert torch.equal(plain, _everything(lm, [None])[0])


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_blocks_that_no_variant_changes_run_once_for_each_text(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same numbers as when every row runs through every block, and fewer rows through the first ones."""
    lm = tiny_lm(name)
    layout, last = lm.layout("neuron"), lm.layout("neuron").starts()[-1]
    variants: list[Variant | None] = [
        None,
        *(Variant(Selection.of(layout, list(range(last, last + n)))) for n in (1, 3, 9)),
    ]
    rows = [0, 0]
    for count, site in enumerate((layout.sites[0], layout.sites[-1])):
        lm.module(site.path).register_forward_hook(
            lambda module, args, output, count=count: rows.__setitem__(count, rows[count] + output.numel())
        )
    ours = _everything(lm, variants)
    first, later = rows
    assert 0 < first < later
    monkeypatch.setattr(RowMasks, "start", lambda self, which: 0)
    for one, other in zip(ours, _everything(lm, variants), strict=True):
        assert torch.allclose(one, other, atol=1e-5, rtol=1e-6)
    assert rows[0] - first > first


@pytest.mark.parametrize("name", [*CAUSAL_NAMES, "t5"])
def test_prefixes_take_one_variant_per_row(name: str) -> None:
    lm = tiny_lm(name)
    variants = _variants(lm, "neuron")
    ids = encode(lm, CASES[0].prompt).ids
    prefix = Prefix.open(lm, [ids] * 4, variants)
    after = prefix.extend([0, 1, 2, 3], [(7, 8)] * 4)
    for i, variant in enumerate(variants):
        alone = Prefix.open(lm, [ids], [variant])
        assert torch.allclose(prefix.logp[i], alone.logp[0], atol=1e-5, rtol=0)
        assert torch.allclose(after[i], alone.extend([0], [(7, 8)])[0], atol=1e-5, rtol=0)
    assert len({float(row[0]) for row in after}) == 4
    texts = torch.stack(next_token(lm, [CASES[0].prompt], variants))[:, 0]
    assert torch.allclose(texts, prefix.logp, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", CAUSAL_NAMES)
def test_divergence_equals_a_plain_one_and_is_zero_for_no_change(name: str) -> None:
    lm = tiny_lm(name)
    nothing = Selection.where(lm.layout("neuron"), torch.zeros(lm.layout("neuron").size, dtype=torch.bool))
    variants = [None, Variant(nothing), *_variants(lm, "neuron")[1:3]]
    for budget in (1 << 20, 60):
        lm.budget = budget
        base, same, pruned, scaled = score_texts(lm, SENTENCES[:2], variants)
        assert not base.kl.any()
        assert float(torch.cat(same.kl_tokens).max()) < 1e-5
        for scores, variant in ((pruned, variants[2]), (scaled, variants[3])):
            assert variant is not None
            edit = Scale(variant.selection, variant.factor)
            for i, sentence in enumerate(SENTENCES[:2]):
                expected = torch.tensor(oracle.divergence(lm, sentence, lambda edit=edit: edit.applied(lm)))
                assert torch.allclose(scores.kl_tokens[i], expected, atol=1e-5, rtol=1e-4)
                assert abs(float(scores.kl[i]) - float(expected.double().sum())) < 1e-3
                assert float(scores.kl[i]) > 0.01


@pytest.mark.parametrize("name", CAUSAL_NAMES)
def test_agreement_counts_places_with_the_same_likeliest_token(name: str) -> None:
    lm = tiny_lm(name)
    variants = [None, *_variants(lm, "neuron")[1:3]]
    found = score_texts(lm, SENTENCES[:2], variants)
    assert torch.equal(found[0].agree, found[0].tokens.double())
    ids = [encode(lm, sentence, whole=True).ids for sentence in SENTENCES[:2]]

    def likeliest() -> list[torch.Tensor]:
        with torch.no_grad():
            return [lm.model(input_ids=torch.tensor([each])).logits[0, :-1].argmax(-1) for each in ids]

    base = likeliest()
    for scores, variant in zip(found[1:], variants[1:], strict=True):
        assert variant is not None
        with Scale(variant.selection, variant.factor).applied(lm):
            edited = likeliest()
        same = [float((one == other).sum()) for one, other in zip(base, edited, strict=True)]
        assert scores.agree.tolist() == same
    assert float(found[1].agree.sum()) < float(found[0].agree.sum())


def test_without_the_unedited_model_nothing_changes() -> None:
    lm = tiny_lm("llama")
    variants = _variants(lm, "head")
    with_base, without = score_texts(lm, SENTENCES, variants)[1:], score_texts(lm, SENTENCES, variants[1:])
    for one, other in zip(with_base, without, strict=True):
        assert torch.equal(one.logp, other.logp)
        assert torch.equal(one.kl, other.kl)


def test_a_selection_of_another_model_is_refused() -> None:
    layout = tiny_lm("gpt2").layout("neuron")
    with pytest.raises(UsageError, match=r"transformer\.h\.0.*llama.*Use them on the model they were chosen in"):
        score_texts(tiny_lm("llama"), ["a text"], [Variant(Selection.of(layout, [0]))])


def test_no_hook_is_left_behind() -> None:
    lm = tiny_lm("opt")
    score_texts(lm, SENTENCES, _variants(lm, "neuron"))
    assert not any(module._forward_pre_hooks for module in lm.model.modules())
