"""The loop learns what it is told to, logs what it did and leaves the model as it found it."""

import math

import torch

from evenhand.testing.conformance import untouched
from evenhand.testing.tiny import tiny_lm
from evenhand.train.loop import Recipe, train
from small_training import Likelihood, writers


def test_training_lowers_the_loss_and_leaves_the_model():
    lm = tiny_lm("gpt2")
    recipe = Recipe(steps=20, lr=3e-2)
    with untouched(lm, "training"):
        done = train(lm, writers(lm), Likelihood(), recipe, keep=[5])
    assert not done.stopped
    assert done.last_good == 20
    assert done.log[-1].total < done.log[0].total - 1
    assert [entry.step for entry in done.log] == list(range(21))
    assert math.isnan(done.log[-1].lr)
    for other in (0, 20):
        assert not any(torch.equal(v, done.at(5)[n]) for n, v in done.at(other).items())
