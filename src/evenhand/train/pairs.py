"""Sentences with completions, from a TOML pack, and the language-modelling loss on them."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from evenhand.core.errors import CannotRun, UsageError
from evenhand.lm.batches.logits import check_length, forward_to_learn, padded, positions
from evenhand.lm.model import LM
from evenhand.lm.tokens import encode_all
from evenhand.train.references import log_likelihood
from evenhand.train.schedule import drawn

Part = Literal["train", "held_out"]
Loss = Literal["text", "answer"]
AWARENESS = Path(__file__).with_name("awareness_pairs.toml")


@dataclass(frozen=True, slots=True)
class Pair:
    """A sentence, what to say after it, and the kind of the sentence (`race` or `colour` in the bundled pack)."""

    text: str
    says: str
    kind: str


@dataclass(frozen=True)
class Pack:
    """Pairs and cues of one part of a pack."""

    pairs: tuple[Pair, ...]
    cues: tuple[str, ...]

    def of(self, kinds: Sequence[str]) -> Pack:
        """Keep the pairs of these kinds."""
        return Pack(tuple(pair for pair in self.pairs if pair.kind in kinds), self.cues)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of its pairs, in their order."""
        return tuple(dict.fromkeys(pair.kind for pair in self.pairs))


Text = Annotated[str, Field(min_length=1)]


class _File(BaseModel):
    """What a pack's TOML file holds: per kind a list of sentence and completion, and cues, for each part."""

    model_config = ConfigDict(extra="forbid")
    licence: str = ""
    cues: dict[Part, Annotated[list[Text], Field(min_length=1)]]
    train: Annotated[dict[str, list[tuple[Text, Text]]], Field(min_length=1)]
    held_out: dict[str, list[tuple[Text, Text]]] = {}


def read(path: Path, part: Part = "train") -> Pack:
    """Read one part of a pack; raises UsageError for a file that is none, saying what was expected."""
    try:
        data = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(
            f"{path}: the pairs cannot be read ({error.strerror}); give the path of a TOML file"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(
            f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}. Expected [cues] with a list of texts for "
            'train, and [train] with one list of ["sentence", "what it says"] per kind, as in '
            "evenhand/train/awareness_pairs.toml"
        ) from error
    except ValueError as error:
        raise UsageError(f"{path}: this is no TOML file in UTF-8 ({error})") from error
    kinds = data.train if part == "train" else data.held_out
    pairs = [Pair(text, says, kind) for kind, rows in kinds.items() for text, says in rows]
    if not pairs or part not in data.cues:
        raise UsageError(f"{path}: has no pairs and cues under {part!r}; write them there")
    return Pack(tuple(pairs), tuple(data.cues[part]))


@dataclass(frozen=True)
class Completing:
    """The mean negative log-likelihood per token of a sentence and, on a new line, a cue and the completion.

    Or of the completion alone (`loss`). A batch takes `batch_size` pairs, each once per pass; the cue is drawn anew
    every time. An `Objective`.
    """

    pack: Pack
    loss: Loss
    batch_size: int
    seed: int = 0
    longest: int = 256
    """Tokens after which a text is cut off."""
    beside: str = ""
    """What else the training depends on and no recipe knows, such as an adapter's scaling and dropout."""

    def terms(self, lm: LM, step: int, generator: torch.Generator) -> dict[str, tuple[float, Tensor]]:
        """Return one term, named as the loss."""
        chosen = drawn(len(self.pack.pairs), self.batch_size, step, self.seed)
        cues = torch.randint(len(self.pack.cues), (len(chosen),), generator=generator)
        prompts = [f"{self.pack.pairs[i].text}\n{self.pack.cues[int(c)]}" for i, c in zip(chosen, cues, strict=True)]
        says = [f" {self.pack.pairs[i].says}" for i in chosen]
        return {self.loss: (1.0, -self._logp(lm, prompts, says).mean())}

    def _logp(self, lm: LM, prompts: Sequence[str], says: Sequence[str]) -> Float[Tensor, " token"]:
        """Log-likelihood of every token that counts."""
        encoded = encode_all(lm, [prompt + each for prompt, each in zip(prompts, says, strict=True)], whole=True)
        ids = [each.ids[: self.longest] for each in encoded]
        check_length(lm, max(map(len, ids)), "a training pair")
        rows: list[int] = []
        at: list[int] = []
        tokens: list[int] = []
        for row, (prompt, each) in enumerate(zip(prompts, encoded, strict=True)):
            start = len(prompt) if self.loss == "answer" else 0
            counted = [i for i in range(1, len(ids[row])) if each.offsets[i][1] > start]
            rows += [row] * len(counted)
            at += [i - 1 for i in counted]
            tokens += [each.ids[i] for i in counted]
        if not tokens:
            raise CannotRun(
                f"no completion begins within the first {self.longest} tokens for this tokenizer; allow longer texts"
            )
        tensor, mask = padded(lm, ids)
        inputs: dict[str, Any] = {"input_ids": tensor, "attention_mask": mask, **positions(lm, mask)}
        logits, _ = forward_to_learn(lm, {**inputs, "use_cache": False}, torch.tensor(rows), torch.tensor(at))
        return log_likelihood(logits, torch.tensor(tokens))

    @cached_property
    def _digest(self) -> str:
        parts = [[(p.text, p.says, p.kind) for p in self.pack.pairs], self.pack.cues, self.loss, self.batch_size,
                 self.seed, self.longest, self.beside]  # fmt: skip
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def digest(self) -> str:
        """Return a digest of the pairs, the cues and the settings."""
        return self._digest
