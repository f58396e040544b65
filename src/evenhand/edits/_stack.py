"""Edits end in the reverse of the order they began; anything else would put back the wrong bits."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager

from evenhand.core.edit import Edit
from evenhand.core.errors import UsageError
from evenhand.lm.model import LM


@contextmanager
def entered(lm: LM, edit: Edit, inside: AbstractContextManager[None]) -> Generator[None]:
    """Run `inside` with `edit` on top of the model's stack; raises when another edit still lies on it at the end."""
    mark = object()
    with inside:
        lm.edits.append(mark)
        try:
            yield
        finally:
            if lm.edits[-1] is not mark:
                raise UsageError(
                    f"edits must end in the reverse of the order they began; {edit.describe()!r} ended while a later "
                    "one was still applied. Nest the `with` blocks, and load the model again: its weights are now mixed"
                )
            lm.edits.pop()
