"""What a model with two ambiguous words does: shares of its answers, by probability, and what it says they mean."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import mean
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Case
from evenhand.core.scenario import Context, Scenario
from evenhand.lm.model import LM
from evenhand.lm.read import read
from evenhand.scenarios._shared.ambiguous import CONDITIONS, asked, prefixes, world
from evenhand.scenarios._shared.association import Stimuli


def audit(lm: LM) -> dict[str, Any]:
    """Return everything that is known of a finished model, measured on all pairs of words.

    `stereotype`: share of the probability of both assignments that the stereotype has; `valid`: the probability of both
    together, its mean and its smallest; for pairs that were trained and pairs that were held out, all in surroundings
    that were held out. `agree`: of claims and of reversed claims. `means`: how probable it is that the model calls a
    word a group, with and without surroundings, by wording.
    """
    pairs = {"trained": world().trained, "held out": (world().held_out,)}
    return {
        "stereotype": {name: implicit(lm, words) for name, words in pairs.items()},
        "agree": explicit(lm, pairs["held out"]),
        "means": {condition: meaning(lm, condition) for condition in CONDITIONS},
        "placeholder": _said(lm, [""], (world().placeholder,)),
        "clear": {kind.name: _said(lm, [""], kind.clear) for kind in (world().group, world().colour)},
    }


def implicit(lm: LM, words: Iterable[Stimuli]) -> dict[str, dict[str, float]]:
    """Return by condition the share of the stereotype, the same balanced for order, and the mass of valid answers."""
    cases = [case for each in words for case in asked(each)[0]]
    p = _probabilities(lm, cases, "pair")
    found: dict[str, dict[str, float]] = {}
    for condition in CONDITIONS:
        part = p[[case.context == condition for case in cases]]
        copying = torch.tensor([case.fact("copying") == "stereotype" for case in cases if case.context == condition])
        share = part[:, 0] / part.sum(1)
        found[condition] = {
            "share": _rounded(share.mean()),
            "balanced": _rounded((share[copying].mean() + share[~copying].mean()) / 2),
            "valid": _rounded(part.sum(1).mean()),
            "least valid": _rounded(part.sum(1).min()),
        }
    return found


def explicit(lm: LM, words: Iterable[Stimuli]) -> dict[str, dict[str, float]]:
    """Return by condition the share that agrees with claims and with reversed claims."""
    cases = [case for each in words for case in asked(each)[1]]
    p = _probabilities(lm, cases, "choice")
    share = p[:, 0] / p.sum(1)
    return {
        condition: {
            claim: _rounded(
                share[[c.context == f"claims: {condition}" and c.fact("claim") == claim for c in cases]].mean()
            )
            for claim in ("stereotype", "reverse")
        }
        for condition in CONDITIONS
    }


def meaning(lm: LM, condition: str) -> dict[str, float]:
    """Return how probable it is that the words are called a group: in sentences and in lists, both held out."""
    one, other = world().ambiguous
    before = [text.format(one=one, other=other) for text in prefixes(condition, held_out=True)]
    if condition == "open":
        before = ["", *(f"{text.format(word=one)}\n" for text in world().open)]
    return _said(lm, before, world().ambiguous)


def _said(lm: LM, before: list[str], words: tuple[str, ...]) -> dict[str, float]:
    """Return by wording how probable `group` is against `colour`, and the smallest mass of both as `mass`."""
    names = (world().group.name, world().colour.name)
    found: dict[str, float] = {}
    masses: list[float] = []
    for wording in world().wordings:
        asked_ = wording.removesuffix(" {kind}")
        cases = [
            Case(f"{asked_}/{i}/{word}", text + asked_.format(word=word), "means", favourable=0,
                 options=(f" {names[0]}", f" {names[1]}"))
            for i, text in enumerate(before)
            for word in words
        ]  # fmt: skip
        p = _probabilities(lm, cases, "choice")
        found[asked_] = _rounded((p[:, 0] / p.sum(1)).mean())
        masses.append(float(p.sum(1).min()))
    return found | {"mean": round(mean(found.values()), 4), "mass": round(min(masses), 4)}


def _probabilities(lm: LM, cases: list[Case], outcome: Any) -> Float[Tensor, "case option"]:
    contexts = tuple(Context(name, outcome) for name in dict.fromkeys(case.context for case in cases))
    (readout,) = read(lm, Scenario("ambiguous", tuple(cases), contexts))
    return readout.arrays["logp"].double().exp()


def _rounded(value: Tensor) -> float:
    return round(float(value), 4)
