"""The base of everything that is written about a run: a frozen value that survives JSON."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A frozen value that survives JSON; NaN is written as null."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")
