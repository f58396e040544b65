"""Open what a study or a command names as its model; `planted` and `planted-ambiguous` are bundled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from evenhand.core.errors import UsageError
from evenhand.lm.load import Loading, load
from evenhand.lm.model import LM
from evenhand.planted import BUNDLED, model_path, name_of
from evenhand.study.config import ModelConfig


def open_model(config: ModelConfig, notify: Callable[[str], None] = lambda line: None) -> LM:
    """Load a model as configured; UsageError where it has a chat template and whether to use it was not said."""
    where: str | Path = config.where()
    if where in BUNDLED:
        where = model_path(where)
    loading = Loading(
        revision=config.revision,
        dtype=config.dtype,
        device=config.device,
        device_map=config.device_map,
        trust_remote_code=config.trust_remote_code,
        chat=bool(config.chat),
    )
    lm = load(where, loading, notify=notify)
    if config.chat is None and getattr(lm.tokenizer, "chat_template", None):
        raise UsageError(
            f"{config.source} has a chat template, and using it changes every number: say --chat (prompts go through "
            "it) or --no-chat (they do not)"
        )
    return lm


def identity(lm: LM) -> dict[str, Any]:
    """Return what pins a model in a cell's spec: a local folder counts by its contents, not by where it lies."""
    found = lm.identity.to_json()
    if lm.identity.sha256:
        found["source"] = name_of(Path(lm.identity.source))
    return found | {"device": lm.device.type}
