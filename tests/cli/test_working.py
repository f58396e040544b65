"""How far a locator or a method is gets said, also in a log; Ctrl-C says what is kept."""

import pytest

from evenhand.cli import screen
from evenhand.lm.scoring.forward import score_texts
from evenhand.locate.contrast import Contrast
from evenhand.testing.tiny import tiny_lm


def test_in_a_log_a_line_now_and_then_says_how_far_the_work_is(monkeypatch, capsys):
    lm, texts = tiny_lm("llama"), [f"The lamp costs {n} dollars." for n in range(40)]
    lm.budget = 64
    for quiet, lines in ((0.0, True), (3600.0, False)):
        monkeypatch.setattr(screen, "_QUIET", quiet)
        with screen.working(lm, "nothing is kept"):
            score_texts(lm, texts)
        assert ("scoring: 20 of 40" in capsys.readouterr().err) == lines
    score_texts(lm, texts)
    assert capsys.readouterr().err == "", "outside the block nobody is told"


@pytest.mark.parametrize(("command", "kept"), [("locate", "no score is kept"), ("fit", "no edit is saved")])
def test_ctrl_c_says_what_is_kept(evenhand, shop, tmp_path, monkeypatch, command, kept):
    def stopped(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(Contrast, "score", stopped)
    monkeypatch.setattr("evenhand.methods.contrast.ContrastScores.score", stopped)
    out = ["--out", tmp_path / "edit"] if command == "fit" else []
    said = evenhand(command, shop / "model", "-s", shop / "shop.toml", "-c", "lamp", *out)
    assert said.code == 130
    assert f"stopped; {kept}" in said.err
    assert not (tmp_path / "edit").exists()
