"""The laws over every measure in the folder: a new file is covered without being named here."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from evenhand import find
from evenhand.core.measure import Measure
from evenhand.core.readout import Readout
from evenhand.measures.answer_shares import AnswerShares
from evenhand.measures.mean import Mean
from evenhand.measures.standardised_mean_difference import StandardisedMeanDifference
from evenhand.testing.measures import Toy, check_measure


def _own_toys(name: str, what: str) -> Sequence[Toy]:
    """Return `rigged()` or `symmetric()` of the measure's own test file, `test_<name>.py` beside this one, if any."""
    file = Path(__file__).with_name(f"test_{name}.py")
    if not file.is_file():
        return ()
    spec = importlib.util.spec_from_file_location(f"own_toys_{name}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, what, list)()


@pytest.mark.parametrize("name", find.names("measures"))
def test_every_measure_obeys_the_laws(name: str) -> None:
    check_measure(find.build("measures", name), _own_toys(name, "rigged"), _own_toys(name, "symmetric"))


@pytest.mark.parametrize("name", find.names("measures"))
def test_settings_survive_json(name: str) -> None:
    built = find.build("measures", name)
    again = find.build("measures", name, json.loads(json.dumps(dataclasses.asdict(built))))
    assert built == again
    assert type(built).__dataclass_params__.frozen


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("standardised_mean_difference", {"pooling": "n"}),
        ("standardised_mean_difference", {"winsor": 0.1}),
        ("inlier_ratio", {"tail": 0.25}),
    ],
)
def test_every_setting_obeys_the_laws(name: str, settings: dict[str, object]) -> None:
    check_measure(find.build("measures", name, settings))


class _ZeroForNoData(Mean):
    def combine(self, stats: Tensor, weights: Tensor) -> dict[str, Tensor]:
        return {key: value.nan_to_num() for key, value in super().combine(stats, weights).items()}


class _OneSided(StandardisedMeanDifference):
    def combine(self, stats: Tensor, weights: Tensor) -> dict[str, Tensor]:
        return {key: value.abs() for key, value in super().combine(stats, weights).items()}


class _Offset(StandardisedMeanDifference):
    def combine(self, stats: Tensor, weights: Tensor) -> dict[str, Tensor]:
        return {key: value + 0.1 for key, value in super().combine(stats, weights).items()}


class _FirstCaseCountsTwice(Mean):
    def per_case(self, readout: Readout, reference: Readout | None = None) -> Tensor:
        stats = super().per_case(readout, reference)
        return torch.cat([2 * stats[:1], stats[1:]])


class _IgnoresWeights(Mean):
    def combine(self, stats: Tensor, weights: Tensor) -> dict[str, Tensor]:
        return super().combine(stats, (weights > 0).double())


class _WideRange(AnswerShares):
    range = (0.0, 100.0)


class _NarrowRange(AnswerShares):
    range = (0.0, 0.5)


class _SinglePrecision(Mean):
    def per_case(self, readout: Readout, reference: Readout | None = None) -> Tensor:
        return super().per_case(readout, reference).float()


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (_ZeroForNoData(), "no data gave"),
        (_OneSided(), "when groups swapped"),
        (_Offset(), "symmetric toy"),
        (_FirstCaseCountsTwice(), "reordered"),
        (_IgnoresWeights(), "written out"),
        (_WideRange(), "upper end"),
        (_NarrowRange(), "values leave"),
        (_SinglePrecision(), "float64"),
    ],
)
def test_broken_measures_are_caught(broken: Measure, says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        check_measure(broken)
