"""Targets of planting have exactly the gap asked for; gaps are what their definition says."""

from __future__ import annotations

import pytest
import torch

from evenhand.core.errors import CannotRun
from evenhand.planted import spec_path
from evenhand.planted.gaps import Table, averages, gap_of, gaps_of, planted_answers
from evenhand.planted.outcomes import Rows, rows_of
from evenhand.planted.spec import read_spec
from evenhand.planted.tokenizer import train_tokenizer
from evenhand.planted.world import world_of


@pytest.fixture(scope="module")
def rows() -> Rows:
    spec = read_spec(spec_path())
    world = world_of(spec)
    return rows_of(world, train_tokenizer(world, spec.seed, spec.vocabulary))


def random_answers(rows: Rows) -> torch.Tensor:
    noise = torch.randn(rows.values.shape, generator=torch.Generator().manual_seed(0))
    return noise.masked_fill(~rows.real, -torch.inf).log_softmax(-1)


def table(rows: Rows, gaps: dict[str, float]) -> Table:
    pairs = dict.fromkeys(zip(rows.context, rows.variation, strict=True))
    return {context: {v: gap for c, v in pairs if c == context} for context, gap in gaps.items()}


def test_target_has_the_gap_in_every_variation(rows: Rows) -> None:
    gaps = {"bicycle": 1.0, "sport": -0.8, "hire": 0.3}
    base = random_answers(rows)
    target = planted_answers(rows, base, table(rows, gaps))
    torch.testing.assert_close(target.sum(-1), torch.ones(len(target)))
    found, before = gaps_of(rows, target.log()), gaps_of(rows, base)
    for context, row in found.items():
        for variation, value in row.items():
            wanted = gaps.get(context, before[context][variation])
            assert value == pytest.approx(wanted, abs=2e-3), (context, variation)


def test_a_gap_too_large_is_refused(rows: Rows) -> None:
    with pytest.raises(CannotRun, match="do not spread that far"):
        planted_answers(rows, random_answers(rows), table(rows, {"hire": -1e12}))


def test_gap_of_two_points() -> None:
    p = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
    values = torch.tensor([[1.0, 3.0], [0.0, 2.0]])
    other = torch.tensor([False, True])
    assert gap_of(p, values, other) == pytest.approx(1.0)
    assert gap_of(p, 2 * values, ~other) == pytest.approx(-1.0)
    assert averages({"a": {"x": 1.0, "y": 0.0}}) == {"a": 0.5}
