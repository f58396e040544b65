"""`evenhand read`: record, scores and page of a model known to hold a concept; what is refused."""

import json
import re

import pytest

from evenhand.core.represented import Represented
from evenhand.study import represent
from rigged_reading import reading, rigged


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("read")
    lm = rigged()
    lm.model.save_pretrained(made / "model")
    lm.tokenizer.save_pretrained(made / "model")
    (made / "mine.toml").write_text(reading())
    return made


def test_a_reading_is_told_and_kept(evenhand, folder):
    asked = ("read", folder / "model", "--reading", folder / "mine.toml", "--layers=-1,1", "--out", folder / "run")
    said = evenhand(*asked)
    assert said.code == 0, said.err
    assert "The questions can tell up from down: at 1 of 2 pairs" in said.out
    assert "There the asked prompts stand at 1.00" in said.out
    assert "embedding     0.00" in said.out
    found = Represented.model_validate_json((folder / "run" / "reading.json").read_text())
    assert (found.layers, found.targets) == ((-1, 1), (2,))
    states = [json.loads(line) for line in (folder / "run" / "states.jsonl").read_text().splitlines()]
    assert len(states) == 2 * (len(found.prompts) + 3 * 16)
    assert len(states[0]["log_p"][0][0]) == 2  # question, target, concept
    page = (folder / "run" / "report.html").read_text()
    own = page[: page.index('id="figures"')]
    assert "Up or down?" in own
    assert not re.search(r'(src|href)="(?!#|data:,)', own)
    (folder / "run" / "report.html").unlink()
    drawn = evenhand("report", folder / "run")
    assert (drawn.code, drawn.out.strip()) == (0, str(folder / "run" / "report.html"))
    assert (folder / "run" / "report.html").read_text() == page
    other = evenhand(*asked, "--targets", "1")
    assert other.code == 2
    assert "holds another reading already (rigged of model" in other.err
    told = evenhand(*asked, "--replace", "--targets", "1", "--json")
    assert Represented.model_validate({k: v for k, v in json.loads(told.out).items() if k != "page"}).targets == (1,)


def test_a_stopped_reading_goes_on_where_it_was(evenhand, folder, monkeypatch):
    asked = ("read", folder / "model", "--reading", folder / "mine.toml", "--layers=0,1", "--targets", "0,1,2")
    whole, out = folder / "whole", folder / "stopped"
    assert evenhand(*asked, "--out", whole).code == 0
    score, scored = represent.log_probabilities, []

    def stopping(lm, question, target, states):
        if states is not None and target == 2 and 2 not in scored:
            scored.append(target)
            raise KeyboardInterrupt
        scored.extend([] if states is None else [target])
        return score(lm, question, target, states)

    monkeypatch.setattr(represent, "log_probabilities", stopping)
    stopped = evenhand(*asked, "--out", out)
    assert stopped.code == 130
    assert f"what is finished is in {out}. Run the same command again" in stopped.err
    assert "not a run folder" in evenhand("report", out).err
    assert len(list((out / "unfinished").iterdir())) == 4  # two probes, two of three target layers
    assert scored == [0, 1, 2]
    ended = evenhand(*asked, "--out", out)
    assert ended.code == 0
    assert scored == [0, 1, 2, 2], "what was finished is not computed again"
    assert not (out / "unfinished").exists()
    same = [json.loads((each / "reading.json").read_text()) for each in (whole, out)]
    for each in same:
        for key in ("created", "seconds", "command"):
            each.pop(key)
    assert same[0] == same[1]
    assert (whole / "states.jsonl").read_bytes() == (out / "states.jsonl").read_bytes()
    again = evenhand(*asked, "--out", out)
    assert (again.code, again.out) == (0, ended.out)
    assert "is there already and is not computed again" in again.err
    assert len(scored) == 4
    monkeypatch.setattr(represent, "log_probabilities", _stop)
    assert "nothing is kept of the reading; with --out" in evenhand(*asked).err


def _stop(*args):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--layers", "0,7"), "there is no layer 7"),
        (("--layers", "one"), "--layers 'one': write numbers of layers"),
        (("--reading", "race_or_color"), "did you mean 'race_or_colour'"),
    ],
)
def test_what_cannot_be_read_is_refused(evenhand, folder, more, said):
    told = evenhand("read", folder / "model", "--reading", folder / "mine.toml", *more)
    assert told.code == 2
    assert said in told.err
