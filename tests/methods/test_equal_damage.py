"""Noise of a given damage."""

from __future__ import annotations

import math

import pytest

from evenhand.core.case import Case
from evenhand.core.errors import UsageError
from evenhand.core.scenario import Context, Scenario
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


def test_it_needs_running_texts() -> None:
    with pytest.raises(UsageError, match="no running texts"):
        EqualDamage().fit(tiny_lm("llama"), UTILITY, UTILITY.where(lambda case: False))
