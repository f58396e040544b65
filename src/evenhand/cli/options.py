"""Options that several commands share, and how a model is opened from them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evenhand.core.dtype import DTypeName
from evenhand.core.errors import CannotRun, UsageError

if TYPE_CHECKING:
    from evenhand.core.scenario import Scenario
    from evenhand.lm.model import LM


Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="A model folder, a hub id, or 'planted' (the bundled one).")
]
ScenarioName = Annotated[str, typer.Option("--scenario", "-s", help="A scenario's name, or the path of your own file.")]
Contexts = Annotated[list[str] | None, typer.Option("--context", "-c", help="Only this context; may be repeated.")]
DType = Annotated[DTypeName, typer.Option("--dtype", help="Number format the model is loaded in.")]
Device = Annotated[str | None, typer.Option("--device", help="Where to run it, such as cuda or cpu.")]
DeviceMap = Annotated[
    str | None,
    typer.Option("--device-map", help="Spread it over devices: auto, balanced, …, or JSON: module path to device."),
]
Chat = Annotated[
    bool | None,
    typer.Option("--chat/--no-chat", help="Put prompts through the chat template, or not.", show_default=False),
]
Revision = Annotated[str | None, typer.Option("--revision", help="Commit of a hub model.")]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run Python code that comes with the model, if you trust its maker.")
]
Layers = Annotated[
    str | None,
    typer.Option("--layers", help="Of the units found, keep those in these layers, such as 2,3 (the first is 0)."),
]
Json = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON on stdout, and nothing else there.")]
Replace = Annotated[bool, typer.Option("--replace", help="Replace the file that --out names, if it is there.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything that is drawn.")]


def open_lm(source: str, chat: bool | None, *, device_map: str | None, **loading: Any) -> LM:
    """Open the model a command names; `loading` holds the other fields of `ModelConfig`."""
    from evenhand.cli.screen import notify
    from evenhand.study.config import ModelConfig
    from evenhand.study.models import open_model

    return open_model(ModelConfig(source=source, chat=chat, device_map=read_device_map(device_map), **loading), notify)


def read_device_map(text: str | None) -> str | dict[str, Any] | None:
    """Read a word such as `auto`, or a JSON object from module paths to devices."""
    import json

    if text is None or not text.lstrip().startswith("{"):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"--device-map {text!r} is not valid JSON ({error}); write a word such as auto, or an object such as "
            """'{"model.embed_tokens": 0, "": "cpu"}'"""
        ) from error


def open_scenario(name: str, contexts: list[str] | None) -> Scenario:
    """Load a scenario and keep the named contexts."""
    from evenhand.scenarios._load import load_scenario

    return load_scenario(name).only(contexts or ())


def settings(texts: list[str] | None) -> dict[str, Any]:
    """Read all that was given with --set."""
    return dict(setting(text) for text in texts or [])


def setting(text: str) -> tuple[str, Any]:
    """Read `key=value`, the value as TOML writes it, or as plain text."""
    import tomllib

    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"--set {text!r}: write key=value, such as --set factor=0.5")
    try:
        return key.strip(), tomllib.loads(f"x = {value}")["x"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def layers_of(text: str | None) -> tuple[int, ...] | None:
    """Read `2,3`; None stays None, which means all layers."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise UsageError(f"--layers {text!r}: write numbers of layers with commas between, such as --layers 2,3")
    return tuple(sorted({int(part) for part in parts}))


def check_out(path: Path, replace: bool) -> None:
    """Raise before the work where its result could not be written, or would replace a file that is there."""
    import tempfile

    if path.is_dir():
        raise UsageError(f"{path}: is a folder; --out names a file in it")
    if path.exists() and not replace:
        raise UsageError(f"{path}: is there already; give another --out, or say --replace")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CannotRun(f"{path}: cannot be written ({error.strerror or error}); give another --out") from error


def write_text(path: Path, text: str) -> None:
    """Write a small result file, or say why that failed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CannotRun(f"{path}: cannot be written ({error.strerror or error})") from error
