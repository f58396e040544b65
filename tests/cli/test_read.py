"""`evenhand read`: record, scores and page of a model known to hold a concept; what is refused."""

import json
import re

import pytest

from evenhand.core.represented import Represented
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
    again = evenhand(*asked)
    assert again.code == 2
    assert "holds a reading already" in again.err
    told = evenhand(*asked, "--replace", "--targets", "1", "--json")
    assert Represented.model_validate({k: v for k, v in json.loads(told.out).items() if k != "page"}).targets == (1,)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--layers", "0,7"), "there is no layer 7"),
        (("--layers", "one"), "--layers 'one': write numbers of layers"),
        (("--reading", "race_or_color"), "did you mean 'race_or_colour'"),
        (("--reading", "race_or_colour"), "the placeholder 'something' is"),
    ],
)
def test_what_cannot_be_read_is_refused(evenhand, folder, more, said):
    told = evenhand("read", folder / "model", "--reading", folder / "mine.toml", *more)
    assert told.code == 2
    assert said in told.err
