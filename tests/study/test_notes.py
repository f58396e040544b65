"""What a method says of its choice stands in the cell's record, and is still told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evenhand.study.engine import Listener, run_study
from evenhand.study.search import heard
from evenhand.testing.tiny import tiny_lm

TALKS = """
from dataclasses import dataclass
from evenhand.methods.random import Random

@dataclass(frozen=True)
class Talks(Random):
    def path(self, lm, bias, utility, sizes):
        lm.notify("talks: unit 3 is general and left alone")
        lm.notify("talks: unit 3 is general and left alone")
        lm.notify("memory ran out; batches are halved")
        return super().path(lm, bias, utility, sizes)
"""


def test_lines_of_the_method_are_notes_of_its_cell(asked: Any, tmp_path: Path) -> None:
    file = tmp_path / "talks.py"
    file.write_text(TALKS)
    told: list[str] = []
    config = asked(methods=[{"name": str(file), "sizes": [2]}])
    (record,) = run_study(config, tmp_path / "run", Listener(notify=told.append))
    assert [note for note in record.notes if "general" in note] == ["talks: unit 3 is general and left alone"]
    assert not any("memory" in note for note in record.notes)
    assert {"talks: unit 3 is general and left alone", "memory ran out; batches are halved"} <= set(told)


def test_the_listener_comes_back_also_after_an_error() -> None:
    lm = tiny_lm("llama")
    before, lines = lm.notify, list[str]()

    def fails() -> None:
        with heard(lm, "a: ") as kept:
            lm.notify("a: one")
            lm.notify("b: two")
            lines.extend(kept)
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert lines == ["a: one"]
    assert lm.notify is before
