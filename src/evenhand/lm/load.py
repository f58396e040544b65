"""Load a Hugging Face model from a local folder or a hub id, with its identity pinned and nothing left to chance."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from evenhand.core.errors import CannotRun, UsageError
from evenhand.lm.family import FAMILIES, Family, family_of
from evenhand.lm.model import LM, Identity

DTypeName = Literal["float32", "bfloat16", "float16", "auto"]
_IDENTITY_FILES = re.compile(r"(.*\.safetensors|.*\.json|.*\.model|.*\.txt|.*\.jinja|.*\.py)$")


@dataclass(frozen=True, slots=True)
class Loading:
    """Choices of loading, all recorded. `chat` must be chosen; `revision` pins a hub model."""

    revision: str | None = None
    dtype: DTypeName = "float32"
    device: str | None = None
    device_map: str | dict[str, Any] | None = None
    trust_remote_code: bool = False
    chat: bool = False


def load(
    source: str | Path,
    loading: Loading = Loading(),
    family: Family | None = None,
    notify: Callable[[str], None] = lambda line: None,
) -> LM:
    """Load a model for measuring and editing.

    Raises CannotRun for an unreadable folder, pickled weights, missing or mismatched weights, an architecture without a
    row, or a chat template asked for and absent; UsageError for contradictory choices.
    """
    from transformers import AutoConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    where = str(source)
    local = Path(where).is_dir()
    if not local and (Path(where).is_absolute() or where.startswith((".", "~")) or where.count("/") > 1):
        raise CannotRun(
            f"{where}: there is no such folder; give a folder with config.json and safetensors, or a hub id"
        )
    if loading.device and loading.device_map:
        raise UsageError("give either a device or a device_map, not both")
    common: dict[str, Any] = {"trust_remote_code": loading.trust_remote_code, "revision": loading.revision,
                              "local_files_only": local}  # fmt: skip
    auto_config: Any = AutoConfig
    config = _try(where, lambda: auto_config.from_pretrained(where, **common))
    row = family or FAMILIES.get(str(config.model_type))
    model = _model(where, row.kind if row else "causal", loading, common)
    tokenizer = _tokenizer(where, common)
    if loading.chat and not getattr(tokenizer, "chat_template", None):
        raise CannotRun(f"{where}: chat was asked for, but its tokenizer has no chat template; load it without chat")
    identity = Identity(
        source=where,
        revision=str(getattr(model.config, "_commit_hash", None) or loading.revision or ""),
        sha256=folder_sha256(Path(where)) if local else "",
        dtype=str(next(iter(model.parameters())).dtype).removeprefix("torch."),
        chat=loading.chat,
    )
    return wrap(model, tokenizer, identity, family, notify)


def wrap(
    model: Any,
    tokenizer: Any,
    identity: Identity,
    family: Family | None = None,
    notify: Callable[[str], None] = lambda line: None,
) -> LM:
    """Wrap a model already in memory; it is put into evaluation mode."""
    model.eval()
    lm = LM(model, tokenizer, family_of(model, family), identity, chat=identity.chat, notify=notify)
    if lm.device.type == "cpu":
        # Matrix products are as fast as they get from a few hundred rows on, and larger batches leave the cache.
        lm.budget = 1024
    return lm


def _model(where: str, kind: str, loading: Loading, common: dict[str, Any]) -> Any:
    import transformers

    auto: Any = {"causal": transformers.AutoModelForCausalLM, "masked": transformers.AutoModelForMaskedLM,
                 "encoder-decoder": transformers.AutoModelForSeq2SeqLM}[kind]  # fmt: skip
    dtype = loading.dtype if loading.dtype == "auto" else getattr(torch, loading.dtype)
    model, info = _try(
        where,
        lambda: auto.from_pretrained(
            where, dtype=dtype, device_map=loading.device_map, use_safetensors=True, output_loading_info=True, **common
        ),
    )
    for what in ("missing_keys", "mismatched_keys"):
        keys = [str(key) for key in info.get(what) or ()]
        if keys:
            raise CannotRun(
                f"{where}: {len(keys)} weight(s) are {what.split('_')[0]} in the checkpoint ({', '.join(keys[:3])}…); "
                "transformers would fill them with random numbers. Does the checkpoint have its language-model head?"
            )
    return model.to(loading.device) if loading.device else model


def _tokenizer(where: str, common: dict[str, Any]) -> Any:
    from transformers import AutoTokenizer

    auto: Any = AutoTokenizer
    tokenizer = _try(where, lambda: auto.from_pretrained(where, **common))
    if not tokenizer.is_fast:
        raise CannotRun(f"{where}: evenhand needs a fast tokenizer (tokenizer.json), because it maps text to tokens")
    return tokenizer


def _try(where: str, call: Callable[[], Any]) -> Any:
    """Turn the loaders' many exceptions into one plain sentence."""
    try:
        return call()
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        first = str(error).strip().split("\n")[0]
        raise CannotRun(
            f"{where}: cannot be loaded ({type(error).__name__}: {first}). Expected a folder with config.json, "
            "tokenizer.json and *.safetensors, or a hub id that can be reached"
        ) from error
    except Exception as error:
        if type(error).__module__.startswith(("safetensors", "huggingface_hub")) or type(error) is Exception:
            raise CannotRun(f"{where}: a file is damaged or unreadable ({error})") from error
        raise


def folder_sha256(folder: Path) -> str:
    """Return the sha256 over names and contents of a checkpoint's weights, configuration, tokenizer and code."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.is_file() and _IDENTITY_FILES.match(p.name)):
        total.update(path.name.encode())
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()
