"""A killed training goes on to the same weights to the bit; a damaged state and a full disk are told."""

import os
import resource
import signal
from dataclasses import dataclass, field, replace

import pytest
import torch

from evenhand.core.errors import CannotRun
from evenhand.testing.tiny import tiny_lm
from evenhand.train import state
from evenhand.train.loop import Recipe, train
from evenhand.train.watches import GradientNorm, PerplexityBudget
from small_training import Likelihood, writers

RECIPE = Recipe(steps=12, lr=1e-2, accumulate=2)


@dataclass
class Ending(Likelihood):
    """Does something at one batch, once."""

    at: int = 11
    act: object = None
    calls: list = field(default_factory=list)

    def terms(self, lm, step, generator):
        self.calls.append(step)
        if step == self.at and self.act:
            self.act()
        return super().terms(lm, step, generator)

    def digest(self):
        return "the same whatever it does"


def _kill():
    os.kill(os.getpid(), signal.SIGKILL)


def _interrupt():
    raise KeyboardInterrupt


def _model(notes=None, dtype=torch.float32):
    """GPT-2, whose dropout of 0.1 draws random numbers."""
    lm = tiny_lm("gpt2", dtype=dtype)
    lm.notify = (notes if notes is not None else []).append
    return lm


def _trained(lm, objective, folder=None, recipe=RECIPE):
    watches = [PerplexityBudget(("She had an old lamp.",), 1e9, every=5)]
    if folder is None:
        return train(lm, writers(lm), objective, recipe, watches, [3])
    with lm.keeping(folder):
        return train(lm, writers(lm), objective, recipe, watches, [3])


def _killed(action):
    """Run in a child process, which must die of SIGKILL."""
    child = os.fork()
    if not child:
        action()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def _same(one, other):
    for name in ("log", "seen", "last_good", "best", "stopped"):
        assert repr(getattr(one, name)) == repr(getattr(other, name)), name  # NaN is written, and equals nothing
    assert sorted(one.kept) == sorted(other.kept)
    for step in one.kept:
        assert all(torch.equal(value, other.kept[step][name]) for name, value in one.kept[step].items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_killed_training_goes_on_to_the_same_weights(tmp_path, monkeypatch, dtype):
    whole = _trained(_model(dtype=dtype), Ending())
    monkeypatch.setattr(state, "_SECONDS", 0.0)
    monkeypatch.setattr(state, "_SHARE", 0.0)
    _killed(lambda: _trained(_model(dtype=dtype), Ending(act=_kill), tmp_path))
    notes, again = [], Ending()
    resumed = _trained(_model(notes, dtype), again, tmp_path)
    assert notes == ["training goes on after step 5 of 12"]
    assert again.calls[0] == 10
    _same(resumed, whole)
    twice = Ending()
    _same(_trained(_model(dtype=dtype), twice, tmp_path), whole)
    assert twice.calls == []


def test_a_kill_while_the_state_is_written_leaves_the_last_whole_one(tmp_path, monkeypatch):
    monkeypatch.setattr(state, "_SECONDS", 0.0)
    monkeypatch.setattr(state, "_SHARE", 0.0)
    writes = []

    def fsync(number):
        writes.append(number)
        if len(writes) == 4:
            _kill()

    def child():
        monkeypatch.setattr(os, "fsync", fsync)
        _trained(_model(), Ending(), tmp_path)

    _killed(child)
    notes = []
    _same(_trained(_model(notes), Ending(), tmp_path), _trained(_model(), Ending()))
    assert notes == ["training goes on after step 3 of 12"]


def test_ctrl_c_keeps_the_state(tmp_path):
    lm = _model()
    with pytest.raises(KeyboardInterrupt):
        _trained(lm, Ending(act=_interrupt), tmp_path)
    assert torch.equal(lm.model.lm_head.weight, _model().model.lm_head.weight)
    notes = []
    _same(_trained(_model(notes), Ending(), tmp_path), _trained(_model(), Ending()))
    assert notes == ["training goes on after step 5 of 12"]


@pytest.mark.parametrize("damage", ["shorter", "flipped"])
def test_a_damaged_state_is_told_and_not_used(tmp_path, damage):
    lm = _model()
    with pytest.raises(KeyboardInterrupt):
        _trained(lm, Ending(act=_interrupt), tmp_path)
    (path,) = tmp_path.iterdir()
    written = bytearray(path.read_bytes())
    if damage == "shorter":
        del written[len(written) // 2 :]
    else:
        written[len(written) // 2] ^= 1
    path.write_bytes(written)
    notes, again = [], Ending()
    _same(_trained(_model(notes), again, tmp_path), _trained(_model(), Ending()))
    assert again.calls[0] == 0
    (note,) = notes
    assert "is damaged" in note
    assert note.endswith("training starts afresh")


def test_a_short_training_writes_nothing(tmp_path):
    _trained(_model(), Ending(), tmp_path)
    assert not [*tmp_path.iterdir()]


def test_a_training_that_was_stopped_is_so_when_it_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(state, "_SECONDS", 0.0)
    stopped = []
    for _ in range(2):
        lm = _model()
        with lm.keeping(tmp_path):
            stopped.append(train(lm, writers(lm), Likelihood(), RECIPE, [GradientNorm(0.0)]).stopped)
    assert "norm of the gradient" in stopped[0]
    assert stopped[0] == stopped[1]


def test_another_setting_starts_afresh(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        _trained(_model(), Ending(act=_interrupt), tmp_path)
    other = Ending()
    _trained(_model(), other, tmp_path, replace(RECIPE, lr=2e-2))
    assert other.calls[0] == 0


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(state, "_SECONDS", 0.0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    lm = _model()
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(CannotRun, match=r"cannot be written \(File too large\); free some space"):
            _trained(lm, Ending(), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not [*tmp_path.iterdir()]
    assert torch.equal(lm.model.lm_head.weight, _model().model.lm_head.weight)
