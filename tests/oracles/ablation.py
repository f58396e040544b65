"""The loss of a set of units, by editing the weights and reading full logits one sequence at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from evenhand.core.component import Selection
from evenhand.core.scenario import Scenario
from evenhand.edits.scale import Scale
from evenhand.lm.model import LM
from oracles.gates import option_logp


def _share(lm: LM, scenario: Scenario) -> dict[tuple[str, str], list[float]]:
    """Probability of the first option among the options, by (variation, group)."""
    found: dict[tuple[str, str], list[float]] = {}
    for case in scenario.cases:
        with torch.no_grad():
            logp = torch.stack([option_logp(lm, case.prompt, option) for option in case.options]).double()
        found.setdefault((case.variation, case.group), []).append(float(logp.softmax(0)[0]))
    return found


def _text_logits(lm: LM, texts: Sequence[str]) -> list[Tensor]:
    with torch.no_grad():
        ids = [lm.tokenizer(text)["input_ids"] for text in texts]
        return [lm.model(input_ids=torch.tensor([i])).logits[0, :-1].double().log_softmax(-1) for i in ids]


def loss_of(lm: LM, scenario: Scenario, utility: Scenario, tolerance: float) -> Callable[[Sequence[int]], float]:
    """Return the loss of a set of neurons as the method's docstring defines it, for `choice` and two groups."""
    texts = [case.prompt for case in utility.cases]
    base, base_text = _share(lm, scenario), _text_logits(lm, texts)
    variations = list(dict.fromkeys(case.variation for case in scenario.cases))
    first, second = scenario.groups

    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    def loss(units: Sequence[int]) -> float:
        with Scale(Selection.of(lm.layout("neuron"), list(units))).applied(lm):
            now, now_text = _share(lm, scenario), _text_logits(lm, texts)
        gaps, base_gaps, shifts = [], [], []
        for v in variations:
            level = mean(base[v, first] + base[v, second])
            sd = (level * (1 - level)) ** 0.5
            before, after = ((mean(s[v, first]) / sd, mean(s[v, second]) / sd) for s in (base, now))
            base_gaps.append(before[0] - before[1])
            gaps.append(after[0] - after[1])
            moved = abs(sum(after) / 2 - sum(before) / 2)
            shifts.append(max(0.0, moved - abs(gaps[-1] - base_gaps[-1])))
        kl = sum(float((b.exp() * (b - n)).sum()) for b, n in zip(base_text, now_text, strict=True))
        tokens = sum(len(b) for b in base_text)
        rms = mean([gap**2 for gap in gaps]) ** 0.5 + mean(shifts)
        damage = kl / tokens / tolerance
        return rms / mean([gap**2 for gap in base_gaps]) ** 0.5 + 0.1 * damage + max(0.0, damage - 1)

    return loss


def taken(loss: Callable[[Sequence[int]], float], pool: Sequence[int], least: float) -> list[int]:
    """Walk through the units, best alone first; keep each that lowers the loss of those kept so far by `least`."""
    chosen: list[int] = []
    for unit in sorted(pool, key=lambda unit: loss([unit])):
        if loss([unit]) <= 1 - least and loss([*chosen, unit]) <= loss(chosen) - least:
            chosen.append(unit)
    return chosen
