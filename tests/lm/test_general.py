"""The general-neuron guard on a model whose sinks, massive and damaging units were made by hand."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.component import Selection
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.general import Generality, Limits
from evenhand.core.scenario import Context, Scenario
from evenhand.lm.attribution.general import Guard
from evenhand.lm.load import load
from evenhand.lm.model import LM
from evenhand.lm.scoring.forward import score_texts
from evenhand.planted import model_path, truth
from evenhand.scenarios._load import load_scenario
from evenhand.testing.conformance import untouched
from evenhand.testing.tiny import tiny_lm

TEXTS = ("The teacher gave every child two apples and a yellow pencil", "The doctor asked for a bus and she was late",
         "The answer is fifteen dollars, not two; it is a lamp, a car and a bicycle")  # fmt: skip
FIRST, COMMA, ALWAYS, SINK = 31, 30, 29, 28
"""Coordinates of the stream that nothing random writes or reads: marks of tokens, and where neurons write unread."""
UNITS = {"first": 5, "delimiter": 6, "massive": 7, "damaging": 8, "harmless": 9, "silent": 10}
LAYER, WIDTH = 1, 48


def utility() -> Scenario:
    cases = tuple(Case(str(i), text, "text", cluster=str(i)) for i, text in enumerate(TEXTS))
    return Scenario("texts", cases, (Context("text", "sentence"),))


@pytest.fixture(scope="module")
def lm() -> LM:
    return _made(torch.float32)


def _made(dtype: torch.dtype) -> LM:
    made = tiny_lm("llama", dtype=dtype)
    body: Any = made.model.model
    own = [FIRST, COMMA, ALWAYS, SINK]
    with torch.no_grad():
        for block in body.layers:
            attention, mlp = block.self_attn, block.mlp
            for reader in (attention.q_proj, attention.k_proj, attention.v_proj, mlp.gate_proj, mlp.up_proj):
                reader.weight[:, own] = 0.0
            for writer in (attention.o_proj, mlp.down_proj):
                writer.weight[own] = 0.0
        made.model.lm_head.weight[:, own] = 0.0
        table = body.embed_tokens.weight
        table[:, own] = 0.0
        table[:, ALWAYS] = 0.5
        table[token(made, "The"), FIRST] = 0.5
        for sign in (",", ";"):
            table[token(made, sign), COMMA] = 0.5
        mlp = body.layers[LAYER].mlp
        make(mlp, UNITS["first"], FIRST, sensitive=1.0, writes=0.01)
        make(mlp, UNITS["delimiter"], COMMA, sensitive=1.0, writes=0.01)
        make(mlp, UNITS["massive"], ALWAYS, sensitive=40.0, writes=1e-7)
        make(mlp, UNITS["harmless"], ALWAYS, sensitive=1.0, writes=0.01)
        make(mlp, UNITS["damaging"], ALWAYS, sensitive=1.0, writes=0.01)
        mlp.down_proj.weight[:SINK, UNITS["damaging"]] = 4 * torch.randn(
            SINK, generator=torch.Generator().manual_seed(0)
        )
        make(mlp, UNITS["silent"], FIRST, sensitive=0.0, writes=1.0)
    return made


def token(lm: LM, text: str) -> int:
    return lm.tokenizer(text)["input_ids"][0]


def make(mlp: Any, unit: int, reads: int, sensitive: float, writes: float) -> None:
    """Let a neuron fire where the mark is, and write where nothing reads."""
    for reader in (mlp.gate_proj, mlp.up_proj):
        reader.weight[unit] = 0.0
        reader.weight[unit, reads] = sensitive
    mlp.down_proj.weight[:, unit] = 0.0
    mlp.down_proj.weight[SINK, unit] = writes


def checked(lm: LM, guard: Guard = Guard()) -> dict[str, Generality]:
    names = {LAYER * WIDTH + unit: name for name, unit in UNITS.items()}
    found = guard.check(lm, Selection.of(lm.layout("neuron"), list(names)), utility())
    return {names[one.unit]: one for one in found}


def test_each_reason_is_given_for_the_unit_that_has_it_and_for_no_other(lm: LM) -> None:
    with untouched(lm, "the guard"):
        found = checked(lm)
    said = {name: "; ".join(one.reasons) for name, one in found.items()}
    assert said["harmless"] == said["silent"] == ""
    assert "on the first token and 0% on delimiters" in said["first"]
    assert said["first"].startswith("100%")
    assert said["delimiter"] == "0% of its activation is on the first token and 100% on delimiters"
    assert said["massive"].startswith("its largest activation is")
    assert said["damaging"].startswith("neutral text moves by")
    assert all(len(found[name].reasons) == 1 for name in ("first", "delimiter", "massive", "damaging"))
    assert found["massive"].largest > 100 > 10 > found["harmless"].largest
    assert found["damaging"].place == "decoder.1 neuron 8"


def test_damage_is_that_of_switching_the_unit_off_in_the_weights(lm: LM) -> None:
    found = checked(lm)["damaging"]
    (base,) = score_texts(lm, TEXTS)
    column = lm.model.model.layers[LAYER].mlp.down_proj.weight.data[:, UNITS["damaging"]]
    kept = column.clone()
    column.zero_()
    (without,) = score_texts(lm, TEXTS)
    column.copy_(kept)
    rise = float((base.logp - without.logp).sum() / base.tokens.sum())
    assert found.loss == pytest.approx(rise, abs=1e-5)
    assert found.divergence > 0.1


def test_a_silent_unit_has_no_shares_and_moves_nothing(lm: LM) -> None:
    silent = checked(lm)["silent"]
    assert silent.first != silent.first
    assert (silent.divergence, silent.largest) == (0.0, 0.0)


def test_limits_are_settings_and_the_same_seed_says_the_same(lm: LM) -> None:
    lax = Guard(quantile=0.0, sinks=1.0, massive=1e9)
    assert {name: bool(one.reasons) for name, one in checked(lm, lax).items()}["massive"] is False
    assert checked(lm, lax)["first"].reasons == ()
    few = Guard(randoms=20, seed=3)
    assert [one.reasons for one in checked(lm, few).values()] == [one.reasons for one in checked(lm, few).values()]


def test_what_random_units_do_not_do_is_general_only_above_the_least_damage(lm: LM) -> None:
    damage = checked(lm)["damaging"].divergence
    just, above = Guard(least=0.9 * damage), Guard(least=1.1 * damage)
    (reason,) = checked(lm, just)["damaging"].reasons
    assert re.fullmatch(rf"neutral text moves by {damage:.2g} nats .* above {0.9 * damage:.2g} and the .*", reason)
    assert checked(lm, above)["damaging"].reasons == ()
    assert checked(lm, above)["first"].reasons != (), "the other reasons stand by themselves"


def test_no_planted_carrier_is_general_though_random_units_do_less() -> None:
    planted, carriers = load(model_path()), truth().carriers("loan")
    assert carriers is not None
    texts = load_scenario("planted_text").part("fit")
    found = Guard(least=0.0).check(planted, carriers, texts)
    assert sum("of random units" in "; ".join(one.reasons) for one in found) >= 2
    assert 0.002 < max(one.divergence for one in found) < 0.01
    default = Guard()
    limits = Limits(0.0, default.least, default.sinks, default.massive)
    assert [one.judged(limits) for one in found] == [()] * len(carriers), "even where random units do nothing"


def test_too_few_random_units_for_the_quantile_are_told_once(lm: LM) -> None:
    told: list[str] = []
    heard = dataclasses.replace(lm, notify=told.append)
    checked(heard, Guard(randoms=10))
    assert len(told) == 1
    assert re.match(r"general units: the damage of only 1\d random units is known \(of 10 asked for", told[0])
    assert told[0].endswith("so that the 0.99 quantile is the largest of them")
    for enough in (Guard(randoms=10, quantile=0.9), Guard(randoms=10, quantile=1.0)):
        checked(heard, enough)
    assert len(told) == 1


def test_the_quantile_is_of_damages_as_they_are() -> None:
    quiet = tiny_lm("llama")
    damage = torch.arange(1.0, 101.0, dtype=torch.float64).flip(0)
    assert [Guard(quantile=q)._limit(quiet, damage) for q in (0.0, 0.5, 0.99, 1.0)] == [1.0, 50.0, 99.0, 100.0]
    assert math.isnan(Guard()._limit(quiet, damage[:0]))


def test_undefined_damage_is_above_every_limit_and_an_undefined_share_is_no_reason() -> None:
    nan, inf = float("nan"), float("inf")
    assert Generality(0, "here", 0.0, nan, nan, nan, nan).judged(Limits(0.0, 0.0, 0.0, 0.0)) == ()
    for damage in (nan, inf):
        (reason,) = Generality(0, "here", damage, nan, nan, nan, nan).judged(Limits(inf, inf, 0.0, 0.0))
        assert reason.endswith("in neutral text is undefined (numbers overflow)")


def test_a_unit_without_which_numbers_overflow_is_general_and_hides_no_other() -> None:
    """Two neurons that write huge numbers cancel; half precision cannot hold what one of them writes alone."""
    half = _made(torch.float16)
    mlp: Any = half.model.model.layers[LAYER].mlp
    with torch.no_grad():
        for unit, writes in ((0, 30000.0), (1, -30000.0)):
            make(mlp, unit, ALWAYS, sensitive=8.0, writes=writes)
    units = Selection.of(half.layout("neuron"), [LAYER * WIDTH + unit for unit in (0, UNITS["damaging"], 9)])
    alone, damaging, harmless = Guard(randoms=WIDTH).check(half, units, utility())
    assert math.isnan(alone.divergence)
    assert alone.reasons[0].startswith("without it what the model predicts in neutral text is undefined")
    assert damaging.reasons[0].startswith("neutral text moves by"), "the other of the two is among the random units"
    assert harmless.reasons == ()


def test_a_model_that_predicts_nothing_on_the_texts_is_refused() -> None:
    broken = _made(torch.float16)
    with torch.no_grad():
        broken.model.model.embed_tokens.weight.fill_(float("inf"))
    with pytest.raises(CannotRun, match="predicts no token of the neutral texts"):
        Guard(randoms=20).check(broken, Selection.of(broken.layout("neuron"), [0]), utility())


def test_neutral_text_is_needed(lm: LM) -> None:
    units = Selection.of(lm.layout("neuron"), [0])
    with pytest.raises(UsageError, match="no running text"):
        Guard().check(lm, units, Scenario("none", (), ()))
    assert Guard().check(lm, Selection.of(lm.layout("neuron"), []), utility()) == []


@pytest.mark.parametrize("family", ["gpt2", "opt", "bert", "t5"])
@pytest.mark.parametrize("space", ["neuron", "head"])
def test_every_family_and_both_spaces_are_read(family: str, space: Any) -> None:
    other = tiny_lm(family)
    layout = other.layout(space)
    few = Scenario("few", (Case("0", "She said 3.", "text"),), (Context("text", "sentence"),))
    found = Guard(randoms=4).check(other, Selection.of(layout, [0, 3, layout.size - 1]), few)
    assert [one.unit for one in found] == [0, 3, layout.size - 1]
    assert all(0 <= one.first + one.delimiters <= 1 + 1e-9 for one in found)
    assert found[-1].divergence > 0
    assert min(one.first + one.delimiters for one in found) < 1
