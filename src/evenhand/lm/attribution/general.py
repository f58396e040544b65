"""The general-neuron guard: which of some units every text needs, so that an edit had better leave them alone.

Yu and Ananiadou (arXiv 2501.14457, abstract) say that editing even a few "general neurons" breaks a model, and do not
say in public how these are told apart. Here a unit is general for any of three reasons, each measured on neutral text:

- **damage**: switched off alone (exactly, at all positions) it moves the next-token distributions by more than `least`
  (0.01 nats per token, about 1 % of perplexity) and by more than the 0.99 quantile of random units of the same layers
  does, or leaves them undefined (half precision overflows; such random units are not counted, so that they do not
  raise the limit);
- **sinks**: more than half of its |activation| is on the first token of a text, or on delimiters (attention sinks);
- **massive**: its largest |activation| is more than 100 times that of the median random unit (Sun et al. 2024,
  arXiv 2402.17762, call numbers of the residual stream massive above 1,000 times the median; units are ours).

The limits are ours. Why `least`: in the planted model most units do nothing (of all neurons on eight of its texts,
`planted_text`, the median is below 0.00001, the 0.99 quantile 0.0007), so that the quantile alone takes 13 of the 26
planted neurons that are candidates for the five biases, all six of *loan* among them; with `least` = 0.002 it is 4,
with 0.005 it is 2, with 0.01 none: planted ones reach 0.0057, nearly all of it in one text. In stories260K and
tinystories-656k 0.01 is below the 0.99 quantile of all neurons, which is 0.013 to 0.028 (median 0.0017 to 0.0046,
largest 0.049 to 0.093; eight texts of `simple_text` or `neutral_text`).

Pitfalls: what a model predicts badly moves far: on `neutral_text`, whose words the planted model hardly knows, three
planted neurons of *loan* reach 0.03 to 0.12 and are called general, so give text of the kind the model was trained on;
units a little below `least` add up, so look at what the whole edit does; a text of few tokens is mostly first token and
full stop, so give texts of a few sentences; units of an encoder–decoder model are read with the text on both sides, but
damaged where its decoder alone reads the text.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.component import Selection
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.general import Generality, Limits
from evenhand.core.scenario import Scenario
from evenhand.lm.attribution.drivers import Activity, activity, text_rows
from evenhand.lm.attribution.probe import spread
from evenhand.lm.attribution.rows import Row
from evenhand.lm.batches.variants import Variant
from evenhand.lm.model import LM
from evenhand.lm.scoring.texts import score_texts

_FEWEST = 20


@dataclass(frozen=True)
class Guard:
    """How general units are told apart; at most `texts` neutral texts, `randoms` random units."""

    texts: int = 8
    randoms: int = 100
    quantile: float = 0.99
    least: float = 0.01
    sinks: float = 0.5
    massive: float = 100.0
    seed: int = 0

    def check(self, lm: LM, units: Selection, utility: Scenario) -> list[Generality]:
        """Return what each selected unit does on the running texts of a scenario, in the order of their addresses.

        `lm.notify` is told where too few random units have a damage for the quantile to be another than the largest.
        Not for the space `weight`. Raises UsageError for a scenario without running text,
        CannotRun where the model itself predicts nothing on it.
        """
        texts = spread([case.prompt for case in utility.cases if not case.options], self.texts)
        if not texts:
            raise UsageError(
                f"utility: {utility.name!r} holds no running text (outcome 'sentence'), on which general units could "
                "be told from others; give one, such as neutral_text, or guard = false"
            )
        if not len(units):
            return []
        randoms = _same_layers(units, self.randoms, torch.Generator().manual_seed(self.seed))
        either = units | randoms
        chosen, compared = (torch.isin(either.units, each.units) for each in (units, randoms))
        divergence, loss = _damage(lm, either, texts)
        active = activity(lm, _rows(lm, texts), either, top=1)
        peaks = _peaks(active)
        yardstick = divergence[compared & divergence.isfinite()]
        limits = Limits(self._limit(lm, yardstick), self.least, self.sinks, self.massive)
        median = float(peaks[compared].median()) or math.nan
        found: list[Generality] = []
        for place, unit, i in zip(_places(units), units.units, chosen.nonzero()[:, 0], strict=True):
            one = Generality(
                unit=int(unit),
                place=place,
                divergence=float(divergence[i]),
                loss=float(loss[i]),
                first=float(active.first[i]),
                delimiters=float(active.delimiters[i]),
                largest=float(peaks[i]) / median,
            )
            found.append(dataclasses.replace(one, reasons=one.judged(limits)))
        return found

    def _limit(self, lm: LM, damage: Float[Tensor, " n"]) -> float:
        """The quantile: the smallest damage that so large a share of the units does not exceed; NaN of none."""
        count = len(damage)
        rank = max(1, math.ceil(self.quantile * count))
        if rank >= count and self.quantile < 1:
            lm.notify(
                f"general units: the damage of only {count} random units is known (of {self.randoms} asked for, as far "
                f"as the layers hold so many), so that the {self.quantile:g} quantile is the largest of them"
            )
        return float(damage.double().kthvalue(rank).values) if count else math.nan


def _same_layers(units: Selection, count: int, generator: torch.Generator) -> Selection:
    """About `count` other units, as many in each site in proportion, or all there are; of few, any of these sites.

    To be above all of fewer than 20 says nothing, so then the units themselves are among those they are compared with.
    """
    sites, chosen = units.layout.sites, units.pieces()
    pools = [torch.arange(site.units) if len(own) else own for site, own in zip(sites, chosen, strict=True)]
    others = [pool[~torch.isin(pool, own)] for pool, own in zip(pools, chosen, strict=True)]
    if sum(map(len, others)) >= _FEWEST:
        pools = others
    pieces: list[Tensor] = []
    for own, pool in zip(chosen, pools, strict=True):
        wanted = math.ceil(count * len(own) / len(units))
        pieces.append(pool[torch.randperm(len(pool), generator=generator)[:wanted]].sort().values)
    return Selection.joined(units.layout, pieces)


def _damage(lm: LM, units: Selection, texts: Sequence[str]) -> tuple[Float[Tensor, " unit"], Float[Tensor, " unit"]]:
    """KL per token and rise of the loss (nats per token) when each unit alone is switched off."""
    alone = [Variant(Selection.of(units.layout, [int(unit)])) for unit in units.units]
    base, *found = score_texts(lm, texts, [None, *alone])
    read = ~base.logp.isnan()  # NaN of a variant alone is damage, NaN of the model or of a text without tokens is not
    if not read.any():
        raise CannotRun(
            f"{lm.identity.source}: predicts no token of the neutral texts (too short, or numbers overflow), so that "
            "general units cannot be told from others; give texts of a few sentences, or another dtype"
        )
    tokens = base.tokens[read].sum()
    divergence = torch.stack([one.kl[read].sum() for one in found]) / tokens
    return divergence, torch.stack([(base.logp - one.logp)[read].sum() for one in found]) / tokens


def _rows(lm: LM, texts: Sequence[str]) -> list[Row]:
    """One row per text; a decoder beside an encoder reads the text too, so that its units see more than its start."""
    rows = text_rows(lm, texts)
    if lm.kind != "encoder-decoder":
        return rows
    return [dataclasses.replace(row, decoder=row.decoder + row.ids[:-1]) for row in rows]


def _peaks(active: Activity) -> Float[Tensor, " unit"]:
    sizes = [abs(peaks[0].value) if peaks else 0.0 for peaks in active.peaks]
    return torch.tensor(sizes, dtype=torch.float64)


def _places(units: Selection) -> list[str]:
    """The stack, layer and number of each unit."""
    return [
        f"{site.stack}.{site.layer} {units.layout.space} {int(unit)}"
        for site, inside in units.by_site()
        for unit in inside
    ]
