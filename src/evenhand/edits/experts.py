"""Move what a model says next by how a fair and a biased small model differ; nothing of its weights changes."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, cast, final

from torch import Tensor

from evenhand.core.edit import Edit
from evenhand.core.errors import CannotRun, UsageError
from evenhand.edits._stack import entered
from evenhand.lm.generation.decoding import decoded
from evenhand.lm.generation.experts import experts_for
from evenhand.lm.load import DTypeName, Loading, load
from evenhand.lm.model import LM


@dataclass(frozen=True)
class Expert:
    """A model by where it lies and what was found there when the edit was made."""

    source: str
    revision: str = ""
    sha256: str = ""
    dtype: DTypeName = "float32"

    @classmethod
    def of(cls, lm: LM) -> Expert:
        """Return the name of a model that is open."""
        known = lm.identity
        return cls(known.source, known.revision, known.sha256, cast("DTypeName", known.dtype))

    @property
    def weights(self) -> tuple[str, ...]:
        """What tells its weights from others."""
        return (self.sha256,) if self.sha256 else (self.source, self.revision)

    def opened(self, like: LM) -> LM:
        """Load it to the device of a model; raises UsageError where other weights lie there now."""
        found = load(self.source, Loading(self.revision or None, self.dtype, str(like.device)), notify=like.notify)
        for name in ("revision", "sha256"):
            wanted, there = getattr(self, name), getattr(found.identity, name)
            if wanted and wanted != there:
                raise UsageError(
                    f"{self.source}: not the model this edit was made with ({name} {wanted[:12]}…, now {there[:12]}…); "
                    "put that one back, or make the edit again"
                )
        return found


@final
@dataclass(frozen=True, eq=False)
class Experts(Edit):
    """Expert and anti-expert logits: z + `strength` · (z_fair − z_biased) at every token.

    Formula: `evenhand.lm.generation.experts`. Options, whole texts, numbers and generated answers are all scored so, of
    causal models only. The experts are loaded when the edit is first applied, and kept with it. `strength` 0 changes
    nothing. There is no control: two models that were fitted to nothing are no smaller intervention.
    """

    fair: Expert
    biased: Expert
    strength: float = 1.0
    loaded: dict[str, tuple[LM, LM]] = field(default_factory=dict[str, tuple[LM, LM]], repr=False)
    """By device; edits of several strengths may share them."""

    run_time_only = True

    def __post_init__(self) -> None:
        """Refuse a model that is set against itself."""
        if self.fair.weights == self.biased.weights:
            raise UsageError(
                f"the expert ({self.fair.source}) and the anti-expert ({self.biased.source}) are the same model, so "
                "that nothing would be changed; name two that were trained on different texts"
            )

    def applied(self, lm: LM) -> AbstractContextManager[None]:
        """Decode so for the length of a `with` block."""
        return entered(lm, self, self._decoding(lm))

    @contextmanager
    def _decoding(self, lm: LM) -> Generator[None]:
        decoding = lm.decoding
        if self.strength:
            device = str(lm.device)
            if device not in self.loaded:
                self.loaded[device] = self.fair.opened(lm), self.biased.opened(lm)
            decoding = experts_for(lm, *self.loaded[device], self.strength)
        with decoded(lm, decoding):
            yield

    def bake(self, lm: LM) -> None:
        """Raise: there is no weight that does this."""
        raise CannotRun(
            f"this edit ({self.describe()}) works only while the model runs and cannot be baked into weights"
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return nothing: the experts stay where they are."""
        return {}

    def settings(self) -> dict[str, Any]:
        """Return where the experts lie and which they were, and the strength."""
        return {"fair": vars(self.fair), "biased": vars(self.biased), "strength": self.strength}

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], settings: dict[str, Any]) -> Experts:
        """Rebuild from file."""
        fair, biased = (_expert(settings[name]) for name in ("fair", "biased"))
        return cls(fair, biased, float(settings["strength"]))

    def describe(self) -> str:
        """Return one plain sentence."""
        if not self.strength:
            return "changes nothing (strength 0)"
        return (
            f"at every token adds to the logits {self.strength:g} times what {self.fair.source} says more than "
            f"{self.biased.source}"
        )


def _expert(given: Mapping[str, Any]) -> Expert:
    return Expert(given["source"], given["revision"], given["sha256"], given["dtype"])
