"""Slow, obvious versions of the measures: every answer written out as often as it was drawn, then numpy and scipy."""

from __future__ import annotations

import numpy as np
from scipy import stats as scipy_stats

from evenhand.core.readout import Readout


def answers(readout: Readout, group: str, times: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Values and masses of a group's answers, those of case i repeated `times[i]` times."""
    values: list[float] = []
    masses: list[float] = []
    for value, mass, row in zip(readout.value.tolist(), readout.mass.tolist(), readout.row.tolist(), strict=True):
        if readout.cases[row].group == group and bool(readout.defined[row]):
            values += [value] * times[row]
            masses += [mass] * times[row]
    return np.array(values), np.array(masses)


def mean_and_variance(values: np.ndarray, masses: np.ndarray, ddof: int) -> tuple[float, float]:
    """Weighted mean and variance."""
    mean = float((values * masses).sum() / masses.sum())
    return mean, float((masses * (values - mean) ** 2).sum() / (masses.sum() - ddof))


def standardised_mean_difference(readout: Readout, times: list[int]) -> float:
    """(mean reference − mean other) / √((s² + s²) / 2)."""
    (ma, va), (mb, vb) = (mean_and_variance(*answers(readout, g, times), readout.ddof) for g in readout.groups)
    return (ma - mb) / ((va + vb) / 2) ** 0.5


def ratio_of_means(readout: Readout, times: list[int]) -> float:
    """Mean reference / mean other."""
    a, b = (mean_and_variance(*answers(readout, g, times), 0)[0] for g in readout.groups)
    return a / b


def earth_movers_distance(readout: Readout, times: list[int]) -> float:
    """scipy's Wasserstein distance."""
    (va, ma), (vb, mb) = (answers(readout, g, times) for g in readout.groups)
    return float(scipy_stats.wasserstein_distance(va, vb, ma, mb))
