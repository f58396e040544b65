"""A number with its uncertainty. Undefined is NaN, never 0."""

from __future__ import annotations

import math
import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def _nan_from_null(value: object) -> object:
    # Always the same object, because records with another NaN are not equal.
    return math.nan if value is None or value != value else value


Number = Annotated[float, BeforeValidator(_nan_from_null)]
"""A float whose NaN is written to JSON as null and read back as NaN."""


def is_p(key: str) -> bool:
    """Return whether a key is the p-value of a test, which is no estimate of anything."""
    return re.search(r"(?:^|[._])p$", key) is not None


class Estimate(BaseModel):
    """A value with its interval and what it rests on.

    `n` counts cases, `n_clusters` the independent units (names) that were resampled; `p` is the two-sided
    bootstrap p-value against `neutral`, `q` the same after Benjamini–Hochberg over the table it stands in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")

    value: Number
    low: Number = math.nan
    high: Number = math.nan
    n: int = Field(default=0, ge=0)
    n_clusters: int = Field(default=0, ge=0)
    unit: str = ""
    level: float = 0.95
    p: Number = math.nan
    q: Number = math.nan

    @model_validator(mode="after")
    def _ordered(self) -> Estimate:
        if self.low > self.high:
            raise ValueError(f"the interval [{self.low}, {self.high}] ends before it begins")
        return self

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
            return f"{_short(self.value)}{unit}"
        return f"{_short(self.value)}{unit} [{_short(self.low)}, {_short(self.high)}]"


def _short(value: float) -> str:
    """Three significant digits, and no power of ten where people write thousands."""
    return f"{value:,.0f}" if 999.5 <= abs(value) < 1e9 else f"{value:.3g}"
