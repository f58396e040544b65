"""A tiny model in a folder, a scenario beside it, and the command line as a function."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import small_shop
from evenhand.cli.main import main


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
    folder = small_shop.write(tmp_path_factory.mktemp("shop"))
    (folder / "study.toml").write_text(
        f'name = "tiny"\nscenario = {json.dumps(str(folder / "shop.toml"))}\n'
        f'utility = [{json.dumps(str(folder / "texts.toml"))}]\nfitted_on = ["lamp"]\nsizes = [1, 16]\n'
        f"[[models]]\nsource = {json.dumps(str(folder / 'model'))}\nchat = false\n"
        '[[methods]]\nname = "random"\n[bootstrap]\nreplicates = 50\n[budget]\nperplexity_rise = 10.0\n'
    )
    return folder
