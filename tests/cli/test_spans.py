"""`evenhand spans`: the words that would be unlearned are seen, kept, corrected and trained on."""

import json

import pytest

from evenhand.lm.load import Loading, load
from evenhand.methods.unlearning import Unlearning
from evenhand.scenarios._load import load_scenario

OWN = '''"""Beyond the end."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Own:
    """Bad spans."""

    def select(self, lm, texts, neutral):
        return [RETURNED for case in texts]
'''


@pytest.fixture
def asked(shop, tmp_path):
    """The arguments of every call."""
    (tmp_path / "hate.py").write_text("import small_training\n\n\ndef load(data):\n    return small_training.hate()\n")
    return ("spans", shop / "model", "-s", tmp_path / "hate.py", "--utility", shop / "texts.toml")


def test_the_words_and_how_much_they_are_of_the_texts_are_shown(evenhand, asked):
    said = evenhand(*asked, "--groups", "lamps")
    assert said.code == 0, said.err
    assert said.out.splitlines() == [
        "given, hate about lamps",
        "  selected word  times  texts",
        "  dull           2      2",
        "  dump           1      1",
        "",
        "3 of 3 texts have selected tokens (20.4 % of all their tokens), 10 in all",
    ]
    both = evenhand(*asked, "--json", "-l", "pmi", "--set", "least=0.5", "--set", "names=true")
    found = json.loads(both.out)
    assert found["words"] == {"dull": 4, "your": 2, "to": 2, "dump": 2, "take": 2, "so": 2, "many": 2, "here": 2}
    assert found["settings"] == {"least": 0.5, "names": True}
    assert {key: len(value) for key, value in found.items() if key in ("texts", "groups")} == {"texts": 6, "groups": 0}


def test_what_is_written_can_be_corrected_and_trained_on(evenhand, asked, tmp_path):
    out = tmp_path / "words.json"
    told = []
    lm = load(asked[1], Loading(chat=False), notify=told.append)
    scenario, texts = (load_scenario(str(path)) for path in (asked[3], asked[5]))
    assert evenhand(*asked, "-l", "random", "--set", "seed=3", "--out", out).out.endswith(f"saved in {out}\n")
    written = json.loads(out.read_text())
    assert all(each["words"] for each in written["texts"])

    def trained():
        method = Unlearning(steps=1, spans="given", spans_settings=(f"file={out}",))
        return method.fit(lm, scenario, texts).tensors()

    as_drawn = Unlearning(steps=1, spans="random", spans_settings=("seed=3",)).fit(lm, scenario, texts).tensors()
    assert all(value.equal(as_drawn[name]) for name, value in trained().items())
    share = 100 * written["coverage"]["tokens"] / written["coverage"]["of_tokens"]
    assert f"6 of 6 texts have selected tokens ({share:.1f} % of all their tokens), 20 in all" in told[0]
    written["texts"][0]["spans"] = [[0, 3]]
    out.write_text(json.dumps(written))
    assert not all(value.equal(as_drawn[name]) for name, value in trained().items())
    assert evenhand(*asked, "--set", f"file={out}").out.startswith("given, hate about all groups\n")
    assert "is there already" in evenhand(*asked, "--out", out).err


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda kept: kept["texts"].pop(), "lacks 1 of 6 texts, such as 'Take your bicycles to the dump.'"),
        (lambda kept: kept["texts"][0].update(spans=[[0, 99]]), "not all in its text of 19 characters"),
        (lambda kept: kept["texts"][0].update(spans="dull"), "texts.0.spans"),
        (lambda kept: kept.clear(), "expected spans as `evenhand spans"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(evenhand, asked, tmp_path, change, says):
    out = tmp_path / "words.json"
    evenhand(*asked, "--out", out)
    kept = json.loads(out.read_text())
    change(kept)
    out.write_text(json.dumps(kept))
    said = evenhand(*asked, "--set", f"file={out}")
    assert (said.code, said.out) == (2, "")
    assert says in said.err


@pytest.mark.parametrize(
    ("returned", "says"),
    [("((0, 99),)", "returned ((0, 99),) for a text of 19 characters"), ("((-2, 5),)", "returned ((-2, 5),)")],
)
def test_a_selector_of_yours_that_leaves_the_text_is_told(evenhand, asked, tmp_path, returned, says):
    (tmp_path / "own.py").write_text(OWN.replace("RETURNED", returned))
    said = evenhand(*asked, "-l", tmp_path / "own.py")
    assert said.code == 3
    assert f"{tmp_path / 'own.py'}, line 5: select() {says}" in said.err


def test_mistakes_are_told(evenhand, asked):
    for code, text, more in (
        (2, "has no group 'lamp' to unlearn", ("-g", "lamp")),
        (2, "did you mean 'lexicon'?", ("-l", "lexikon")),
        (2, "has no setting 'off'; did you mean 'of'?", ("--set", "off=both")),
    ):
        said = evenhand(*asked, *more)
        assert (said.code, said.out) == (code, "")
        assert text in said.err
