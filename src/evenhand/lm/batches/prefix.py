"""Prompts read once, and the next-token distributions after any continuation of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.errors import UsageError
from evenhand.lm.batches.batching import HELD, Cost, Work, in_batches
from evenhand.lm.batches.logits import log_softmax
from evenhand.lm.batches.shared import Shared, Tokens, share
from evenhand.lm.batches.variants import RowMasks, Variant
from evenhand.lm.model import LM


class Prefix:
    """Prompts held in the key–value cache; `extend` branches off them without changing them.

    Causal models, and encoder–decoder ones (the prompt goes to the encoder; tails are decoder tokens after its start
    token). The model must not be edited between `open` and `extend`.
    """

    logp: Float[Tensor, "row vocab"]
    """Log-softmax (fp32) of the token after each prompt."""

    def __init__(self, lm: LM, logp: Float[Tensor, "row vocab"], place: list[tuple[Shared, int]]) -> None:
        self.lm = lm
        self.logp = logp
        self._place = place

    @staticmethod
    def open(lm: LM, prompts: Sequence[Tokens], variants: Sequence[Variant | None] | None = None) -> Prefix:
        """Read the prompts, row i as `variants[i]` (default: the model as it stands), in batches of `lm.budget` tokens.

        Raises UsageError without prompts or for an empty one, CannotRun for masked models, prompts longer than the
        context, and when memory does not hold one prompt.
        """
        per_row = [None] * len(prompts) if variants is None else list(variants)
        if not prompts or len(per_row) != len(prompts):
            raise UsageError(f"{len(prompts)} prompts with {len(per_row)} variants; give at least one prompt, one each")
        distinct = list({id(variant): variant for variant in per_row}.values())
        number = {id(variant): i for i, variant in enumerate(distinct)}
        masks = RowMasks(lm, distinct)
        place: dict[int, tuple[Shared, int]] = {}

        def run(rows: list[int]) -> None:
            which = [number[id(per_row[row])] for row in rows]
            part = share(lm, [prompts[row] for row in rows], masks, which)
            place.update({row: (part, i) for i, row in enumerate(rows)})

        in_batches(lm, Work(range(len(prompts)), lambda row: Cost(len(prompts[row])), run, label="prompts"))
        rows = [place[row] for row in range(len(prompts))]
        return Prefix(lm, torch.cat([log_softmax(part.logits[i : i + 1]) for part, i in rows]), rows)

    def extend(self, rows: Sequence[int], tails: Sequence[Tokens]) -> Float[Tensor, "node vocab"]:
        """Return the log-softmax (fp32) after `prompts[rows[i]] + tails[i]`; an empty tail gives `logp[rows[i]]`.

        Raises CannotRun when a prompt with its tail is longer than the context.
        """
        if len(rows) != len(tails):
            raise UsageError(f"{len(rows)} rows with {len(tails)} tails; give one tail for each row")
        out = torch.empty(len(rows), self.logp.shape[1], device=self.logp.device)
        by_part: dict[int, list[int]] = {}
        for node, (row, tail) in enumerate(zip(rows, tails, strict=True)):
            if tail:
                by_part.setdefault(id(self._place[row][0]), []).append(node)
            else:
                out[node] = self.logp[row]
        for nodes in by_part.values():
            part = self._place[rows[nodes[0]]][0]

            def run(batch: list[int], part: Shared = part) -> None:
                chosen, fed = [self._place[rows[node]][1] for node in batch], [tails[node] for node in batch]
                last = [len(tail) - 1 for tail in fed]
                out[batch] = log_softmax(part.extend(chosen, fed, range(len(batch)), last))

            def cost(node: int, past: int = part.past) -> Cost:
                length = past + len(tails[node])
                return Cost(length, (len(tails[node]) + past / HELD) / length)

            in_batches(self.lm, Work(nodes, cost, run, label="nodes"))
        return out
