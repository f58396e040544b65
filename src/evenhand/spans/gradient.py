"""Words that a model's own loss, or its contrast of hateful and neutral texts, depends on most: input × gradient.

The score of a token is |embedding · gradient of the objective with respect to it|, with the objective

- `loss`: the negative log-likelihood of the whole text (causal models);
- `contrast`: the mean over the tokens of what goes into the output embedding, projected on its mean over the given
  texts less that over neutral ones: a linear probe for what sets the texts apart, fitted without a classifier.

A word's score is the sum over its tokens; of each text the highest `share` of its words, at least one, are taken.
Ours: the published work asked GPT-4 for the words, and names gradients of a classifier as one way only.

Measured with tinystories-656k on 241 HateCheck sentences about women, against the focus words that come with them:
`loss` marks 39 % of them, and 30 % of what it marks are such; `contrast` 15 % and 11 %.

Pitfalls: `loss` finds words that are surprising, which need not be hateful; `contrast` knows the topic from the hate as
little as the neutral texts let it. Names of groups (`Case.name`) are left out unless `names` is true.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.spans import Spans, joined, overlaps, standing, words
from evenhand.lm.batches.logits import check_length, padded, positions
from evenhand.lm.model import LM
from evenhand.lm.tokens import Encoded, encode_all


@dataclass(frozen=True)
class Gradient:
    """Words of the highest attribution in each text."""

    of: Literal["loss", "contrast"] = "loss"
    share: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Of the words of each text; at least one is taken."""
    names: bool = False

    def select(self, lm: LM, texts: Sequence[Case], neutral: Sequence[str]) -> list[Spans]:
        """Return the highest words; raises CannotRun for models that read or are scored otherwise."""
        if lm.kind == "encoder-decoder" or (lm.kind == "masked" and self.of == "loss"):
            raise CannotRun(
                f"spans: gradient of {self.of!r} is not for a model of kind {lm.kind} ({lm.identity.source}); use "
                + ("of='contrast'" if lm.kind == "masked" else "another selector")
            )
        if self.of == "contrast" and not neutral:
            raise UsageError("spans: the contrast needs neutral texts, and there are none; give some as utility")
        encoded = encode_all(lm, [case.prompt for case in texts], whole=True, or_end=True)
        way = self._direction(lm, encoded, neutral) if self.of == "contrast" else None
        return [self._of(case, each, _scores(lm, each, way)) for case, each in zip(texts, encoded, strict=True)]

    def _direction(self, lm: LM, encoded: Sequence[Encoded], neutral: Sequence[str]) -> Float[Tensor, " d"]:
        beside = encode_all(lm, neutral, whole=True, or_end=True)
        with torch.no_grad():
            ours, theirs = (
                torch.stack([_run(lm, each)[0].float().mean(0) for each in few]).mean(0) for few in (encoded, beside)
            )
        return ours - theirs

    def _of(self, case: Case, encoded: Encoded, scores: Sequence[float]) -> Spans:
        left = [] if self.names else standing(case.prompt, case.name)
        found = [span for span in words(case.prompt) if not overlaps(span, left)]
        ranked = sorted(found, key=lambda span: -math.fsum(scores[i] for i in encoded.covering(*span)))
        return joined(ranked[: math.ceil(self.share * len(found))])


def _scores(lm: LM, text: Encoded, way: Float[Tensor, " d"] | None) -> list[float]:
    """|embedding · gradient| of each token."""
    kept: list[Tensor] = []

    def keep(module: Any, args: Any, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_(True))
        return kept[0]

    hook = lm.model.get_input_embeddings().register_forward_hook(keep)
    try:
        with torch.enable_grad():
            states, logits = _run(lm, text)
            if way is None:
                ids = torch.tensor(text.ids[1:], device=logits.device)
                objective = torch.nn.functional.cross_entropy(logits[:-1].float(), ids, reduction="sum")
            else:
                objective = states.float().mean(0) @ way
            (slope,) = torch.autograd.grad(objective, kept)
    finally:
        hook.remove()
    return [float(each) for each in (kept[0].detach()[0].float() * slope[0].float()).sum(-1).abs()]


def _run(lm: LM, text: Encoded) -> tuple[Float[Tensor, "pos d"], Float[Tensor, "pos vocab"]]:
    """Return what goes into the output embedding at each position, and the logits."""
    check_length(lm, len(text.ids), "a text whose spans are selected")
    ids, mask = padded(lm, [text.ids])
    cache = {"use_cache": False} if lm.kind == "causal" else {}
    states: list[Tensor] = []

    def keep(module: Any, args: tuple[Tensor, ...]) -> None:
        states.append(args[0][0])

    hook = lm.head.register_forward_pre_hook(keep)
    try:
        logits: Tensor = lm.model(input_ids=ids, attention_mask=mask, **positions(lm, mask), **cache).logits[0]
    finally:
        hook.remove()
    return states[0], logits
