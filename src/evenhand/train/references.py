"""What the model said before training, computed once and kept small: no second model is held, or run at every step.

Two functions of logits with gradients written out, a few rows at a time: neither keeps a copy of the logits for the way
back, which over a large vocabulary is most of the memory of a step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from evenhand.core.errors import UsageError

_ROWS = 1 << 20
"""Logits turned to float32 at once: 4 MiB."""
_WHOLE = 1024
"""Vocabularies up to this size are kept whole: 4 KiB a place."""


@dataclass(frozen=True, eq=False)
class References:
    """Next-token distributions of the unedited model at the wanted places of some texts, on the CPU in float32.

    Kept are the log-probabilities of the `top` likeliest tokens of each place, exactly, and that of all others taken
    together. A place takes 8 · top + 4 bytes. A vocabulary of at most 1024 tokens, or `top`, is kept whole, 4 bytes per
    token. On a model of stories with 2,048 tokens, 256 of them gave 98 to 99 % of the whole divergence, 64 gave 91 to
    96 % (30 steps of unlearning; KL up to 0.86 nats).
    """

    sizes: tuple[int, ...]
    """Places of each text."""
    logp: Float[Tensor, "place top"]
    tokens: Int[Tensor, "place top"] | None
    """The likeliest tokens (int32); None where every token is kept, in order."""
    rest: Float[Tensor, " place"]
    """Log-probability of all other tokens together; −inf where there are none."""

    @classmethod
    def of(cls, logits: Iterable[Float[Tensor, "_place vocab"]], top: int = 256) -> References:
        """Keep what these logits say, text by text; give them lazily, without gradients, from the untrained model."""
        if top < 1:
            raise UsageError(f"of each distribution {top} tokens would be kept; keep 1 or more")
        kept = [_kept(each, top) for each in logits]
        if not kept:
            raise UsageError("there is no text to take references from; give some")
        whole = kept[0][1] is None
        tokens = None if whole else torch.cat([t for _, t, _ in kept if t is not None])
        sizes = tuple(len(rest) for _, _, rest in kept)
        return cls(sizes, torch.cat([p for p, _, _ in kept]), tokens, torch.cat([r for _, _, r in kept]))

    @property
    def bytes(self) -> int:
        """Memory they take."""
        return sum(t.numel() * t.element_size() for t in (self.logp, self.tokens, self.rest) if t is not None)

    def divergence(self, texts: Sequence[int], logits: Float[Tensor, "place vocab"]) -> Float[Tensor, " place"]:
        """Return KL(before ‖ now) in nats at every place of these texts, float32, with gradients.

        `logits` are those of the model now, text after text. Where only the likeliest tokens are kept, all others count
        as one: never more than the whole divergence, and less only by how the rest is spread among them.
        """
        starts = [0]
        for size in self.sizes:
            starts.append(starts[-1] + size)
        places = torch.cat([torch.arange(starts[i], starts[i + 1]) for i in texts])
        if len(places) != len(logits):
            raise UsageError(
                f"logits of {len(logits)} places for texts that have {len(places)}; give them text by text"
            )
        device = logits.device
        tokens = None if self.tokens is None else self.tokens[places].to(device).long()
        function: Any = _Divergence
        return function.apply(logits, self.logp[places].to(device), tokens, self.rest[places].to(device))

    def digest(self) -> str:
        """Return a digest of all numbers kept."""
        total = hashlib.sha256(repr(self.sizes).encode())
        for tensor in (self.logp, self.rest):
            total.update(tensor.numpy().data)
        return total.hexdigest()


def log_likelihood(logits: Float[Tensor, "place vocab"], tokens: Int[Tensor, " place"]) -> Float[Tensor, " place"]:
    """Return log p of one token at each place, float32, with gradients."""
    function: Any = _LogLikelihood
    return function.apply(logits, tokens.to(logits.device))


def _kept(
    logits: Float[Tensor, "place vocab"], top: int
) -> tuple[Float[Tensor, "place top"], Int[Tensor, "place top"] | None, Float[Tensor, " place"]]:
    """What is kept of one text, a few places at a time."""
    if max(top, _WHOLE) >= logits.shape[-1]:
        parts = [torch.log_softmax(logits[part].float(), -1).cpu() for part in _chunks(logits)]
        return torch.cat(parts), None, torch.full((len(logits),), -torch.inf)
    logp: list[Tensor] = []
    tokens: list[Tensor] = []
    rest: list[Tensor] = []
    for part in _chunks(logits):
        said = torch.log_softmax(logits[part].float(), -1)
        likeliest = said.topk(top)
        logp.append(likeliest.values.cpu())
        tokens.append(likeliest.indices.int().cpu())
        rest.append(said.scatter(1, likeliest.indices, -torch.inf).logsumexp(-1).cpu())
    return torch.cat(logp), torch.cat(tokens), torch.cat(rest)


def _chunks(logits: Float[Tensor, "place vocab"]) -> Iterator[slice]:
    step = max(1, _ROWS // logits.shape[-1])
    return (slice(start, start + step) for start in range(0, len(logits), step))


class _LogLikelihood(torch.autograd.Function):
    """d log p(t) / d logits = 1[token is t] − p."""

    @staticmethod
    def forward(
        ctx: Any, logits: Float[Tensor, "place vocab"], tokens: Int[Tensor, " place"]
    ) -> Float[Tensor, " place"]:
        norm = torch.cat([logits[part].float().logsumexp(-1) for part in _chunks(logits)])
        ctx.save_for_backward(logits, tokens, norm)
        return logits.gather(1, tokens[:, None])[:, 0].float() - norm

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        logits, tokens, norm = ctx.saved_tensors
        out = torch.empty_like(logits)
        for part in _chunks(logits):
            now = (logits[part].float() - norm[part, None]).exp_().neg_()
            now.scatter_add_(1, tokens[part, None], torch.ones_like(now[:, :1]))
            out[part] = now.mul_(slopes[0][part, None])
        return out, None


class _Divergence(torch.autograd.Function):
    """With q now and p before, d KL / d logits = q − p; the rest of p is spread as q spreads it."""

    @staticmethod
    def forward(
        ctx: Any, logits: Float[Tensor, "place vocab"], logp: Float[Tensor, "place top"],
        tokens: Int[Tensor, "place top"] | None, rest: Float[Tensor, " place"],
    ) -> Float[Tensor, " place"]:  # fmt: skip
        found: list[Tensor] = []
        norms: list[Tensor] = []
        others: list[Tensor] = []
        for part in _chunks(logits):
            now = logits[part].float()
            norm = now.logsumexp(-1)
            kept = (now if tokens is None else now.gather(1, tokens[part])) - norm[:, None]
            kl = (logp[part].exp() * (logp[part] - kept)).sum(-1)
            other = torch.full_like(norm, -torch.inf)
            if tokens is not None:
                other = now.scatter(1, tokens[part], -torch.inf).logsumexp(-1) - norm
                kl = kl + rest[part].exp() * (rest[part] - other)
            found.append(kl)
            norms.append(norm)
            others.append(other)
        ctx.save_for_backward(logits, logp, tokens, rest, torch.cat(norms), torch.cat(others))
        return torch.cat(found)

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        logits, logp, tokens, rest, norms, others = ctx.saved_tensors
        out = torch.empty_like(logits)
        for part in _chunks(logits):
            now = (logits[part].float() - norms[part, None]).exp_()
            if tokens is None:
                now -= logp[part].exp()
            else:
                kept = now.gather(1, tokens[part]) - logp[part].exp()
                now *= 1 - (rest[part] - others[part]).exp()[:, None]
                now.scatter_(1, tokens[part], kept)
            out[part] = now.mul_(slopes[0][part, None])
        return out, None, None, None
