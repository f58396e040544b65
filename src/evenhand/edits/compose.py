"""Several edits, one after another, as one edit."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor

from evenhand import find
from evenhand.core.edit import Edit
from evenhand.lm.model import LM


@final
@dataclass(frozen=True, eq=False)
class Compose(Edit):
    """Apply edits in order; the last one is reverted first."""

    edits: tuple[Edit, ...] = ()

    def __post_init__(self) -> None:
        """For run time only where a part is."""
        object.__setattr__(self, "run_time_only", any(edit.run_time_only for edit in self.edits))

    @contextmanager
    def applied(self, lm: LM) -> Generator[None]:
        """Apply all for the length of a `with` block."""
        with ExitStack() as stack:
            for edit in self.edits:
                stack.enter_context(edit.applied(lm))
            yield

    def bake(self, lm: LM) -> None:
        """Bake all in order."""
        for edit in self.edits:
            edit.bake(lm)

    def tensors(self) -> dict[str, Tensor]:
        """Return the parts' tensors, prefixed by their place."""
        return {f"{i}.{name}": t for i, edit in enumerate(self.edits) for name, t in edit.tensors().items()}

    def settings(self) -> dict[str, Any]:
        """Return the parts' kinds and settings."""
        return {"parts": [{"kind": kind_of(edit), "settings": edit.settings()} for edit in self.edits]}

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], settings: dict[str, Any]) -> Compose:
        """Rebuild from file."""
        parts: list[Edit] = []
        for i, part in enumerate(settings["parts"]):
            own = {name.removeprefix(f"{i}."): t for name, t in tensors.items() if name.startswith(f"{i}.")}
            parts.append(find.plugin("edits", part["kind"]).restore(own, part["settings"]))
        return cls(tuple(parts))

    def control(self, seed: int) -> Compose | None:
        """Return the controls of all parts, one after another; None where a part has none."""
        found = [each for edit in self.edits if (each := edit.control(seed)) is not None]
        return Compose(tuple(found)) if len(found) == len(self.edits) else None

    def describe(self) -> str:
        """Return one sentence per part."""
        return "; then ".join(edit.describe() for edit in self.edits) or "changes nothing"


def kind_of(edit: Edit) -> str:
    """Return the plug-in name an edit is found by: its file's name, its path outside the package, or its module."""
    module = type(edit).__module__
    if module.startswith("evenhand.edits."):
        return module.rsplit(".", 1)[-1]
    return str(sys.modules[module].__file__) if module.startswith("evenhand_plugin_") else module
