"""Open what a study or a command names as its model; `planted` is the bundled one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from evenhand.lm.load import Loading, load
from evenhand.lm.model import LM
from evenhand.study.config import ModelConfig


def open_model(config: ModelConfig, notify: Callable[[str], None] = lambda line: None) -> LM:
    """Load a model as configured."""
    where: str | Path = config.where()
    if where == "planted":
        from evenhand.planted import model_path

        where = model_path()
    loading = Loading(
        revision=config.revision,
        dtype=config.dtype,
        device=config.device,
        device_map=config.device_map,
        trust_remote_code=config.trust_remote_code,
        chat=config.chat,
    )
    return load(where, loading, notify=notify)


def identity(lm: LM) -> dict[str, Any]:
    """Return what pins a model in a cell's spec: a local folder counts by its contents, not by where it lies."""
    found = lm.identity.to_json()
    if lm.identity.sha256:
        found["source"] = Path(lm.identity.source).name
    return found | {"device": lm.device.type}
