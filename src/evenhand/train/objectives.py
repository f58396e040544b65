"""What unlearning minimises: terms on the selected tokens of texts to forget, and terms on texts to retain.

With M the selected tokens of a text, nll = mean over M of −log p and β, γ ≥ 0; a batch is the mean over its texts:

- `ascent` (Lu et al. 2024): mean over M of log p, which is gradient ascent on the negative log-likelihood;
- `wga`: mean over M of p^β log p, with p^β a weight that has no gradient: tokens already unlikely are left alone;
- `npo`: −(2/β) log σ(β (nll − nll_ref)), with nll_ref that of the model before training;
- `simnpo`: −(2/β) log σ(β nll − γ). The published β nll / |y| has the *sum* over the answer in the numerator, so the
  length is divided out once: nll here is the mean.

Causal models predict a selected token from what is before it, the first from a start token that is put before the text.
Masked models see all selected tokens of a text masked at once, or else one half of a word would give away the other;
where none is selected and the whole text counts, each is masked alone. On texts to retain, `NLL` is the mean negative
log-likelihood of the tokens (masked models: of 15 % of each text's tokens, drawn once and masked at once), and `KL` the
mean divergence KL(before training ‖ now) in the same places, over tokens and never over padding. What the model said
before training is computed once and kept (`References`: of a large vocabulary, the likeliest tokens and the rest as
one).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from itertools import accumulate, pairwise
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor
from torch.nn.functional import logsigmoid

from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.spans import Spans
from evenhand.lm.batches.logits import forward_to_learn, padded, positions
from evenhand.lm.batches.predicted import predicted, reached
from evenhand.lm.batches.sequences import Line
from evenhand.lm.model import LM
from evenhand.lm.scoring.masked import mask_id, masked_lines
from evenhand.lm.tokens import Encoded, encode_all
from evenhand.train.references import References, log_likelihood
from evenhand.train.schedule import drawn, seed_of

Formula = Literal["ascent", "wga", "npo", "simnpo"]
Passage = tuple[Line, ...]
"""The sequences in which the selected tokens of one text are predicted, each once."""
FORGET, FALL, NLL, KL = "forget", "selected log p, less before training", "retain NLL", "retain KL"
_TEXTS = 16
"""Texts whose reference is computed at once."""
_HIDDEN = 0.15
"""Share of the tokens of a text to retain that a masked model has to find."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Which formula is minimised on the texts to forget, and what each term counts."""

    formula: Formula = "ascent"
    beta: Annotated[float, Field(gt=0)] = 1.0
    gamma: Annotated[float, Field(ge=0)] = 0.0
    forget: float = 1.0
    nll: float = 0.0
    kl: float = 0.0


class Unlearning:
    """An objective of terms that are each logged by themselves.

    Beside `forget`, `retain NLL` and `retain KL` (those of weight above 0) it logs, with weight 0, how far the selected
    tokens' mean log-probability is below what it was: what a floor can be set to. Raises CannotRun for an
    encoder–decoder model, UsageError where nothing is to be forgotten or a term needs texts to retain that are not
    there.
    """

    def __init__(
        self, lm: LM, forget: Sequence[Passage], retain: Sequence[Passage], terms: Terms, size: int, seed: int
    ) -> None:  # fmt: skip
        self.weights, self.size, self.seed = terms, size, seed
        self.beside = ""
        """What else a killed training must have had to be gone on with: the settings of an adapter."""
        self.forget, self.retain = list(forget), list(retain)
        check_kind(lm)
        if not self.forget:
            raise UsageError("no token is selected in any text to forget; choose another selector of spans")
        if (terms.nll or terms.kl) and not self.retain:
            raise UsageError("the objective has a term on texts to retain, and there are none; give some as utility")
        with torch.no_grad():
            parts = [self.forget[i : i + _TEXTS] for i in range(0, len(self.forget), _TEXTS)]
            self.before = torch.cat([_means(lm, each)[1].cpu() for each in parts])
            self.said = References.of(_logits(lm, each) for each in self.retain) if terms.kl else None

    def terms(self, lm: LM, step: int, generator: torch.Generator) -> dict[str, tuple[float, Tensor]]:
        """Return name → (weight, scalar) of one batch of texts to forget and one to retain."""
        weights, chosen = self.weights, drawn(len(self.forget), self.size, step, self.seed)
        token_mean, mean = _means(lm, [self.forget[i] for i in chosen], weights)
        before = self.before[chosen].to(mean.device)
        terms = {FORGET: (weights.forget, forgetting(weights, token_mean, mean, before))}
        terms[FALL] = (0.0, (mean - before).mean().detach())
        if weights.nll or weights.kl:
            kept = drawn(len(self.retain), self.size, step, seed_of(self.seed, "retain", 0))
            terms |= self._retained(lm, kept)
        return terms

    def _retained(self, lm: LM, kept: Sequence[int]) -> dict[str, tuple[float, Tensor]]:
        lines = tuple(line for i in kept for line in self.retain[i])
        logits = _logits(lm, lines)
        terms: dict[str, tuple[float, Tensor]] = {}
        if self.weights.nll:
            terms[NLL] = (self.weights.nll, -log_likelihood(logits, _targets(lm, lines)).mean())
        if self.said is not None:
            terms[KL] = (self.weights.kl, self.said.divergence(kept, logits).mean())
        return terms

    def digest(self) -> str:
        """Return a digest of texts, selected tokens, formula, weights and what was set beside them."""
        about = astuple(self.weights), self.size, self.seed, self.forget, self.retain, self.beside
        return hashlib.sha256(repr(about).encode()).hexdigest()


def forgetting(
    terms: Terms, weighted: Float[Tensor, " text"], mean: Float[Tensor, " text"], before: Float[Tensor, " text"]
) -> Float[Tensor, ""]:
    """Return the term to minimise from each text's mean log p, now and `before`, and `weighted`, its mean p^β log p."""
    if terms.formula == "npo":
        return -(2 / terms.beta) * logsigmoid(terms.beta * (before - mean)).mean()
    if terms.formula == "simnpo":
        return -(2 / terms.beta) * logsigmoid(-terms.beta * mean - terms.gamma).mean()
    return (weighted if terms.formula == "wga" else mean).mean()


def check_kind(lm: LM) -> None:
    """Raise CannotRun for an encoder–decoder model: what is unlearned is predicted inside one text."""
    if lm.kind == "encoder-decoder":
        raise CannotRun(
            f"{lm.identity.source} is an encoder–decoder: unlearning needs a causal or masked model, which predicts "
            "the tokens of a text from the rest of it"
        )


def passages(lm: LM, texts: Sequence[str], spans: Sequence[Spans | None]) -> list[Passage]:
    """Return for each text the sequences that predict the tokens which overlap its spans (None: all its tokens).

    Empty where no token is selected. A text longer than the context is cut to it; an end token stays.
    """
    return [_passage(lm, *each) for each in zip(_encoded(lm, texts), spans, strict=True)]


def retained(lm: LM, texts: Sequence[str], seed: int) -> list[Passage]:
    """Return the sequences that predict the tokens of texts to retain; texts without a predicted token are left out."""
    encoded = _encoded(lm, texts)
    if lm.kind == "causal":
        found = [_causal(each, range(len(each.ids))) for each in encoded]
    else:
        generator = torch.Generator().manual_seed(seed_of(seed, "hidden", 0))
        found = [_masked(lm, each, _few(predicted(lm, each), generator)) for each in encoded]
    return [passage for passage in found if passage]


def _encoded(lm: LM, texts: Sequence[str]) -> list[Encoded]:
    check_kind(lm)
    return [reached(lm, each) for each in encode_all(lm, texts, whole=True, or_end=True)]


def _passage(lm: LM, text: Encoded, spans: Spans | None) -> Passage:
    real = predicted(lm, text)
    places = real if spans is None else sorted({i for span in spans for i in text.covering(*span)} & {*real})
    if lm.kind == "causal":
        return _causal(text, places)
    return tuple(masked_lines(lm, text, places)) if spans is None else _masked(lm, text, places)


def _causal(text: Encoded, places: Sequence[int]) -> Passage:
    """The text up to the last wanted token; its first token has nothing before it where there is no start token."""
    wanted = [i for i in places if i > 0]
    if not wanted:
        return ()
    at = tuple(i - 1 for i in wanted)
    return (Line(text.ids[: wanted[-1]], at, tuple(text.ids[i] for i in wanted)),)


def _masked(lm: LM, text: Encoded, places: Sequence[int]) -> Passage:
    """The text with all wanted tokens masked at once."""
    if not places:
        return ()
    hidden, mask = {*places}, mask_id(lm)
    ids = tuple(mask if i in hidden else t for i, t in enumerate(text.ids))
    return (Line(ids, tuple(places), tuple(text.ids[i] for i in places)),)


def _few(places: Sequence[int], generator: torch.Generator) -> list[int]:
    order = torch.randperm(len(places), generator=generator)
    return sorted(places[int(i)] for i in order[: max(1, round(_HIDDEN * len(places)))])


def _logits(lm: LM, lines: Sequence[Line]) -> Float[Tensor, "target vocab"]:
    """One forward pass; the logits of every target, line after line."""
    tokens, mask = padded(lm, [line.ids for line in lines])
    rows = torch.arange(len(lines)).repeat_interleave(torch.tensor([len(line.at) for line in lines]))
    at = torch.tensor([place for line in lines for place in line.at])
    cache = {"use_cache": False} if lm.kind == "causal" else {}
    inputs = {"input_ids": tokens, "attention_mask": mask, **positions(lm, mask), **cache}
    return forward_to_learn(lm, inputs, rows, at)[0]


def _targets(lm: LM, lines: Sequence[Line]) -> Int[Tensor, " target"]:
    return torch.tensor([token for line in lines for token in line.targets], device=lm.device)


def _means(
    lm: LM, texts: Sequence[Passage], terms: Terms = Terms()
) -> tuple[Float[Tensor, " text"], Float[Tensor, " text"]]:
    """Of each text the mean over its selected tokens of p^β log p, with p^β a weight, and of log p."""
    lines = [line for passage in texts for line in passage]
    logp = log_likelihood(_logits(lm, lines), _targets(lm, lines))
    weighted = (terms.beta * logp).exp().detach() * logp
    ends = [0, *accumulate(sum(len(line.at) for line in passage) for passage in texts)]
    parts = [(weighted[a:b].mean(), logp[a:b].mean()) for a, b in pairwise(ends)]
    return torch.stack([each[0] for each in parts]), torch.stack([each[1] for each in parts])
