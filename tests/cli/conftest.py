"""A tiny model in a folder, a scenario beside it, and the command line as a function."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from evenhand.cli.main import main
from evenhand.testing.tiny import tiny_lm

SCENARIO = """# A tiny scenario.
name = "shop"
outcome = "choice"
options = [" 1", " 2"]
favourable = " 1"
[groups]
a = ["Maria", "Hunter", "Ann", "Bo", "Eve", "Al"]
b = ["Jamal", "Cy", "Di", "Flo", "Gus", "Hal"]
[contexts.bus]
template = "{name} waited for the bus"
[contexts.lamp]
template = "{name} bought a {item}"
[contexts.lamp.variations]
item = ["lamp", "car"]
"""
TEXTS = ("She had an old lamp.", "He gave two apples to the child.", "They waited for the late bus.",
         "The teacher asked a question.", "A yellow pencil was on the table.", "The doctor bought a car.")  # fmt: skip


@dataclass(frozen=True)
class Said:
    """What a command returned."""

    code: int
    out: str
    err: str


@pytest.fixture
def evenhand(monkeypatch, capsys):
    """The command line: exit code, stdout, stderr."""

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["evenhand", *map(str, args)])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capsys.readouterr()
        return Said(int(caught.value.code or 0), out, err)

    return run


@pytest.fixture(scope="session")
def shop(tmp_path_factory) -> Path:
    """A folder with `model`, `shop.toml`, `texts.toml` and `study.toml`."""
    folder = tmp_path_factory.mktemp("shop")
    lm = tiny_lm("llama")
    lm.model.save_pretrained(folder / "model")
    lm.tokenizer.save_pretrained(folder / "model")
    (folder / "shop.toml").write_text(SCENARIO)
    items = "".join(f"[[items]]\ntext = {json.dumps(text)}\n" for text in TEXTS)
    (folder / "texts.toml").write_text(f'name = "texts"\noutcome = "sentence"\n{items}')
    (folder / "study.toml").write_text(
        f'name = "tiny"\nscenario = {json.dumps(str(folder / "shop.toml"))}\n'
        f'utility = [{json.dumps(str(folder / "texts.toml"))}]\nfitted_on = ["lamp"]\nsizes = [1, 16]\n'
        f"[[models]]\nsource = {json.dumps(str(folder / 'model'))}\nchat = false\n"
        '[[methods]]\nname = "random"\n[bootstrap]\nreplicates = 50\n[budget]\nperplexity_rise = 10.0\n'
    )
    return folder
