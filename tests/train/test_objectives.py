"""Unlearning's objectives against slow and obvious ones: values, gradients, what is predicted from what."""

from __future__ import annotations

import copy

import pytest
import torch

from evenhand.core.errors import CannotRun, UsageError
from evenhand.lm.model import LM
from evenhand.testing.tiny import tiny_lm
from evenhand.train.objectives import FALL, FORGET, KL, NLL, Terms, Unlearning, passages, retained
from evenhand.train.schedule import drawn
from oracles import unlearning as oracle

TEXTS = ("Hatred of lamps is dull.", "She sold $120 lamps, all broken.", "The bicycle was late.")
SPANS = (((0, 6), (19, 23)), ((9, 13), (25, 31)), ((4, 11),))
RETAIN = ("The teacher gave every child two apples.", "Yes.")
NOW = {"gpt2": oracle.causal, "bert": oracle.masked}


def _changed(lm: LM) -> LM:
    """The model after some training: reference and model differ."""
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in lm.model.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=draw)
    return lm


def _terms(lm: LM, objective: Unlearning, size: int) -> dict[str, tuple[float, torch.Tensor]]:
    return objective.terms(lm, 0, torch.Generator())


@pytest.mark.parametrize("family", ["gpt2", "bert"])
@pytest.mark.parametrize("formula", ["ascent", "wga", "npo", "simnpo"])
def test_the_forget_term_and_its_gradient_are_those_of_the_formula(family: str, formula: str) -> None:
    lm = tiny_lm(family)
    terms = Terms(formula, beta=0.7, gamma=0.3)
    objective = Unlearning(lm, passages(lm, TEXTS, SPANS), [], terms, 3, 0)
    with torch.no_grad():
        before = [NOW[family](lm, *each) for each in zip(TEXTS, SPANS, strict=True)]
    _changed(lm)
    found = _terms(lm, objective, 3)
    now = [NOW[family](lm, *each) for each in zip(TEXTS, SPANS, strict=True)]
    wanted = sum(oracle.forget(formula, a, b, 0.7, 0.3) for a, b in zip(now, before, strict=True)) / 3
    assert found[FORGET][0] == 1.0
    assert found[FORGET][1].item() == pytest.approx(wanted.item(), rel=1e-4)
    fall = sum((sum(a) / len(a) - sum(b) / len(b)).item() for a, b in zip(now, before, strict=True)) / 3
    assert found[FALL][0] == 0.0
    assert float(found[FALL][1]) == pytest.approx(fall, rel=1e-3, abs=1e-5)
    some = [p for p in lm.model.parameters() if p.ndim == 2][1]
    ours, theirs = (torch.autograd.grad(each, some)[0].double() for each in (found[FORGET][1], wanted))
    assert float((ours - theirs).norm()) < 1e-3 * float(theirs.norm())


def test_the_retain_terms_are_means_over_tokens_and_each_stands_for_itself() -> None:
    lm = tiny_lm("gpt2")
    before = copy.deepcopy(lm.model)
    objective = Unlearning(lm, passages(lm, TEXTS, SPANS), retained(lm, RETAIN, 0), Terms(nll=0.5, kl=2.0), 2, 0)
    _changed(lm)
    found = _terms(lm, objective, 2)
    sums = [oracle.retained(lm, before, text) for text in RETAIN]
    count = sum(each[2] for each in sums)
    assert set(found) == {FORGET, FALL, NLL, KL}
    assert (found[NLL][0], found[KL][0]) == (0.5, 2.0)
    assert found[NLL][1].item() == pytest.approx(sum(each[0] for each in sums).item() / count, rel=1e-4)
    assert found[KL][1].item() == pytest.approx(sum(each[1] for each in sums).item() / count, rel=1e-3)


def test_before_training_kl_is_zero_and_npo_is_at_its_known_start() -> None:
    lm = tiny_lm("bert")
    objective = Unlearning(
        lm, passages(lm, TEXTS, SPANS), retained(lm, RETAIN, 0), Terms("npo", beta=0.5, kl=1.0), 2, 0
    )
    found = objective.terms(lm, 3, torch.Generator())
    assert found[KL][1].item() == pytest.approx(0.0, abs=1e-6)
    assert found[FORGET][1].item() == pytest.approx(4 * 0.6931, rel=1e-3)


def test_the_first_token_of_a_text_can_be_unlearned() -> None:
    lm = tiny_lm("gpt2")
    (passage,) = passages(lm, ["Dull lamps."], [((0, 1),)])
    assert passage[0].ids == (lm.tokenizer.eos_token_id,)
    assert passage[0].targets == (lm.tokenizer("Dull lamps.")["input_ids"][0],)


def test_masked_models_never_see_another_part_of_a_selected_word() -> None:
    lm = tiny_lm("bert")
    text = TEXTS[0]
    ids, places = oracle.selected(lm, text, SPANS[0])
    ((line,),) = passages(lm, [text], [SPANS[0]])
    assert len(places) > 2
    assert line.at == tuple(places)
    assert [i for i, token in enumerate(line.ids) if token == lm.tokenizer.mask_token_id] == places
    whole = passages(lm, [text], [None])[0]
    assert len(whole) == len(ids) - 2
    assert all(each.ids.count(lm.tokenizer.mask_token_id) == 1 for each in whole)


def test_a_span_over_the_whole_text_is_masked_at_once() -> None:
    lm = tiny_lm("bert")
    ((line,),) = passages(lm, [TEXTS[2]], [((0, len(TEXTS[2])),)])
    mask = lm.tokenizer.mask_token_id
    assert line.ids == (lm.tokenizer.cls_token_id, *[mask] * len(line.at), lm.tokenizer.sep_token_id)
    assert list(line.targets) == lm.tokenizer(TEXTS[2])["input_ids"][1:-1]


def test_of_texts_to_retain_a_masked_model_has_to_find_fifteen_per_cent() -> None:
    lm = tiny_lm("bert")
    text = " ".join(TEXTS)
    ((line,),) = retained(lm, [text], 0)
    count = len(lm.tokenizer(text)["input_ids"]) - 2
    assert len(line.at) == round(0.15 * count) > 2
    assert line.ids.count(lm.tokenizer.mask_token_id) == len(line.at)


def test_a_text_longer_than_the_context_is_cut_to_it() -> None:
    for family in ("gpt2", "bert"):
        lm = tiny_lm(family)
        limit = lm.model.config.max_position_embeddings
        text = "lamp " * (limit + 50)
        last = 5 * (limit + 40)
        whole, far = passages(lm, [text] * 2, [((0, 4), (last, last + 4)), ((last, last + 4),)])
        assert far == ()
        ((line,), (kept,)) = whole, retained(lm, [text], 0)[0]
        assert line.targets == tuple(lm.tokenizer("lamp", add_special_tokens=False)["input_ids"])
        assert len(kept.ids) <= limit
        assert max(kept.at) < limit
        if family == "bert":
            assert len(line.ids) == len(kept.ids) == limit
            assert line.ids[-1] == kept.ids[-1] == lm.tokenizer.sep_token_id
        else:
            assert len(kept.targets) == limit - 1


def test_texts_to_forget_and_to_retain_are_drawn_in_orders_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    lm, orders = tiny_lm("gpt2"), list[list[int]]()

    def spy(count: int, size: int, step: int, seed: int) -> list[int]:
        orders.append(drawn(count, size, step, seed))
        return orders[-1]

    monkeypatch.setattr("evenhand.train.objectives.drawn", spy)
    texts = [f"{text} {i}" for i in range(4) for text in TEXTS]
    objective = Unlearning(lm, passages(lm, texts, [None] * 12), retained(lm, texts, 0), Terms(nll=1.0), 12, 0)
    _terms(lm, objective, 12)
    forget, retain = orders
    assert sorted(forget) == sorted(retain) == list(range(12))
    assert forget != retain


def test_all_tokens_are_selected_where_no_spans_are_told_and_none_where_there_are_none() -> None:
    lm = tiny_lm("gpt2")
    whole, none = passages(lm, [TEXTS[0]] * 2, [None, ()])
    assert whole[0].targets == tuple(lm.tokenizer(TEXTS[0])["input_ids"])
    assert none == ()


def test_what_cannot_be_unlearned_is_refused() -> None:
    lm = tiny_lm("gpt2")
    with pytest.raises(CannotRun, match="encoder–decoder"):
        passages(tiny_lm("t5"), TEXTS, SPANS)
    with pytest.raises(UsageError, match="no token is selected"):
        Unlearning(lm, [], [], Terms(), 1, 0)
    with pytest.raises(UsageError, match="texts to retain"):
        Unlearning(lm, passages(lm, TEXTS, SPANS), [], Terms(kl=1.0), 1, 0)


def test_the_digest_follows_everything_it_depends_on() -> None:
    lm = tiny_lm("gpt2")
    some = passages(lm, TEXTS, SPANS)
    made = [
        Unlearning(lm, some, [], Terms(), 1, 0),
        Unlearning(lm, some[:2], [], Terms(), 1, 0),
        Unlearning(lm, some, [], Terms("npo"), 1, 0),
        Unlearning(lm, some, [], Terms(), 2, 0),
        Unlearning(lm, some, [], Terms(), 1, 1),
    ]
    assert len({each.digest() for each in made}) == len(made)
    assert made[0].digest() == Unlearning(lm, passages(lm, TEXTS, SPANS), [], Terms(), 1, 0).digest()
