"""A plug-in of one's own that fails is told as such, with its line; evenhand's own failures as its own."""

import pytest

METHOD = '''"""A method of ours."""
from dataclasses import dataclass


@dataclass(frozen=True)
class MyMethod:
    """Does nothing."""

    space: str = "neuron"

    def fit(self, lm, bias, utility):
        return 1 / len(bias.cases[len(bias.cases) :])

    def path(self, lm, bias, utility, sizes):
        return [None for _ in sizes]
'''
LOCATOR = '''"""A locator of ours."""
from dataclasses import dataclass


@dataclass(frozen=True)
class MyLocator:
    """Scores nothing."""

    space: str = "neuron"

    def score(self, lm, scenario):
        return lm.nothing
'''


@pytest.fixture
def method(tmp_path):
    file = tmp_path / "my_method.py"
    file.write_text(METHOD)
    return file


def test_fit_and_locate_name_file_and_line(evenhand, shop, method, tmp_path):
    asked = (shop / "model", "-s", shop / "shop.toml", "-c", "lamp")
    fit = ("fit", *asked, "-m", method, "--utility", shop / "texts.toml", "--out", tmp_path / "edit")
    said = evenhand(*fit)
    assert (said.code, said.out) == (3, "")
    assert said.err.startswith(f"evenhand: {method}, line 12: this plug-in stopped in fit() with ZeroDivisionError")
    assert "please report it" not in said.err
    said = evenhand(*fit, "--units", 3)
    assert said.code == 3
    assert f"{method}, line 5: path() of 'MyMethod' must return evenhand.core.edit.Edit, not NoneType" in said.err
    locator = tmp_path / "my_locator.py"
    locator.write_text(LOCATOR)
    said = evenhand("locate", *asked, "-l", locator)
    assert (said.code, said.out) == (3, "")
    assert f"{locator}, line 12: this plug-in stopped in score() with AttributeError: " in said.err
    locator.write_text(LOCATOR.replace("lm.nothing", "3"))
    said = evenhand("locate", *asked, "-l", locator)
    assert f"{locator}, line 5: score() of 'MyLocator' must return evenhand.core.component.Attribution" in said.err


def test_a_study_goes_on_without_the_cell(evenhand, shop, method, tmp_path):
    text = (shop / "study.toml").read_text()
    study = tmp_path / "study.toml"
    study.write_text(f'{text}\n[[methods]]\nname = "{method}"\n[[methods]]\nname = "{method}"\nsizes = "paper"\n')
    said = evenhand("run", study, "--out", tmp_path / "run")
    assert said.code == 3
    assert "my_method.py, line 5: path() of 'MyMethod' must return evenhand.core.edit.Edit" in said.err
    assert "my_method.py, line 12: this plug-in stopped in fit() with ZeroDivisionError" in said.err
    assert len(list((tmp_path / "run" / "cells").iterdir())) == 1, "the other method's cell is computed"


def test_the_whole_traceback_is_there_when_asked_for(evenhand, shop, method, tmp_path, monkeypatch):
    monkeypatch.setenv("EVENHAND_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        evenhand("fit", shop / "model", "-s", shop / "shop.toml", "-m", method, "--utility", shop / "texts.toml",
                 "--out", tmp_path / "edit")  # fmt: skip


def test_an_error_of_evenhands_own_asks_to_be_reported(evenhand, shop, monkeypatch):
    monkeypatch.setattr("evenhand.cli.options.open_scenario", lambda name, contexts: 1 / 0)
    said = evenhand("locate", shop / "model", "-s", shop / "shop.toml")
    assert said.code == 3
    assert "stopped by an error of its own (ZeroDivisionError" in said.err
    assert "please report it" in said.err
