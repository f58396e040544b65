"""The contract of an edit: data that can be applied, reverted to the bit, composed, saved, loaded and baked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from torch import Tensor

from evenhand.core.trained import Trained

if TYPE_CHECKING:
    from evenhand.lm.model import LM


class Edit(ABC):
    """A frozen, reversible, serialisable intervention; abstract here, final in every subclass.

    Laws: after `applied` ends, also by an exception and also nested, every bit of the model is as before; an edit that
    selects nothing changes nothing, one that selects something changes the logits; `applied` and `bake` give the same
    logits; saving and loading gives the same edit. Contexts end in reverse order; another order raises.
    """

    run_time_only: bool = False
    """True when it cannot be baked into a checkpoint."""
    trained: Trained | None = None
    """The training it comes from and the step of it; None where nothing was trained, and in one read from a file."""

    @abstractmethod
    def applied(self, lm: LM) -> AbstractContextManager[None]:
        """Apply for the length of a `with` block; the original bits come back at its end."""

    @abstractmethod
    def bake(self, lm: LM) -> None:
        """Apply for good, for export; raises where that is impossible."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Return what goes into the safetensors file."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return what goes into the JSON file beside it."""

    @classmethod
    @abstractmethod
    def restore(cls, tensors: dict[str, Tensor], settings: dict[str, Any]) -> Edit:
        """Rebuild the edit from what `tensors` and `settings` returned."""

    def control(self, seed: int) -> Edit | None:
        """Return an edit of the same size that was not fitted to anything; None where there is no such thing.

        What it does to the model is what any edit of this size may do by chance.
        """
        return None

    @abstractmethod
    def describe(self) -> str:
        """Return one plain sentence: what is changed, how much of the model, in which layers."""
