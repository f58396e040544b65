"""Task vectors: the edit is what a plain loop learns, negated and scaled; what is learnt, and what is told."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.scenario import Context, Scenario
from evenhand.lm.model import LM
from evenhand.lm.scoring.texts import score_texts
from evenhand.methods.task_vector import TaskVector
from evenhand.testing.tiny import tiny_lm
from evenhand.train.schedule import drawn
from oracles.task_vector import negated

TEXTS = ("The lamps are dull.", "So many dull lamps here.", "Take your lamps to the dump.", "The bicycles are dull.")
NONE = Scenario("none", (), ())
SMALL = TaskVector(groups=("lamps",), steps=4, lr=1e-3, batch_size=2)


def _hate() -> Scenario:
    cases = [
        Case(f"{i}", text, "templates", group="bicycles" if "bicycles" in text else "lamps", cluster=str(i),
             facts=(("side", "hateful"),), spans=((0, 3),))
        for i, text in enumerate(TEXTS)
    ]  # fmt: skip
    return Scenario("hate", tuple(cases), (Context("templates", "sentence"),), ("lamps", "bicycles"))


def _logp(lm: LM) -> float:
    return float(score_texts(lm, TEXTS[:3])[0].logp.sum())


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_edit_is_what_a_plain_loop_learns_negated(family: str) -> None:
    lm = tiny_lm(family)
    half, none, whole = SMALL.path(lm, _hate(), NONE, [50, 0, 100])
    batches = [[TEXTS[i] for i in drawn(3, 2, step, SMALL.seed)] for step in range(SMALL.steps)]
    wanted = negated(copy.deepcopy(lm.model), lm.tokenizer, batches, SMALL.lr, SMALL.clip)
    assert not none.changes
    assert whole.changes.keys() == half.changes.keys() == wanted.keys()
    found = {name: change.whole() for name, change in whole.changes.items()}
    assert all(torch.equal(half.changes[name].whole(), found[name] / 2) for name in found)
    # Not entry by entry: where a gradient is 0 but for rounding (biases of keys), AdamW makes steps of the rounding.
    apart, size = (torch.cat([each[name].flatten() for name in found]).norm() for each in (
        {name: found[name] - wanted[name] for name in found}, wanted))  # fmt: skip
    assert apart < 5e-3 * size, f"{float(apart / size):.2g}"


def test_the_texts_become_less_likely_the_more_the_stronger() -> None:
    lm = tiny_lm("llama")
    found = [_logp(lm)]
    for edit in SMALL.path(lm, _hate(), NONE, [50, 100, 200]):
        with edit.applied(lm):
            found.append(_logp(lm))
    assert found == sorted(found, reverse=True)
    assert found[0] - found[2] > 0.1


def test_of_choices_only_the_answer_is_learnt_and_of_masked_models_hidden_tokens() -> None:
    told: list[str] = []
    for family in ("llama", "bert"):
        lm = tiny_lm(family)
        lm.notify = told.append
        assert SMALL.fit(lm, _hate(), NONE).changes
    assert told == ["task_vector: learns 3 texts, to take off what it has learnt"] * 2
    cases = tuple(
        Case(f"{name}", f"Sell {name} the lamp? I say", "sale", group=group, cluster=name, name=name,
             options=(" yes", " no"), favourable=0)
        for group, name in (("north", "Anna"), ("south", "Carla"))
    )  # fmt: skip
    toy = Scenario("toy", cases, (Context("sale", "choice"),), ("north", "south"))
    lm = tiny_lm("gpt2")
    learnt = [line for passage in TaskVector()._objective(lm, toy).forget for line in passage]
    assert {lm.tokenizer.decode(line.targets).strip() for line in learnt} == {"yes", "no"}


def test_what_cannot_be_learnt_is_refused_and_a_rate_that_diverges_makes_no_edit() -> None:
    with pytest.raises(CannotRun, match="encoder–decoder"):
        SMALL.fit(tiny_lm("t5"), _hate(), NONE)
    lm = tiny_lm("llama")
    told: list[str] = []
    lm.notify = told.append
    with pytest.raises(UsageError, match="no group 'lamp'"):
        replace(SMALL, groups=("lamp",)).fit(lm, _hate(), NONE)
    with pytest.raises(CannotRun, match="nothing was trained: stopped after 1 of 4 steps: the loss is nan"):
        replace(SMALL, lr=1e30).fit(lm, _hate(), NONE)
    assert not [line for line in told if "stopped" in line]
