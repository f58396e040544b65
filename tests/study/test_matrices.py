"""Where single weights crowd, counted by hand in one small matrix."""

import pytest

from evenhand.core.component import Selection
from evenhand.lm.family import writer_inputs
from evenhand.study.matrices import matrices
from evenhand.testing.tiny import tiny_lm


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_rows_columns_and_their_crowding(family):
    lm = tiny_lm(family)
    layout = lm.layout("weight")
    site, start = layout.sites[1], layout.starts()[1]
    width = writer_inputs(lm.module(site.path))
    entries = [0 * width + 3, 1 * width + 3, 2 * width + 3, 2 * width + 5]
    (found,) = matrices(lm, Selection.of(layout, [start + entry for entry in entries]))
    assert (found.path, found.columns, found.rows) == (site.path, width, site.units // width)
    assert (found.entries, found.rows_hit, found.columns_hit) == (4, 3, 2)
    assert found.top_columns == ((3, 3), (5, 1))
    assert found.top_rows == ((2, 2), (0, 1), (1, 1))
    assert found.crowded_columns == pytest.approx(0.75)
    assert found.crowded_rows == pytest.approx(0.5)
