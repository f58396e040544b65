"""The loop learns what it is told to, logs what it did and leaves the model as it found it."""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from transformers import get_scheduler

from evenhand.core.errors import CannotRun, UsageError
from evenhand.testing.conformance import untouched
from evenhand.testing.tiny import tiny_lm
from evenhand.train.loop import Recipe, train
from evenhand.train.schedule import drawn, learning_rate
from small_training import Likelihood, writers


def _same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_training_lowers_the_loss_and_leaves_the_model():
    lm = tiny_lm("gpt2")
    told = []
    recipe = Recipe(steps=20, lr=3e-2)
    with untouched(lm, "training"), lm.reporting(lambda *report: told.append(report)):
        done = train(lm, writers(lm), Likelihood(), recipe, keep=[5])
    assert not done.stopped
    assert (done.last_good, done.best) == (20, 20)
    assert done.log[-1].total < done.log[0].total - 1
    assert [entry.step for entry in done.log] == list(range(21))
    assert math.isnan(done.log[-1].lr)
    assert not any(_same(done.at(5), done.at(other)) for other in (0, 20))
    assert _same(done.at(0), {name: p.detach() for name, p in writers(lm).items()})
    assert told[-1] == ("training", 20, 20)
    with pytest.raises(UsageError, match=r"after 6 steps were not kept \(kept: 0, 5, 20\)"):
        done.at(6)


def test_same_seed_same_weights_and_dropout_draws_by_the_seed():
    lm = tiny_lm("gpt2")
    recipe = Recipe(steps=4, lr=1e-2)
    first = train(lm, writers(lm), Likelihood(), recipe).at(4)
    torch.rand(3)
    assert _same(first, train(lm, writers(lm), Likelihood(), recipe).at(4))
    assert not _same(first, train(lm, writers(lm), Likelihood(), replace(recipe, seed=1)).at(4))
    dry = replace(recipe, dropout=False)
    assert _same(train(lm, writers(lm), Likelihood(), dry).at(4), train(lm, writers(lm), Likelihood(), dry).at(4))
    assert not _same(first, train(lm, writers(lm), Likelihood(), dry).at(4))


def test_only_the_given_parameters_change_and_a_failing_objective_leaves_no_trace():
    @dataclass
    class Failing(Likelihood):
        def terms(self, lm, step, generator):
            assert [n for n, p in lm.model.named_parameters() if p.requires_grad] == [*writers(lm)]
            if step == 3:
                raise ZeroDivisionError
            return super().terms(lm, step, generator)

    lm = tiny_lm("llama")
    with untouched(lm, "training"), pytest.raises(ZeroDivisionError):
        train(lm, writers(lm), Failing(), Recipe(steps=5, lr=1e-2))


def test_accumulated_batches_are_one_larger_batch():
    lm = tiny_lm("llama")
    recipe = Recipe(steps=3, lr=1e-2)
    large = train(lm, writers(lm), Likelihood(size=4), recipe)
    small = train(lm, writers(lm), Likelihood(size=2), replace(recipe, accumulate=2))
    for one, other in zip(large.log, small.log, strict=True):
        assert one.total == pytest.approx(other.total, rel=1e-5)
        assert one.norm == pytest.approx(other.norm, rel=1e-4, nan_ok=True)
    for name, value in large.at(3).items():
        torch.testing.assert_close(value, small.at(3)[name], atol=1e-4, rtol=1e-4)


def test_the_terms_are_weighted_and_logged_by_themselves():
    class Two:
        def terms(self, lm, step, generator):
            weight = lm.model.lm_head.weight
            return {"size": (0.5, weight.square().sum()), "sum": (-2.0, weight.sum()), "seen": (0.0, torch.tensor(7.0))}

        def digest(self):
            return ""

    lm = tiny_lm("llama")
    weight = lm.model.lm_head.weight.detach()
    first = train(lm, {"head": lm.model.lm_head.weight}, Two(), Recipe(steps=1)).log[0]
    assert first.terms == {
        "size": pytest.approx(float(weight.square().sum())), "sum": pytest.approx(float(weight.sum())), "seen": 7.0,
    }  # fmt: skip
    assert first.total == pytest.approx(0.5 * first.terms["size"] - 2 * first.terms["sum"])
    assert first.norm == pytest.approx(float((weight - 2).norm()), rel=1e-5)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_the_schedule_is_that_of_transformers(schedule):
    recipe = Recipe(steps=33, lr=0.5, schedule=schedule, warmup=4)
    optimiser = torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))], lr=0.5)
    other = get_scheduler(schedule, optimiser, num_warmup_steps=4, num_training_steps=33)
    for step in range(33):
        assert learning_rate(recipe, step) == pytest.approx(other.get_last_lr()[0], abs=1e-12), step
        optimiser.step()
        other.step()


def test_a_constant_rate_rises_from_above_0_whatever_the_number_of_steps():
    for steps in (1, 3, 33):
        rates = [learning_rate(Recipe(steps=steps, lr=0.5, schedule="constant", warmup=4), step) for step in range(6)]
        assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.5])


def test_steps_are_those_of_plain_adamw_with_clipping():
    lm = tiny_lm("llama")
    recipe = Recipe(steps=6, lr=1e-2, clip=0.5, weight_decay=0.1)
    done = train(lm, writers(lm), Likelihood(), recipe)
    plain = tiny_lm("llama")
    parameters = [*writers(plain).values()]
    optimiser = torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.1)
    for step in range(6):
        optimiser.param_groups[0]["lr"] = learning_rate(recipe, step)
        (_, loss) = Likelihood().terms(plain, step, None)["nll"]
        optimiser.zero_grad()
        loss.backward(inputs=parameters)
        norm = torch.nn.utils.clip_grad_norm_(parameters, 0.5)
        assert done.log[step].norm == pytest.approx(float(norm), rel=1e-4)
        optimiser.step()
    for name, value in done.at(6).items():
        torch.testing.assert_close(value, writers(plain)[name].detach(), atol=1e-5, rtol=1e-4)


def test_half_precision_has_master_copies():
    """Steps of 6e-5 are lost in bfloat16 weights of about 0.1, but add up in their masters."""
    lm = tiny_lm("llama", dtype=torch.bfloat16)
    recipe = Recipe(steps=20, lr=6e-5, schedule="constant", weight_decay=0.0)
    with untouched(lm, "training"):
        done = train(lm, writers(lm), Likelihood(), recipe, keep=[1])
    changed = {step: sum(int((v != done.at(0)[n]).sum()) for n, v in done.at(step).items()) for step in (1, 20)}
    total = sum(value.numel() for value in done.at(0).values())
    assert changed[1] < 0.1 * total < 0.5 * total < changed[20]
    assert {value.dtype for value in done.at(20).values()} == {torch.bfloat16}


def test_batches_pass_through_all_items_in_an_order_of_the_seed():
    dealt = [i for step in range(7) for i in drawn(10, 3, step, 5)]
    assert sorted(dealt[:10]) == sorted(dealt[10:20]) == list(range(10))
    assert dealt[:10] != dealt[10:20]
    assert dealt == [i for step in range(7) for i in drawn(10, 3, step, 5)]
    assert dealt != [i for step in range(7) for i in drawn(10, 3, step, 6)]
    assert sorted(drawn(2, 4, 0, 0)) == [0, 0, 1, 1]


def test_what_cannot_be_trained_is_refused():
    lm = tiny_lm("llama")
    weight = lm.model.lm_head.weight
    for parameters, error, says in (
        ({}, UsageError, "no parameters to train"),
        ({"a": weight, "b": weight}, UsageError, "named twice"),
        ({"a": torch.nn.Parameter(torch.ones(2, device="meta"))}, CannotRun, "quantised or offloaded"),
        ({"a": torch.nn.Parameter(torch.ones(2))}, UsageError, "does not depend on any of the parameters"),
    ):
        with pytest.raises(error, match=says):
            train(lm, parameters, Likelihood(), Recipe(steps=2))
    with pytest.raises(UsageError, match=r"lr -1 \(expected above 0\), warmup -1 \(expected 0 steps or more\)"):
        Recipe(lr=-1.0, warmup=-1)


def test_out_of_memory_is_told():
    @dataclass
    class Hungry(Likelihood):
        def terms(self, lm, step, generator):
            raise torch.OutOfMemoryError

    lm = tiny_lm("llama")
    with untouched(lm, "training"), pytest.raises(CannotRun, match="batch of 4 while training; make batches smaller"):
        train(lm, writers(lm), Hungry(), Recipe(steps=2))


def test_no_steps_train_nothing():
    lm = tiny_lm("llama")
    done = train(lm, writers(lm), Likelihood(), Recipe(steps=0))
    assert _same(done.at(0), {name: p.detach() for name, p in writers(lm).items()})
    assert len(done.log) == 1
