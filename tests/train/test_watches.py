"""Each guard stops a training where it must, says why, and what comes out is the last good state."""

import math
from dataclasses import dataclass, field

import pytest
import torch

from evenhand.core.errors import UsageError
from evenhand.lm.scoring.texts import score_texts
from evenhand.testing.conformance import untouched
from evenhand.testing.tiny import tiny_lm
from evenhand.train.loop import Recipe, Seen, train
from evenhand.train.watches import Divergence, GradientNorm, LossFloor, PerplexityBudget, PolarityFlip
from small_training import Likelihood, writers

TEXTS = ("The teacher gave every child two apples.",)


def _perplexity(lm):
    (scores,) = score_texts(lm, TEXTS)
    return math.exp(-float(scores.logp.sum() / scores.tokens.sum()))


def test_a_model_that_gives_no_numbers_is_beyond_every_budget():
    lm, budget = tiny_lm("llama"), PerplexityBudget(TEXTS, rise=1e9)
    assert budget.look(lm, 0).ok
    with torch.no_grad():
        lm.model.lm_head.weight.fill_(math.nan)
    assert not budget.look(lm, 1).ok


def _with(lm, values, measure):
    """Measure with these values in place."""
    parameters = dict(lm.model.named_parameters())
    before = {name: parameters[name].detach().clone() for name in values}
    with torch.no_grad():
        for each in (values, before):
            for name, value in each.items():
                parameters[name].copy_(value)
            found = measure(lm) if each is values else found
    return found


def test_ascent_stops_within_the_retain_budget():
    lm, budget = tiny_lm("llama"), PerplexityBudget(TEXTS, rise=0.05, every=1)
    recipe = Recipe(steps=15, lr=2e-2, schedule="constant")
    free = train(lm, writers(lm), Likelihood(weight=-1.0), recipe)
    with untouched(lm, "training"):
        held = train(lm, writers(lm), Likelihood(weight=-1.0), recipe, [budget])
    before = _perplexity(lm)
    assert _with(lm, free.at(15), _perplexity) > 1.05 * before
    assert 0 < held.last_good < 15
    assert _with(lm, held.at(15), _perplexity) == pytest.approx(held.seen[-2][1].numbers["retain perplexity"], rel=1e-5)
    assert (
        held.seen[-2][1].numbers["retain perplexity rise"] <= 0.05 < held.seen[-1][1].numbers["retain perplexity rise"]
    )
    assert "at most 5 % are allowed; rolled back to step" in held.stopped
    assert budget.base == pytest.approx(before)


def test_a_diverging_learning_rate_is_stopped_rolled_back_and_explained():
    lm = tiny_lm("llama")
    with untouched(lm, "training"):
        done = train(lm, dict(lm.model.named_parameters()), Likelihood(), Recipe(steps=100, lr=10.0, warmup=100))
    assert 0 < done.last_good < len(done.log) - 1 < 30
    assert "before training and is " in done.stopped
    assert ": it diverges; the learning rate went up to" in done.stopped
    assert "try a tenth of it; rolled back to step" in done.stopped

    def loss(lm):
        return -float(sum(score_texts(lm, Likelihood().texts)[0].logp))

    assert _with(lm, done.at(100), loss) < loss(lm)


@dataclass
class Broken(Likelihood):
    """A loss that is no number from one batch on."""

    at: int = 6
    factor: float = math.inf

    def terms(self, lm, step, generator):
        ((name, (weight, term)),) = super().terms(lm, step, generator).items()
        return {name: (weight, term * self.factor if step >= self.at else term)}


@pytest.mark.parametrize("factor", [math.inf, math.nan])
def test_a_loss_that_is_no_number_stops(factor):
    lm = tiny_lm("llama")
    with untouched(lm, "training"):
        done = train(lm, writers(lm), Broken(factor=factor), Recipe(steps=40))
    assert done.stopped.startswith(f"stopped after 6 of 40 steps: the loss is {factor}; the learning rate went up to ")
    assert done.last_good == 4
    assert all(value.isfinite().all() for value in done.at(40).values())


@dataclass
class Steep(Likelihood):
    """A finite loss whose gradient is infinite from one batch on."""

    at: int = 3

    def terms(self, lm, step, generator):
        ((name, (weight, term)),) = super().terms(lm, step, generator).items()
        return {name: (weight, term + (term - term.detach()).sqrt() if step >= self.at else term)}


def test_a_gradient_that_is_no_number_stops():
    lm = tiny_lm("llama")
    done = train(lm, writers(lm), Steep(), Recipe(steps=10))
    assert "after 3 of 10 steps: the gradient is" in done.stopped
    assert done.last_good == 2


def test_limits_of_a_term_and_of_the_gradient():
    lm = tiny_lm("llama")
    recipe = Recipe(steps=40, lr=3e-2, schedule="constant")
    done = train(lm, writers(lm), Likelihood(), recipe, [LossFloor("nll", 5.0)], keep=[39])
    assert done.log[-1].terms["nll"] < 5.0 < min(entry.total for entry in done.log[:-1])
    assert "below its floor of 5; rolled back" in done.stopped
    assert done.at(39) is done.at(40)
    norm = train(lm, writers(lm), Likelihood(), recipe, [GradientNorm(1e-3)])
    assert norm.stopped.startswith("stopped after 0 of 40 steps: the norm of the gradient is ")
    assert all(torch.equal(value, writers(lm)[name]) for name, value in norm.at(40).items())
    with pytest.raises(UsageError, match=r"no term 'forget' to set a floor for; it has nll"):
        train(lm, writers(lm), Likelihood(), recipe, [LossFloor("forget", 5.0)])


@dataclass
class Gap:
    """A gap that goes its way whatever the model does."""

    way: list
    asked: list = field(default_factory=list)

    def __call__(self, lm):
        assert not lm.model.training
        self.asked.append(lm)
        return self.way[len(self.asked) - 1]


@dataclass
class Until:
    """Objects at one step."""

    last: int
    every: int = 2

    def look(self, lm, step):
        return Seen(step < self.last, "enough")


def test_a_gap_that_crosses_zero_stops_and_goes_back_to_the_smallest():
    lm = tiny_lm("llama")
    flip = PolarityFlip(Gap([0.8, 0.3, 0.1, 0.2, -0.1]), "bias", every=2)
    done = train(lm, writers(lm), Likelihood(), Recipe(steps=20), [flip], keep=[6])
    assert done.stopped == (
        "stopped after 8 of 20 steps: bias was 0.8 and is -0.1: it has crossed 0; rolled back to step 4, the best one"
    )
    assert (done.last_good, done.best) == (6, 4)
    assert done.at(20) is done.at(4)
    assert not torch.equal(*(done.at(step)["model.layers.0.mlp.down_proj.weight"] for step in (4, 6)))
    assert [done.trained(step).reached for step in (2, 6, 7, 20)] == [2, 6, 4, 4]
    undefined = train(lm, writers(lm), Likelihood(), Recipe(steps=20), [PolarityFlip(Gap([0.8, math.nan]), every=5)])
    assert "gap is undefined (NaN)" in undefined.stopped


def test_another_guard_goes_back_to_the_last_good_step_whatever_the_gap_was():
    lm = tiny_lm("llama")
    watches = [PolarityFlip(Gap([0.8, 0.1, 0.7, 0.6]), every=2), Until(6)]
    done = train(lm, writers(lm), Likelihood(), Recipe(steps=20), watches)
    assert (done.last_good, done.best) == (4, 4)
    assert done.told == "training stopped after 6 of 20 steps: enough; rolled back to step 4, the last good one"
    start = train(lm, writers(lm), Likelihood(), Recipe(steps=20), [Until(0)])
    assert start.told == (
        "nothing was trained: stopped after 0 of 20 steps: enough; rolled back to the model before training"
    )
    assert start.trained(20).reached == 0


def test_watches_look_before_at_kept_steps_and_at_the_end():
    @dataclass
    class Looking:
        every: int = 4
        steps: list = field(default_factory=list)

        def look(self, lm, step):
            self.steps.append(step)
            return Seen(True)

    lm, looking = tiny_lm("llama"), Looking()
    train(lm, writers(lm), Likelihood(), Recipe(steps=10), [looking], keep=[3])
    assert looking.steps == [0, 3, 4, 8, 10]


@dataclass
class Noisy(Likelihood):
    """Batches whose losses lie far apart whatever is trained: the first is easy, the others are hard."""

    def terms(self, lm, step, generator):
        ((name, (weight, term)),) = super().terms(lm, step, generator).items()
        return {name: (weight, term), "noise": (1.0, torch.tensor(0.0 if step == 0 else 20.0 * (1 + step % 3)))}


def test_hard_batches_are_no_divergence_and_all_steps_are_good():
    lm = tiny_lm("llama")
    done = train(lm, writers(lm), Noisy(), Recipe(steps=12, lr=3e-2))
    assert not done.stopped
    assert done.log[-1].total > done.log[0].total + 15
    stopped = train(lm, writers(lm), Noisy(), Recipe(steps=12, lr=3e-2), [LossFloor("nll", 5.7)])
    assert stopped.stopped
    assert stopped.last_good == len(stopped.log) - 2


def test_a_rise_of_infinity_never_diverges():
    lm = tiny_lm("llama")
    parameters = dict(lm.model.named_parameters())
    done = train(lm, parameters, Likelihood(), Recipe(steps=12, lr=10.0, warmup=12), [Divergence(rise=math.inf)])
    assert not done.stopped
    assert done.log[-1].total > done.log[0].total + 1
