"""Help and lists are quick: they load neither torch nor transformers; every command shows an example."""

import subprocess
import sys

import pytest
from typer import _completion_shared, completion

from evenhand.find import KINDS, names

COMMANDS = ("audit", "locate", "explain", "read", "spans", "fit", "run", "report", "export", "list", "demo", "plant")
HEAVY = ("torch", "transformers", "accelerate", "peft", "plotly", "scipy", "numpy")


@pytest.mark.parametrize("args", [["--help"], ["list"], ["run", "--help"], ["lst"]], ids=" ".join)
def test_nothing_heavy_is_imported(args):
    code = (
        "import sys; sys.argv = ['evenhand', *sys.argv[1:]]\nfrom evenhand.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    pass\n"
        f"print('LOADED', [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("LOADED []")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example(evenhand, command):
    said = evenhand(command, "--help")
    assert said.code == 0
    assert f"Example: evenhand {command}" in said.out


@pytest.mark.parametrize(("shell", "has"), [("bash", "complete -o default"), ("zsh", "#compdef"), ("fish", "complete")])
def test_shells_are_told_how_to_complete(shell, has, evenhand, monkeypatch):
    monkeypatch.setattr(completion, "_get_shell_name", lambda: shell)
    said = evenhand("--show-completion")
    assert said.code == 0
    assert has in said.out
    assert "_EVENHAND_COMPLETE" in said.out


def test_completion_is_installed_and_completes(evenhand, monkeypatch, tmp_path):
    monkeypatch.setattr(_completion_shared, "_get_shell_name", lambda: "bash")  # there is none under a scheduler
    monkeypatch.setenv("HOME", str(tmp_path))
    assert evenhand("--install-completion").code == 0
    assert "_EVENHAND_COMPLETE" in (tmp_path / ".bash_completions" / "evenhand.sh").read_text()
    for typed, expected in (("au", "audit"), ("locate --dev", "--device\n--device-map")):
        words = ["evenhand", *typed.split()]
        for name, value in (("_EVENHAND_COMPLETE", "complete_bash"), ("COMP_WORDS", " ".join(words)),
                            ("COMP_CWORD", str(len(words) - 1))):  # fmt: skip
            monkeypatch.setenv(name, value)
        said = evenhand()
        assert (said.code, said.out.strip()) == (0, expected)


def test_list_shows_every_plug_in(evenhand):
    said = evenhand("list")
    assert all(f"{kind}:" in said.out for kind in KINDS)
    assert all(name in said.out for kind in KINDS for name in names(kind))
    only = evenhand("list", "methods")
    assert "measures:" not in only.out


def test_wrong_input_is_exit_2_and_one_sentence(evenhand):
    said = evenhand("list", "metods")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("evenhand: there is no kind 'metods'; did you mean 'methods'?")
    assert evenhand("audti").code == 2
    assert evenhand("fit", "m").code == 2
    assert evenhand("plant", "a", "b", "c").code == 2
