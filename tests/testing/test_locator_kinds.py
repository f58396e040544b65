"""A locator that is for some kinds of model has to refuse the others; the law catches one that does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from evenhand.testing.conformance import check_locator
from evenhand.testing.tiny import tiny_lm
from oracles.people import use_case

LOCATOR = """
from dataclasses import dataclass
from typing import ClassVar
from evenhand.core.errors import CannotRun
from evenhand.locate.random import Random

@dataclass(frozen=True)
class Picky(Random):
    models: ClassVar[tuple[str, ...]] = ("causal",)

    def score(self, lm, scenario):
        if lm.kind != "causal" and {refuses}:
            raise CannotRun("not for this kind")
        return super().score(lm, scenario)
"""


@pytest.mark.parametrize("refuses", [True, False])
def test_kinds_that_are_not_named_must_be_refused(refuses: bool, tmp_path: Path) -> None:
    file = tmp_path / "picky.py"
    file.write_text(LOCATOR.format(refuses=refuses))
    check_locator(str(file), tiny_lm("llama"), use_case())
    if refuses:
        check_locator(str(file), tiny_lm("bert"), use_case())
    else:
        with pytest.raises(AssertionError, match="not among its `models`"):
            check_locator(str(file), tiny_lm("bert"), use_case())
