"""An edit that cannot be read says in plain words what is wrong with which file, and what to try."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from evenhand import __version__
from evenhand.core.component import Selection
from evenhand.core.errors import CannotRun, UsageError
from evenhand.edits import _file
from evenhand.edits.compose import Compose
from evenhand.edits.scale import Scale
from evenhand.testing.tiny import tiny_lm

PYTHONS_OWN = ("Error", "Expecting", "positional", "NoneType", "object is", "Traceback", "[Errno")


def _units(count: int = 2) -> Scale:
    return Scale(Selection.of(tiny_lm("llama").layout("neuron"), list(range(count))))


@pytest.fixture
def edit(tmp_path: Path) -> Path:
    _file.save(_units(), tmp_path / "e", {}, {})
    return tmp_path / "e"


def _change(edit: Path, change: Callable[[dict[str, Any]], object]) -> None:
    record = json.loads((edit / "edit.json").read_text())
    change(record)
    (edit / "edit.json").write_text(json.dumps(record))


def _refused(edit: Path, *said: str, kind: type[Exception] = CannotRun) -> None:
    with pytest.raises(kind) as raised:
        _file.load(edit)
    message = str(raised.value)
    assert str(edit) in message
    for words in said:
        assert words in message
    assert not [words for words in PYTHONS_OWN if words in message], message


def test_a_folder_without_an_edit_says_what_is_expected(tmp_path: Path) -> None:
    _refused(tmp_path, "expected a folder with edit.json and edit.safetensors", kind=UsageError)


@pytest.mark.parametrize("text", ["", '{"format": 1, "kind": "sc', "no json", "\udcff"])
def test_a_record_that_is_cut_off(edit: Path, text: str) -> None:
    (edit / "edit.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    _refused(edit, "edit.json: the file is damaged: it is cut off, or no JSON", "fit it again")


@pytest.mark.parametrize("name", ["format", "kind", "settings", "tensors", "model", "provenance"])
def test_a_record_without_a_field_names_it(edit: Path, name: str) -> None:
    _change(edit, lambda record: record.pop(name))
    _refused(edit, f"edit.json: the file is damaged: {name!r} is missing", "fit it again")


@pytest.mark.parametrize("text", ["[]", "3", "null"])
def test_a_record_of_another_form(edit: Path, text: str) -> None:
    (edit / "edit.json").write_text(text)
    _refused(edit, "'format' is missing")


def test_another_format_says_who_wrote_it(edit: Path) -> None:
    _change(edit, lambda record: record.update(format=99, evenhand="9.0"))
    _refused(edit, "written by evenhand 9.0 in format 99", f"({__version__}) reads 1; update evenhand")


def test_tensors_that_are_missing(edit: Path) -> None:
    (edit / "edit.safetensors").unlink()
    _refused(edit, "edit.safetensors: the file is missing", "copy the edit's whole folder again")


def test_tensors_that_are_cut_off(edit: Path) -> None:
    whole = (edit / "edit.safetensors").read_bytes()
    for part in (b"", b"short", whole[:-3]):
        (edit / "edit.safetensors").write_bytes(part)
        _refused(edit, "edit.safetensors: the file is damaged: it is cut off, or no safetensors file")


def test_files_that_cannot_be_read(edit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path, *_: object, **__: object) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", denied)
        _refused(edit, "edit.safetensors: the file cannot be read (Permission denied)")
    monkeypatch.setattr(Path, "read_text", denied)
    _refused(edit, "edit.json: the file cannot be read (Permission denied)")


def test_files_of_two_edits(edit: Path, tmp_path: Path) -> None:
    _file.save(_units(5), tmp_path / "other", {}, {})
    (edit / "edit.safetensors").write_bytes((tmp_path / "other" / "edit.safetensors").read_bytes())
    _refused(edit, "edit.safetensors: the file and edit.json do not belong together: one is of another edit")


@pytest.mark.parametrize("composed", [False, True])
def test_a_kind_that_is_not_known_here(tmp_path: Path, composed: bool) -> None:
    _file.save(Compose((_units(),)) if composed else _units(), tmp_path / "e", {}, {})

    def newer(record: dict[str, Any]) -> None:
        record["evenhand"] = "9.0"
        (record["settings"]["parts"][0] if composed else record)["kind"] = "scael"

    _change(tmp_path / "e", newer)
    _refused(tmp_path / "e", "unknown name 'scael'; did you mean 'scale'?", "known: compose, ",
             f"written by evenhand 9.0, this is {__version__}: an older one has to be", kind=UsageError)  # fmt: skip


@pytest.mark.parametrize("mechanism", ["weigth", 5, None])
def test_a_mechanism_that_is_none(edit: Path, mechanism: object) -> None:
    _change(edit, lambda record: record["settings"].update(mechanism=mechanism))
    _refused(edit, f"mechanism is {mechanism!r}, expected weight or activation")


def _other_tensors(edit: Path) -> None:
    save_file({"rows": torch.zeros(2, dtype=torch.long)}, edit / "edit.safetensors")
    _change(edit, lambda record: record.update(tensors=_file._sha256(edit / "edit.safetensors")))


def test_settings_and_tensors_that_the_kind_refuses(edit: Path) -> None:
    said = "the settings or tensors are not those of an edit of kind 'scale': "
    whole = (edit / "edit.json").read_text()
    for change, why in (
        (lambda record: record["settings"].pop("factor"), "there is no 'factor'"),
        (lambda record: record["settings"].update(layout=3), "a value has another type"),
        (lambda record: record["settings"]["layout"].update(sites=[]), "units must lie between 0 and"),
    ):
        (edit / "edit.json").write_text(whole)
        _change(edit, change)
        _refused(edit, said + why, "fit it again")
    (edit / "edit.json").write_text(whole)
    _other_tensors(edit)
    _refused(edit, said + "there is no 'units'")
