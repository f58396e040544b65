"""Steer the residual stream: add a vector after chosen blocks, replace what is there, or level it along the vector."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.edit import Edit
from evenhand.core.errors import CannotRun, UsageError
from evenhand.edits._stack import entered
from evenhand.lm.model import LM
from evenhand.lm.states.occurrences import Words
from evenhand.lm.states.residual import EMBEDDINGS, Change, Seen, changing, counting_prompts

Mode = Literal["add", "replace", "level"]
_DOES = {"add": "adds a vector to", "replace": "puts a vector in the place of", "level": "levels along a vector"}


@final
@dataclass(frozen=True, eq=False)
class Steer(Edit):
    """Change the stream h after each of some blocks, at all tokens or at some words, everywhere or in prompts alone.

    With vector v, centre c and strength s:  add  h + s v;  replace  h + s (v − h);  level  h − s ((h − c)·v̂) v̂, which
    for s = 1 gives every token the same part along v, that of c. A word is found with or without capitals and changed
    at its last token, where alone a causal model knows of it; whether it goes on ("blackboard") is known in prompts,
    where it is left alone then, but not in what is said behind them (`evenhand.lm.states.occurrences`). Which block is
    which layer, and which stack of an encoder–decoder model: `evenhand.lm.states.residual`.

    With `prompt_only` what comes after a prompt is left alone: the model's own answer, and options scored behind (or,
    by a masked model, within) a prompt, from the first token that is scored on. What is only read is prompt: all turns
    of a chat before the answer, texts whose states are read, and whole texts without prompt (perplexity, sentences set
    against each other), so that the damage in texts is seen as without it, which is more than answers suffer. In passes
    that are no part of evenhand or of transformers' `generate`, what goes on over a key–value cache is the answer.
    Encoder–decoder models read prompts alone in the stack that is steered; it makes no difference there.
    """

    layers: tuple[int, ...]
    vectors: Float[Tensor, "layer d"]
    """Float32, on the CPU."""
    centres: Float[Tensor, "layer d"] | None = None
    """A point of the stream per layer; only for `level`."""
    mode: Mode = "add"
    strength: float = 1.0
    words: tuple[str, ...] = ()
    """Empty: at all tokens."""
    prompt_only: bool = False
    """Leave alone what comes after a prompt."""

    run_time_only = True

    def __post_init__(self) -> None:
        """Refuse what cannot be applied."""
        if self.mode not in _DOES:
            raise UsageError(f"steering: there is no mode {self.mode!r}; choose one of {', '.join(_DOES)}")
        if not self.layers:
            raise UsageError("steering: no layer is steered; give at least one, with its vector")
        if not math.isfinite(self.strength):
            raise UsageError(f"steering: the strength is {self.strength}; give a finite number")
        if len(self.layers) != len(self.vectors) or len({*self.layers}) != len(self.layers):
            raise UsageError(
                f"steering: {len(self.vectors)} vectors for layers {list(self.layers)}; give one vector for each layer"
            )
        if (self.mode == "level") != (self.centres is not None):
            raise UsageError("steering: mode 'level' takes a centre per layer, and no other mode does")
        if not bool(self.vectors.isfinite().all()):
            raise CannotRun("steering: a vector is not finite; was the model's stream NaN where it was read?")

    def applied(self, lm: LM) -> AbstractContextManager[None]:
        """Steer for the length of a `with` block."""
        return entered(lm, self, self._steering(lm))

    @contextmanager
    def _steering(self, lm: LM) -> Generator[None]:
        where = Words(lm, self.words) if self.words else None
        steers = self.strength != 0
        changes = {layer: self._change(i, where) for i, layer in enumerate(self.layers)} if steers else {}
        with changing(lm, changes), counting_prompts(lm) if self.prompt_only or self.words else nullcontext():
            yield

    def _change(self, index: int, where: Words | None) -> Change:
        def change(hidden: Float[Tensor, "row pos d"], seen: Seen) -> Float[Tensor, "row pos d"]:
            steered = self._steered(hidden, index)
            here = None if where is None else where(seen)
            if self.prompt_only:
                here = ~seen.said if here is None else here & ~seen.said
            return steered if here is None else torch.where(here[..., None].to(hidden.device), steered, hidden)

        return change

    def _steered(self, hidden: Float[Tensor, "row pos d"], index: int) -> Float[Tensor, "row pos d"]:
        if hidden.shape[-1] != self.vectors.shape[1]:
            raise UsageError(
                f"this edit steers a stream of width {self.vectors.shape[1]}, the model's is {hidden.shape[-1]}; use "
                "it on the model it was fitted on"
            )
        vector = self.vectors[index].to(hidden.device)
        if self.mode == "add":
            return hidden + (self.strength * vector).to(hidden.dtype)
        if self.mode == "replace":
            return hidden + self.strength * (vector.to(hidden.dtype) - hidden)
        along = torch.nn.functional.normalize(vector, dim=0)
        centre = torch.zeros_like(vector) if self.centres is None else self.centres[index].to(hidden.device)
        part = (hidden.float() - centre) @ along
        return hidden - (self.strength * part[..., None] * along).to(hidden.dtype)

    def bake(self, lm: LM) -> None:
        """Raise: there is no weight that does this."""
        raise CannotRun(
            f"this edit ({self.describe()}) works only while the model runs and cannot be baked into weights; apply it "
            "with evenhand, or export it as a control vector where it adds at all tokens"
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return vectors and centres."""
        return {"vectors": self.vectors} | ({} if self.centres is None else {"centres": self.centres})

    def settings(self) -> dict[str, Any]:
        """Return layers, mode, strength, words and whether prompts alone are steered."""
        return {"layers": list(self.layers), "mode": self.mode, "strength": self.strength, "words": list(self.words),
                "prompt_only": self.prompt_only}  # fmt: skip

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], settings: dict[str, Any]) -> Steer:
        """Rebuild from file."""
        layers, words = tuple(int(layer) for layer in settings["layers"]), tuple(settings["words"])
        strength = float(settings["strength"])
        prompt_only = bool(settings.get("prompt_only", False))  # edits saved before there was the choice
        return cls(layers, tensors["vectors"], tensors.get("centres"), settings["mode"], strength, words, prompt_only)

    def control(self, seed: int) -> Steer:
        """Return the same edit with a random direction of the same norm in every layer."""
        drawn = torch.randn(self.vectors.shape, generator=torch.Generator().manual_seed(seed))
        return replace(self, vectors=self.norms[:, None] * torch.nn.functional.normalize(drawn, dim=1))

    @property
    def norms(self) -> Float[Tensor, " layer"]:
        """Length of each vector."""
        return self.vectors.square().sum(1).sqrt()

    def describe(self) -> str:
        """Return one plain sentence."""
        if not self.strength:
            return "changes nothing (strength 0)"
        names = [layer for layer in self.layers if layer != EMBEDDINGS]
        places = ([f"block{'s' * (len(names) > 1)} {_runs(names)}"] if names else []) + ["the embeddings"] * (
            len(names) < len(self.layers)
        )
        where = f"at the words {', '.join(self.words)}" if self.words else "at all tokens"
        where += " of prompts" * self.prompt_only
        return (
            f"{_DOES[self.mode]} the output of {' and '.join(places)} {where}, with strength {self.strength:g} (norms "
            f"{float(self.norms.min()):.3g} to {float(self.norms.max()):.3g})"
        )


def _runs(layers: list[int]) -> str:
    """Say layers as ranges: 3 to 5, 8."""
    runs: list[list[int]] = []
    for layer in sorted(layers):
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
