"""Words that a model's own loss, or its contrast of hateful and neutral texts, depends on most: input × gradient.

The score of a token is |embedding · gradient of the objective with respect to it|, with the objective

- `loss`: the negative log-likelihood of the whole text (causal models);
- `contrast`: the mean over the tokens of what goes into the output embedding, projected on its mean over the given
  texts less that over neutral ones: a linear probe for what sets the texts apart, fitted without a classifier.

A word's score is the sum over its tokens; of each text the highest `share` of its words, at least one, are taken. A
text longer than the context is read as far as that reaches, as in training. Ours: the published work asked GPT-4 for
the words, and names gradients of a classifier as one way only.

Measured with tinystories-656k on the 346 of HateCheck's 373 hateful sentences about women that have focus words, which
20 % of all their words are: `loss` takes 39 % of the focus words, and 34 % of the words it takes are such; `contrast`
16 % and 14 %, less than words drawn blindly. On the 241 of them that are not misspelt on purpose, where 18 % of the
words are such: 39 % and 30 %; `contrast` 15 % and 11 % (`benchmarks/spans.py`).

Pitfalls: `loss` finds words that are surprising, which need not be hateful; `contrast` knows the topic from the hate as
little as the neutral texts let it. Names of groups (`Case.name`) are left out unless `names` is true.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.spans import Span, Spans, joined, overlaps, standing, words
from evenhand.lm.batches.batching import Cost, Work, in_batches
from evenhand.lm.batches.logits import forward_to_learn, padded, positions
from evenhand.lm.batches.predicted import predicted, reached
from evenhand.lm.model import LM
from evenhand.lm.tokens import Encoded, encode_all

_GRAPH = 4
"""How much of the budget a token takes whose graph is kept."""
_LABEL = "selecting words"


@dataclass(frozen=True)
class Gradient:
    """Words of the highest attribution in each text."""

    of: Literal["loss", "contrast"] = "loss"
    share: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Of the words of each text; at least one is taken."""
    names: bool = False

    def select(self, lm: LM, texts: Sequence[Case], neutral: Sequence[str]) -> list[Spans]:
        """Return the highest words, none of a text without words; raises CannotRun for models scored otherwise."""
        if lm.kind == "encoder-decoder" or (lm.kind == "masked" and self.of == "loss"):
            raise CannotRun(
                f"spans: gradient of {self.of!r} is not for a model of kind {lm.kind} ({lm.identity.source}); use "
                + ("of='contrast'" if lm.kind == "masked" else "another selector")
            )
        encoded = _encoded(lm, [case.prompt for case in texts])
        found = [self._words(lm, *each) for each in zip(texts, encoded, strict=True)]
        asked = [i for i, few in enumerate(found) if few]
        way = _direction(lm, encoded, _encoded(lm, neutral)) if self.of == "contrast" else None
        taken: list[Spans] = [()] * len(texts)
        for i, scores in zip(asked, _scores(lm, [encoded[i] for i in asked], way), strict=True):
            taken[i] = self._highest(found[i], encoded[i], scores)
        return taken

    def _words(self, lm: LM, case: Case, encoded: Encoded) -> list[Span]:
        """The words that may be taken: those of which a token is predicted."""
        left, reach = [] if self.names else standing(case.prompt, case.name), {*predicted(lm, encoded)}
        return [span for span in words(case.prompt) if not overlaps(span, left) and reach & {*encoded.covering(*span)}]

    def _highest(self, found: Sequence[Span], encoded: Encoded, scores: Sequence[float]) -> Spans:
        ranked = sorted(found, key=lambda span: -math.fsum(scores[i] for i in encoded.covering(*span)))
        return joined(ranked[: math.ceil(self.share * len(found))])


def _encoded(lm: LM, texts: Sequence[str]) -> list[Encoded]:
    return [reached(lm, each) for each in encode_all(lm, texts, whole=True, or_end=True)]


def _direction(lm: LM, ours: Sequence[Encoded], theirs: Sequence[Encoded]) -> Float[Tensor, " d"]:
    """From the mean of some texts to that of others; texts of which nothing is predicted do not count."""
    ours, theirs = ([each for each in few if predicted(lm, each)] for few in (ours, theirs))
    if not theirs:
        raise UsageError("spans: the contrast needs neutral texts, and there are none; give some as utility")
    return _mean(lm, ours) - _mean(lm, theirs) if ours else torch.zeros(())


def _mean(lm: LM, texts: Sequence[Encoded]) -> Float[Tensor, " d"]:
    """What goes into the output embedding, mean over the tokens and then over the texts."""
    found: list[Float[Tensor, "_ d"]] = []

    def run(batch: list[Encoded]) -> None:
        with torch.no_grad():
            found.append(_states(lm, batch))

    in_batches(lm, Work(texts, lambda text: Cost(len(text.ids)), run, label=_LABEL))
    return torch.cat(found).mean(0)


def _scores(lm: LM, texts: Sequence[Encoded], way: Float[Tensor, " d"] | None) -> list[list[float]]:
    """|embedding · gradient| of each token of each text."""
    found: list[list[float]] = [[] for _ in texts]

    def run(batch: list[int]) -> None:
        few = [texts[i] for i in batch]
        with torch.enable_grad(), _embedded(lm) as kept:
            objective = _loss(lm, few) if way is None else (_states(lm, few) @ way).sum()
            (slope,) = torch.autograd.grad(objective, kept)
        products = (kept[0].detach().float() * slope.float()).sum(-1).abs().cpu()
        for i, text, row in zip(batch, few, products, strict=True):
            found[i] = [float(each) for each in row[: len(text.ids)]]

    def cost(i: int) -> Cost:
        return Cost(len(texts[i].ids), _GRAPH, _GRAPH * (len(texts[i].ids) if way is None else 1))

    in_batches(lm, Work(range(len(texts)), cost, run, label=_LABEL))
    return found


def _loss(lm: LM, texts: Sequence[Encoded]) -> Float[Tensor, ""]:
    """Negative log-likelihood of all tokens after the first of each text."""
    wanted = [(row, i) for row, text in enumerate(texts) for i in range(1, len(text.ids))]
    rows, places = torch.tensor(wanted).T
    ids = torch.tensor([texts[row].ids[i] for row, i in wanted])
    logits = forward_to_learn(lm, _inputs(lm, texts), rows, places - 1)[0].float()
    return torch.nn.functional.cross_entropy(logits, ids.to(logits.device), reduction="sum")


def _states(lm: LM, texts: Sequence[Encoded]) -> Float[Tensor, "text d"]:
    """What goes into the output embedding, mean over the tokens of each text."""
    inputs, kept = _inputs(lm, texts), list[Tensor]()

    def keep(module: Any, args: tuple[Tensor, ...]) -> None:
        kept.append(args[0])

    # This hook is there before that of `forward_to_learn`, so it still sees all places.
    hook = lm.head.register_forward_pre_hook(keep)
    try:
        forward_to_learn(lm, inputs, torch.tensor([0]), torch.tensor([0]))
    finally:
        hook.remove()
    states = kept[0].float()
    real = inputs["attention_mask"].to(states)[..., None]
    return (states * real).sum(1) / real.sum(1)


def _inputs(lm: LM, texts: Sequence[Encoded]) -> dict[str, Any]:
    ids, mask = padded(lm, [text.ids for text in texts])
    cache = {"use_cache": False} if lm.kind == "causal" else {}
    return {"input_ids": ids, "attention_mask": mask, **positions(lm, mask), **cache}


@contextmanager
def _embedded(lm: LM) -> Generator[list[Tensor]]:
    """Collect the embeddings of the tokens, cut off from what made them, so that gradients end there."""
    kept: list[Tensor] = []

    def keep(module: Any, args: Any, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_(True))
        return kept[-1]

    hook = lm.model.get_input_embeddings().register_forward_hook(keep)
    try:
        yield kept
    finally:
        hook.remove()
