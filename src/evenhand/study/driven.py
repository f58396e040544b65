"""What units are active on: groups, neutral text, kinds of token, and the tokens that drive them most."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.bootstrap import interval, smallest_stratum
from evenhand.core.case import Case
from evenhand.core.component import Selection
from evenhand.core.estimate import Estimate
from evenhand.core.explained import Driver
from evenhand.lm.attribution.drivers import Activity, Peak, activity, text_rows
from evenhand.lm.attribution.probe import spread
from evenhand.lm.attribution.promote import token_texts
from evenhand.lm.attribution.rows import Row, prompt_rows
from evenhand.lm.model import LM
from evenhand.study.ground import Ground
from evenhand.study.readings import labelled

SHARES = ("positive", "first", "delimiters")


@dataclass(frozen=True)
class Driven:
    """What was seen of some units."""

    fields: tuple[dict[str, Any], ...]
    """Of each unit, fields of its `UnitRecord`."""
    first: float
    """Share of all tokens read that are the first of their text."""
    delimiters: float


def driven(ground: Ground, chosen: Selection) -> Driven:
    """Return what each unit is active on, from one forward pass over the prompts and the neutral texts."""
    lm, depth = ground.lm, ground.depth
    cases, rows = _prompts(ground)
    texts = spread([case for case in ground.texts.cases if case.prompt and not case.options], depth.texts)
    told = [labelled(ground.progress, what) for what in ("prompts", "neutral texts")]
    prompts = activity(lm, rows, chosen, depth.drivers, progress=told[0])
    neutral = activity(lm, text_rows(lm, [case.prompt for case in texts]), chosen, max(1, depth.drivers // 2),
                       progress=told[1])  # fmt: skip
    shares = {name: _together(prompts, neutral, name) for name in SHARES}
    differences = _differences(ground, cases, prompts.mean)
    fields = tuple(
        {**{name: float(share[k]) for name, share in shares.items()},
         "groups": _means(cases, prompts.mean[:, k]),
         "differences": differences[k],
         "neutral": float(neutral.mean[:, k].nanmean()) if texts else math.nan,
         "drivers": (*_drivers(lm, cases, prompts.peaks[k]), *_drivers(lm, texts, neutral.peaks[k]))}
        for k in range(len(chosen))
    )  # fmt: skip
    read, first, delimiters = (a + b for a, b in zip(prompts.tokens, neutral.tokens, strict=True))
    return Driven(fields, first / read if read else math.nan, delimiters / read if read else math.nan)


def _prompts(ground: Ground) -> tuple[list[Case], list[Row]]:
    """The cases as texts to read, with their rows; of a case that is a choice between sentences, each sentence."""
    cases: list[Case] = []
    rows: list[Row] = []
    for case in spread(ground.bias.cases, ground.depth.prompts):
        if case.prompt or case.answer_prefix:
            few = prompt_rows(ground.lm, [case])
        else:
            few = text_rows(ground.lm, case.options)
        rows += [dataclasses.replace(row, case=len(cases) + i) for i, row in enumerate(few)]
        cases += [case] * len(few)
    return cases, rows


def _together(prompts: Activity, neutral: Activity, name: str) -> Float[Tensor, " k"]:
    """A share of the activation's size over prompts and neutral texts; NaN for a unit that was never active."""
    sizes = [each.size for each in (prompts, neutral)]
    parts = [torch.where(each.size > 0, getattr(each, name) * each.size, 0.0) for each in (prompts, neutral)]
    total = sizes[0] + sizes[1]
    return torch.where(total > 0, (parts[0] + parts[1]) / total, torch.nan)


def _means(cases: Sequence[Case], mean: Float[Tensor, " case"]) -> dict[str, float]:
    """Group → mean over its cases, where the unit saw a token."""
    groups = dict.fromkeys(case.group for case in cases if case.group)
    return {group: float(mean[_of(cases, group)].nanmean()) for group in groups}


def _of(cases: Sequence[Case], group: str) -> Tensor:
    return torch.tensor([case.group == group for case in cases], dtype=torch.bool)


def _differences(ground: Ground, cases: Sequence[Case], mean: Float[Tensor, "case k"]) -> list[dict[str, Estimate]]:
    """Of each unit, other group → mean activation of the reference − that of the other, with its interval."""
    found: list[dict[str, Estimate]] = [{} for _ in range(mean.shape[1])]
    groups = [group for group in ground.bias.groups if any(case.group == group for case in cases)]
    for other in groups[1:]:
        few = [i for i, case in enumerate(cases) if case.group in (groups[0], other)]
        own = [cases[i] for i in few]
        sides = [_of(own, groups[0]), _of(own, other)]
        values, bootstrap = mean[few], ground.depth.bootstrap
        point = _contrast(torch.ones(1, len(own), dtype=torch.float64), values, sides)[0]
        drawn = torch.cat([_contrast(weights, values, sides) for weights in bootstrap.weights(own)])
        clusters = smallest_stratum(own)
        for k in range(mean.shape[1]):
            low, high = interval(drawn[:, k], clusters, bootstrap.level)
            found[k][other] = Estimate(value=float(point[k]), low=low, high=high, n=len(own), n_clusters=clusters,
                                       level=bootstrap.level)  # fmt: skip
    return found


def _contrast(
    weights: Float[Tensor, "boot case"], values: Float[Tensor, "case k"], sides: Sequence[Tensor]
) -> Float[Tensor, "boot k"]:
    """Weighted mean of the first side − that of the second."""
    seen = ~values.isnan()
    ours, others = (
        (weights[:, side] @ values[side].nan_to_num()) / (weights[:, side] @ seen[side].double()) for side in sides
    )
    return ours - others


def _drivers(lm: LM, cases: Sequence[Case], peaks: Sequence[Peak]) -> list[Driver]:
    return [
        Driver(where=cases[peak.case].context, before="".join(token_texts(lm, peak.before)),
               token=token_texts(lm, [peak.token])[0], after="".join(token_texts(lm, peak.after)), value=peak.value)
        for peak in peaks
    ]  # fmt: skip
