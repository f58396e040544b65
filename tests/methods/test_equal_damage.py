"""Noise of a given damage."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.scenario import Context, Scenario
from evenhand.lm.model import LM
from evenhand.lm.scoring.forward import score_texts
from evenhand.methods.equal_damage import EqualDamage
from evenhand.testing.tiny import SENTENCES, tiny_lm

UTILITY = Scenario("texts", tuple(Case(str(i), text, "text") for i, text in enumerate(SENTENCES)),
                   (Context("text", "sentence"),))  # fmt: skip


def test_perplexity_rises_by_what_is_asked() -> None:
    lm = tiny_lm("llama")

    def perplexity() -> float:
        (scores,) = score_texts(lm, SENTENCES)
        return math.exp(-float(scores.logp.sum() / scores.tokens.sum()))

    before = perplexity()
    nothing, little, more = EqualDamage().path(lm, UTILITY, UTILITY, [0, 20, 100])
    assert not nothing.changes
    for edit, rise in ((little, 0.02), (more, 0.1)):
        with edit.applied(lm):
            assert perplexity() / before - 1 == pytest.approx(rise, rel=0.06)
    norms = [[float(change.values.norm()) for change in edit.changes.values()] for edit in (little, more)]
    shares = [a / b for a, b in zip(*norms, strict=True)]
    assert shares == pytest.approx([shares[0]] * len(shares), rel=1e-4)


def _damaged(monkeypatch: pytest.MonkeyPatch, rise: Callable[[float], float]) -> list[float]:
    """Let perplexity rise by this function of the factor that all weights' noise has; return the factors tried."""
    tried: list[float] = []

    def perplexity(lm: LM, texts: Sequence[str]) -> float:
        now = lm.model.lm_head.weight.detach()
        tried.append(round(float((now - weight).norm() / weight.norm()), 6))
        return 10 * (1 + rise(tried[-1]))

    lm = tiny_lm("llama")
    weight = lm.model.lm_head.weight.detach().clone()
    monkeypatch.setattr("evenhand.methods.equal_damage.perplexity", perplexity)
    return tried


def test_a_rise_that_is_found_from_below_at_once_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = _damaged(monkeypatch, lambda factor: 0.0485 if factor else 0.0)
    edit = EqualDamage().fit(tiny_lm("llama"), UTILITY, UTILITY)
    assert edit.changes
    assert tried == [0.0, 0.001]


def test_perplexity_may_fall_before_it_rises(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    lm = tiny_lm("llama")
    lm.notify = told.append
    tried = _damaged(monkeypatch, lambda factor: 60 * (factor - 0.05) * factor)
    EqualDamage().fit(lm, UTILITY, UTILITY)
    assert 60 * (tried[-1] - 0.05) * tried[-1] == pytest.approx(0.05, rel=0.051)
    assert not told


def test_what_cannot_be_reached_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = _damaged(monkeypatch, lambda factor: -0.1)
    with pytest.raises(CannotRun, match=r"does not raise perplexity by 5\.0%"):
        EqualDamage().fit(tiny_lm("llama"), UTILITY, UTILITY)
    assert max(tried) > 4
    lm = tiny_lm("llama")
    told: list[str] = []
    lm.notify = told.append
    _damaged(monkeypatch, lambda factor: 0.9 if factor > 0.01 else 0.04 if factor else 0.0)
    assert EqualDamage().fit(lm, UTILITY, UTILITY).changes
    assert told == ["equal_damage: perplexity is 1.00% off the rise of 5.0% that was asked; in half precision small "
                    "changes are rounded away"]  # fmt: skip


def test_it_needs_running_texts() -> None:
    with pytest.raises(UsageError, match="no running texts"):
        EqualDamage().fit(tiny_lm("llama"), UTILITY, UTILITY.where(lambda case: False))
