"""Unlearning: what is forgotten of each kind of scenario, what the guards do, and what the settings change."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.scenario import Context, Scenario
from evenhand.core.trained import TrainingRecord
from evenhand.edits.delta import Delta
from evenhand.edits.lora import Lora
from evenhand.lm.model import LM
from evenhand.lm.scoring.forward import score_options, score_texts
from evenhand.methods.unlearning import Unlearning
from evenhand.testing.tiny import tiny_lm
from evenhand.train.forget import forgettable
from evenhand.train.loop import train
from evenhand.train.objectives import FALL, FORGET, KL, NLL
from small_training import hate, utility


@pytest.fixture
def lm() -> LM:
    return tiny_lm("gpt2")


def _dull(lm: LM, item: str) -> float:
    """log p of the marked words of the hateful texts about a thing, in nats."""
    pairs = [(case.prompt[: case.spans[0][0] - 1], case.prompt[case.spans[0][0] - 1 : case.spans[0][1]])
             for case in hate().cases if case.spans and case.group == item]  # fmt: skip
    asked = [Case(str(i), prompt, "x", options=(option,), favourable=0) for i, (prompt, option) in enumerate(pairs)]
    return sum(float(each[0]) for each in score_options(lm, asked)[0])


@pytest.mark.parametrize("objective", ["ascent", "sequence", "graddiff", "kl", "npo", "simnpo", "wga"])
def test_every_objective_makes_the_words_less_likely_where_they_stand(objective: str, lm: LM) -> None:
    edit = Unlearning(objective=objective, steps=8, lr=2e-3, guards=False).fit(lm, hate(), utility())
    before = _dull(lm, "lamps")
    with edit.applied(lm):
        after = _dull(lm, "lamps")
    assert after < before - 0.02


@pytest.mark.parametrize(("steps", "warmup"), [(1, 4), (3, 4), (5, 0)])
def test_a_checkpoint_is_what_a_training_of_so_many_steps_gives(lm: LM, steps: int, warmup: int) -> None:
    method = Unlearning(steps=steps, lr=1e-3, warmup=warmup)
    short = method.fit(lm, hate(), utility())
    _, way, _ = method.path(lm, hate(), utility(), [0, steps, 8])
    assert isinstance(short, Delta)
    assert short.changes
    assert short.tensors().keys() == way.tensors().keys()
    assert all(torch.equal(value, way.tensors()[name]) for name, value in short.tensors().items())


def test_only_the_texts_of_the_named_groups_are_forgotten(lm: LM) -> None:
    found = forgettable(lm, hate(), ("lamps",))
    assert {case.group for case in found.cases} == {"lamps"}
    assert found.neutral == ("I own two lamps.", "The lamps are new.")
    assert len(forgettable(lm, hate(), ()).cases) == 6
    with pytest.raises(UsageError, match="no group 'lamp' to unlearn"):
        forgettable(lm, hate(), ("lamp",))


def test_of_pairs_the_first_sentence_is_forgotten_and_the_gap_is_how_much_likelier_it_is(lm: LM) -> None:
    texts = ("The lamps are very dull.", "The lamps are quite new.")
    blank = Case("0", "", "pairs", options=texts, spans=((19, 23), (20, 23)))
    bare = Case("1", "", "pairs", options=texts)
    found = forgettable(lm, Scenario("pairs", (blank, bare), (Context("pairs", "pair"),)), ())
    assert [[case.prompt[slice(*s)] for s in case.spans] for case in found.cases] == [["dull"], ["very", "dull"]]
    assert found.neutral == (texts[1],) * 2
    assert found.gap is not None
    first, second = (score_options(lm, [Case("", "", "pairs", options=(text,))])[0][0] for text in texts)
    assert found.gap(lm) == pytest.approx(float(first - second), rel=1e-4)


def test_of_choices_the_answer_that_a_group_is_given_too_readily_is_forgotten(lm: LM) -> None:
    cases = tuple(
        Case(f"{name}", f"Sell {name} the lamp? I say", "sale", group=group, cluster=name, name=name,
             options=(" yes", " no", " late"), favourable=0)
        for group, name in (("north", "Anna"), ("south", "Carla"))
    )  # fmt: skip
    found = forgettable(lm, Scenario("toy", cases, (Context("sale", "choice"),), ("north", "south")), ())
    scores = score_options(lm, cases)[0]
    odds = [float(each[0] - each[1:].mean()) for each in scores]
    high = int(odds[1] > odds[0])
    for i, case in enumerate(found.cases):
        said = case.prompt[slice(*case.spans[0])]
        assert case.prompt.startswith(cases[i].prompt)
        assert said == "yes" if i == high else said == ("no" if scores[i][1] > scores[i][2] else "late")
    assert found.gap is not None
    assert found.gap(lm) == pytest.approx(abs(odds[0] - odds[1]) / 2, rel=1e-4)
    with pytest.raises(UsageError, match="nothing to unlearn"):
        forgettable(lm, Scenario("toy", cases[:1], (Context("sale", "choice"),), ("north",)), ())


def _perplexity(lm: LM) -> float:
    (scores,) = score_texts(lm, [case.prompt for case in utility().cases][1::2])
    return math.exp(-float(scores.logp.sum() / scores.tokens.sum()))


def test_guards_stop_roll_back_and_say_why(lm: LM) -> None:
    told: list[str] = []
    lm.notify = told.append
    strong = Unlearning(steps=30, lr=5e-3, every=1, floor=50.0)
    few, guarded = strong.path(lm, hate(), utility(), [1, 30])
    (why,) = (line for line in told if "stopped" in line)
    assert why.startswith("unlearning: training stopped after")
    assert "perplexity" in why
    assert few.trained is not None
    assert guarded.trained is not None
    assert few.trained.reached == 1 < guarded.trained.reached < 30
    assert why.endswith(f"rolled back to step {guarded.trained.reached}, the last good one")
    before = _perplexity(lm)
    with guarded.applied(lm):
        assert before < _perplexity(lm) <= 1.05 * before
    with dataclasses.replace(strong, guards=False).fit(lm, hate(), utility()).applied(lm):
        assert _perplexity(lm) > 1.05 * before


def test_what_is_rolled_back_to_the_start_is_said_to_be_nothing(lm: LM) -> None:
    told: list[str] = []
    lm.notify = told.append
    edit = Unlearning(steps=30, lr=1e-1, every=1).fit(lm, hate(), utility())
    assert isinstance(edit, Delta)
    assert not edit.changes
    assert edit.trained is not None
    assert edit.trained.reached == 0
    assert told[-1] == f"unlearning: nothing was trained: {edit.trained.training.stopped}"
    assert "perplexity" in told[-1]
    assert told[-1].endswith("rolled back to the model before training")


def test_every_term_and_what_the_guards_saw_stay_with_the_edit(lm: LM) -> None:
    edit = Unlearning(objective="npo", nll=0.5, kl=2.0, steps=4, lr=1e-3, every=2, trained="lora").fit(
        lm, hate(), utility()
    )
    assert edit.trained is not None
    kept = edit.trained.training
    assert [line.step for line in kept.log] == [0, 1, 2, 3, 4]
    for line in kept.log:
        assert set(line.terms) == {FORGET, FALL, NLL, KL}
        assert line.total == pytest.approx(line.terms[FORGET] + 0.5 * line.terms[NLL] + 2 * line.terms[KL], rel=1e-4)
    assert all(line.norm > 0 and line.lr > 0 for line in kept.log[:-1])
    assert kept.log[-1].terms[KL] > kept.log[0].terms[KL]
    assert [look.step for look in kept.looks] == [0, 2, 4]
    assert all(look.numbers["retain perplexity"] > 1 for look in kept.looks)
    assert TrainingRecord.model_validate_json(kept.model_dump_json()).log[:-1] == kept.log[:-1]


def test_the_floor_ends_what_has_no_minimum(lm: LM) -> None:
    told: list[str] = []
    lm.notify = told.append
    Unlearning(steps=40, lr=1e-2, floor=0.5, budget=1e6).fit(lm, hate(), utility())
    assert any("below its floor of -0.5" in line for line in told)


def test_controls_forget_as_many_tokens_of_other_words_or_texts(lm: LM) -> None:
    told: list[str] = []
    lm.notify = told.append
    for settings in ({}, {"spans": "random"}, {"source": "benign"}):
        Unlearning(steps=1, **settings).fit(lm, hate(), utility())
    counts = [line for line in told if "selected tokens" in line]
    assert len(counts) == 3
    assert len({line.split(",")[-1] for line in counts}) == 1
    bare, nothing = hate().where(lambda case: case.fact("side") == "hateful"), utility().where(lambda case: False)
    with pytest.raises(UsageError, match="needs neutral texts"):
        Unlearning(source="benign", guards=False).fit(lm, bare, nothing)


def test_what_is_trained_can_be_layers_low_rank_or_part_of_the_changes(lm: LM) -> None:
    made = [
        Unlearning(steps=2, lr=1e-3, trained="layers", layers=(1,)),
        Unlearning(steps=2, lr=1e-3, trained="lora", layers=(1,)),
        Unlearning(steps=2, lr=1e-3, share=0.1),
        Unlearning(steps=2, lr=1e-3, keep_rank=2),
    ]
    layers, adapter, sparse, low = (method.fit(lm, hate(), utility()) for method in made)
    assert isinstance(layers, Delta)
    assert all(".h.1." in name for name in layers.changes)
    assert isinstance(adapter, Lora)
    assert all(".h.1." in path for path in adapter.factors)
    assert isinstance(sparse, Delta)
    assert all(change.tensors().keys() == {"values", "at"} for change in sparse.changes.values())
    assert isinstance(low, Delta)
    assert "matrices by rank 2" in low.describe()


def test_a_killed_training_of_another_adapter_is_not_gone_on_with(lm: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[str] = []

    def spying(lm: LM, parameters: Any, objective: Any, *more: Any) -> Any:
        keys.append(objective.digest())
        return train(lm, parameters, objective, *more)

    monkeypatch.setattr("evenhand.methods.unlearning.train", spying)
    for settings in ({}, {}, {"alpha": 32.0}, {"rank": 4}):
        Unlearning(steps=1, trained="lora", **settings).fit(lm, hate(), utility())
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_masked_models_unlearn_too_and_encoder_decoders_are_refused() -> None:
    lm = tiny_lm("bert")
    edit = Unlearning(steps=3, lr=1e-3).fit(lm, hate(), utility())
    assert isinstance(edit, Delta)
    assert edit.changes
    with pytest.raises(CannotRun, match="encoder–decoder"):
        Unlearning().fit(tiny_lm("t5"), hate(), utility())
