"""A number with its uncertainty. Undefined is NaN, never 0."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict


def _nan_from_null(value: object) -> object:
    return math.nan if value is None else value


Number = Annotated[float, BeforeValidator(_nan_from_null)]
"""A float whose NaN is written to JSON as null and read back as NaN."""


class Estimate(BaseModel):
    """A value with its interval and what it rests on.

    `n` counts cases, `n_clusters` the independent units (names) that were resampled; `p` is the two-sided
    bootstrap p-value against `neutral`, `q` the same after Benjamini–Hochberg over the table it stands in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")

    value: Number
    low: Number = math.nan
    high: Number = math.nan
    n: int = 0
    n_clusters: int = 0
    unit: str = ""
    level: float = 0.95
    p: Number = math.nan
    q: Number = math.nan

    @property
    def defined(self) -> bool:
        """Whether there was anything to estimate."""
        return not math.isnan(self.value)

    def excludes(self, neutral: float = 0.0) -> bool:
        """Whether the interval lies wholly on one side of `neutral`; False when undefined."""
        return self.low > neutral or self.high < neutral

    def __str__(self) -> str:
        if not self.defined:
            return "undefined"
        unit = f" {self.unit}" if self.unit else ""
        if math.isnan(self.low):
            return f"{self.value:.3g}{unit}"
        return f"{self.value:.3g}{unit} [{self.low:.3g}, {self.high:.3g}]"
