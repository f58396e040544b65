"""The page about what works only while the model runs: its examples are run on a real model."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import evenhand
from evenhand import find
from evenhand.core.errors import UsageError
from evenhand.edits import _file
from evenhand.edits.decode import Decode

PAGE = (Path(__file__).parents[2] / "docs" / "run_time.md").read_text(encoding="utf-8")
GENERATE, SAVED = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_examples_run(models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(models_dir / "stories260K", "MODEL", copy_function=shutil.copyfile)
    known: dict[str, Any] = {}
    exec(GENERATE, known)
    given, answers = known["texts"]["input_ids"], known["answers"]
    assert given.shape[1] < answers.shape[1] <= given.shape[1] + 20
    plain = known["model"].generate(**known["texts"], max_new_tokens=20)
    assert answers.tolist() != plain.tolist()
    lm = evenhand.load("MODEL")
    _file.save(Decode(("A rude answer:\n",)), Path("EDIT"), lm.identity.to_json(), {})
    exec(SAVED, known)
    assert known["edit"].prefixes == ("A rude answer:\n",)
    (tmp_path / "MODEL" / "generation_config.json").write_text('{"eos_token_id": 2}')
    with pytest.raises(UsageError, match="fitted on MODEL"):
        exec(SAVED, known)


def test_every_method_that_works_only_at_run_time_is_named() -> None:
    named = set(re.findall(r"^\| \[`(\w+)`\]", PAGE, re.MULTILINE))
    alone = {"Decode", "Experts", "Prompt", "SelfAsk"}
    made = {name for name in find.names("methods") if alone & set(vars(find.module("methods", name)))}
    assert named == made
