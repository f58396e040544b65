"""Load a Hugging Face model from a local folder or a hub id, with its identity pinned and nothing left to chance."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args
from urllib.parse import urlsplit

import torch

from evenhand.core.dtype import DTypeName
from evenhand.core.errors import CannotRun, UsageError, nearest
from evenhand.lm.family import Family, family_of, family_row
from evenhand.lm.model import LM, Identity

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
    row, or a chat template asked for and absent; UsageError for contradictory choices. A masked model saved without its
    language-model head (architecture `BertModel`) is loaded as the encoder it is: only embeddings can be read from it.
    """
    from transformers import AutoConfig

    where = str(source)
    local = Path(where).is_dir()
    _check(where, local, loading)
    common: dict[str, Any] = {"trust_remote_code": loading.trust_remote_code, "revision": loading.revision,
                              "local_files_only": local or not _hub_answers()}  # fmt: skip
    auto_config: Any = AutoConfig
    with _quiet():
        named = where if local else f"{where} (no folder here, so taken as a hub id)"
        config = _try(f"{named}: its configuration", lambda: auto_config.from_pretrained(where, **common))
        row = family or family_row(str(config.model_type))
        tokenizer = _tokenizer(where, common)
        if loading.chat and not getattr(tokenizer, "chat_template", None):
            raise CannotRun(
                f"{where}: chat was asked for, but its tokenizer has no chat template; load it without chat"
            )
        model = _model(where, row.kind, config.architectures or (), loading, common)
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
    """Wrap a model already in memory; it is put into evaluation mode.

    Raises CannotRun for an architecture without a row, a model without a language-model head (unless it is an encoder,
    from which embeddings can be read), and a tokenizer with more tokens than the model.
    """
    model.eval()
    lm = LM(model, tokenizer, family_of(model, family), identity, chat=identity.chat, notify=notify)
    if lm.kind != "masked" and model.get_output_embeddings() is None:
        raise CannotRun(
            f"{identity.source}: {type(model).__name__} has no language-model head, so it predicts no tokens"
        )
    if tokenizer.vocab_size > model.config.vocab_size:
        raise CannotRun(
            f"{identity.source}: its tokenizer has {tokenizer.vocab_size} tokens, the model {model.config.vocab_size}; "
            "they do not belong together"
        )
    if lm.device.type == "cpu":
        # Matrix products are as fast as they get from a few hundred rows on, and larger batches leave the cache.
        lm.budget = 1024
    return lm


def _check(where: str, local: bool, loading: Loading) -> None:
    """Refuse what can be seen to be wrong before anything is read."""
    if not local and (Path(where).is_absolute() or where.startswith((".", "~")) or where.count("/") > 1):
        raise CannotRun(
            f"{where}: there is no such folder; give a folder with config.json and safetensors, or a hub id"
        )
    if loading.device and loading.device_map:
        raise UsageError("give either a device or a device_map, not both")
    if loading.dtype not in get_args(DTypeName):
        known = get_args(DTypeName)
        raise UsageError(f"unknown dtype {loading.dtype!r}{nearest(loading.dtype, known)} (known: {', '.join(known)})")
    try:
        torch.empty(0, device=loading.device)
    except (RuntimeError, AssertionError) as error:
        first = str(error).split("\n")[0]
        raise CannotRun(
            f"device {loading.device!r} cannot be used here ({first}); leave it out, or use 'cpu'"
        ) from error


def _hub_answers() -> bool:
    """Whether the hub's name resolves: without it the hub client would retry for half a minute before giving up."""
    from huggingface_hub import constants

    if any(name in os.environ for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True
    try:
        socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, 443)
    except OSError:
        return False
    return True


@contextmanager
def _quiet() -> Generator[None]:
    """Hold back transformers' load reports and progress bars: what matters in them is raised or refused here."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)


def _model(where: str, kind: str, saved: Sequence[str], loading: Loading, common: dict[str, Any]) -> Any:
    """Load the weights; `saved` is what the checkpoint says it was saved as."""
    import transformers

    folder = Path(where)
    if folder.is_dir() and not any(folder.glob("*.safetensors")):
        pickled = [path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern)]
        why = f"only pickled ones ({pickled[0]}), which can run code when opened; convert them" if pickled else "none"
        raise CannotRun(f"{where}: no weights in safetensors format, {why}. Expected *.safetensors in this folder")
    auto: Any = {"causal": transformers.AutoModelForCausalLM, "masked": transformers.AutoModelForMaskedLM,
                 "encoder-decoder": transformers.AutoModelForSeq2SeqLM}[kind]  # fmt: skip
    bare: dict[str, Any] = {}
    if kind == "masked" and any(name.endswith("Model") for name in saved):
        auto, bare = transformers.AutoModel, {"add_pooling_layer": False}
    settings: dict[str, Any] = {
        "dtype": loading.dtype if loading.dtype == "auto" else getattr(torch, loading.dtype),
        "device_map": loading.device_map,
        "use_safetensors": True,
        "ignore_mismatched_sizes": True,  # so that they are listed, and raised below by name
        "output_loading_info": True,
    }
    model, info = _try(f"{where}: its weights", lambda: auto.from_pretrained(where, **settings, **bare, **common))
    for what in ("missing_keys", "mismatched_keys"):
        found = cast("list[str | tuple[str, ...]]", list(info.get(what) or ()))
        keys = [key if isinstance(key, str) else key[0] for key in found]
        if keys:
            how = "missing from the checkpoint" if what == "missing_keys" else "of another shape than the model's"
            raise CannotRun(
                f"{where}: {len(keys)} weight(s) are {how} ({', '.join(sorted(keys)[:3])}{'…' * (len(keys) > 3)}); "
                "transformers would fill them with random numbers. Is the checkpoint complete, with its language-model "
                "head, and does config.json belong to it?"
            )
    return model.to(loading.device) if loading.device else model


def _tokenizer(where: str, common: dict[str, Any]) -> Any:
    from transformers import AutoTokenizer

    auto: Any = AutoTokenizer
    expected = (
        "Expected tokenizer.json; where there is only a tokenizer.model, `pip install sentencepiece tiktoken` and try "
        "again, or save it once as a fast tokenizer with AutoTokenizer.from_pretrained(…).save_pretrained(…)"
    )
    tokenizer = _try(f"{where}: its tokenizer", lambda: auto.from_pretrained(where, **common), expected)
    if not tokenizer.is_fast:
        raise CannotRun(f"{where}: evenhand needs a fast tokenizer (tokenizer.json), because it maps text to tokens")
    return tokenizer


_CHECKPOINT = "Expected a folder with config.json, tokenizer.json and *.safetensors, or a hub id that can be reached"


def _try(what: str, call: Callable[[], Any], expected: str = _CHECKPOINT) -> Any:
    """Turn the loaders' many exceptions into one plain sentence and what was expected."""
    try:
        return call()
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise CannotRun(f"{what} cannot be loaded ({type(error).__name__}: {_sentence(error)}). {expected}") from error
    except Exception as error:
        if type(error).__module__.startswith(("safetensors", "huggingface_hub")) or type(error) is Exception:
            raise CannotRun(f"{what} cannot be loaded: a file is damaged or unreadable ({error})") from error
        raise


def _sentence(error: Exception) -> str:
    """The first sentence of an error, which may be a list over several lines."""
    first, *more = [line.strip() for line in str(error).strip().split("\n")]
    while more and (first.endswith((":", ",")) or more[0].startswith("(")):
        first = f"{first} {more.pop(0)}"
    return first.rstrip(".")


def folder_sha256(folder: Path) -> str:
    """Return the sha256 over names and contents of a checkpoint's weights, configuration, tokenizer and code."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.is_file() and _IDENTITY_FILES.match(p.name)):
        total.update(path.name.encode())
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()
