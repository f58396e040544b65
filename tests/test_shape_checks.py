"""The checks of shapes that all other tests run under are really on, and only where a shape is named."""

from __future__ import annotations

import jaxtyping
import pytest
import torch

from evenhand.core.component import Attribution
from evenhand.lm.batches.logits import log_likelihood
from evenhand.testing.tiny import tiny_lm


def test_a_wrong_shape_is_refused() -> None:
    logits, one = torch.zeros(2, 5), torch.zeros(2, dtype=torch.long)
    assert log_likelihood(logits, one, one).shape == (2,)
    with pytest.raises(jaxtyping.TypeCheckError):
        log_likelihood(logits[0], one, one)


def test_a_wrong_dtype_is_refused() -> None:
    one = torch.zeros(2, dtype=torch.long)
    with pytest.raises(jaxtyping.TypeCheckError):
        log_likelihood(torch.zeros(2, 5), one.float(), one)


def test_shapes_of_dataclass_fields_are_checked() -> None:
    layout = tiny_lm("llama").layout("head")
    with pytest.raises(jaxtyping.TypeCheckError):
        Attribution(layout, torch.zeros(layout.size, 2))
