"""The random vectors beside a reading are as long as the states they stand beside, layer by layer."""

from __future__ import annotations

from pathlib import Path

import torch

from evenhand.core.represented import RANDOM
from evenhand.study.concepts import load_reading
from evenhand.study.word_states import read_words
from rigged_reading import reading, rigged


def test_random_vectors_have_the_norms_of_the_first_series(tmp_path: Path) -> None:
    (tmp_path / "rigged.toml").write_text(reading())
    asked = load_reading(str(tmp_path / "rigged.toml"))
    found = read_words(rigged(), asked, (0, 1, 2), (2,))
    first = torch.tensor([case.group == asked.series[0].name for case in found.cases])
    drawn = torch.tensor([case.group == RANDOM for case in found.cases])
    wanted = found.states[first].norm(dim=-1)
    assert int(drawn.sum()) == asked.draws * len(wanted) == len(found.cases) - found.real
    for draw in found.states[drawn].split(len(wanted)):
        torch.testing.assert_close(draw.norm(dim=-1), wanted)
        along = torch.nn.functional.cosine_similarity(draw, found.states[first], dim=-1)
        assert float(along.abs().max()) < 0.99, "they were to point elsewhere"
    assert float(wanted.std()) > 0, "all states are as long as each other"
