"""WikiText-2 in articles and the fairy tales in passages: nothing lost, nothing twice, every token counted once."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

from evenhand.core.measuring import point
from evenhand.lm.load import load
from evenhand.lm.read import read
from evenhand.lm.tokens import encode
from evenhand.measures.bits_per_byte import BitsPerByte
from evenhand.measures.perplexity import Perplexity
from evenhand.scenarios._load import load_scenario
from evenhand.testing.tiny import tiny_lm
from oracles import plain_scoring as oracle


@pytest.mark.data
def test_the_test_set_has_60_articles_and_keeps_all_its_words(data_dir: Path) -> None:
    found = load_scenario("wikitext", data_dir)
    assert len(found.cases) == len({case.cluster for case in found.cases}) == 60
    words = (data_dir / "wikitext2" / "test.txt").read_text(encoding="utf-8").split()
    assert " ".join(case.prompt for case in found.cases).split() == words
    assert all(re.match(r"= [^=]+ =\n", case.prompt) for case in found.cases)
    (formula,) = [case.prompt for case in found.cases if case.prompt.startswith("= Constant k filter =")]
    assert "\n= 1 <unk> / s and a nominal <unk> k =\n" in formula


@pytest.mark.data
def test_the_tales_are_cut_into_505_passages_at_ends_of_sentences(data_dir: Path) -> None:
    found = load_scenario("fairytales", data_dir)
    assert len(found.cases) == 505
    assert len({case.cluster for case in found.cases}) == 46
    sizes = [len(case.prompt.split()) for case in found.cases]
    assert sum(sizes) == 108058
    assert min(sizes) > 100
    assert max(sizes) <= 300
    assert all(re.match("[A-Z\"'“‘]", case.prompt) for case in found.cases)


def test_titles_stand_alone_and_headings_and_formulas_are_no_titles(tmp_path: Path) -> None:
    (tmp_path / "wikitext2").mkdir()
    lines = [
        "",
        "= One =",
        "",
        "Text .",
        "",
        "= = A part = =",
        "",
        "a word =",
        "= k =",
        "more",
        "",
        "= Two ( 2 ) =",
        "",
        "End .",
    ]
    (tmp_path / "wikitext2" / "test.txt").write_text("".join(f" {line} \n" for line in lines))
    assert [case.prompt for case in load_scenario("wikitext", tmp_path).cases] == [
        "= One =\nText .\n= = A part = =\na word =\n= k =\nmore",
        "= Two ( 2 ) =\nEnd .",
    ]


def test_a_short_rest_stays_with_the_last_passage(tmp_path: Path) -> None:
    (tmp_path / "fairytaleqa_text").mkdir()
    sentence = 'Mr. Fox said, "No, I will not come," and ' + "ran " * 30 + "home. "
    rows = [{"story": name, "text": (sentence * n).strip()} for name, n in (("long", 12), ("short", 7), ("tiny", 1))]
    path = tmp_path / "fairytaleqa_text" / "stories_val_test.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    cases = load_scenario("fairytales", tmp_path).cases
    assert [(case.id, case.cluster) for case in cases] == [
        ("long/0", "long"), ("long/1", "long"), ("short/0", "short"), ("tiny/0", "tiny"),
    ]  # fmt: skip
    assert [case.prompt.count("Fox") for case in cases] == [5, 7, 7, 1]
    assert all(case.prompt.startswith("Mr. Fox") and case.prompt.endswith("home.") for case in cases)


@pytest.mark.data
@pytest.mark.models
def test_a_whole_article_is_read_in_windows_and_every_token_counts_once(data_dir: Path, models_dir: Path) -> None:
    lm = load(models_dir / "stories260K")
    about = load_scenario("wikitext", data_dir).where(lambda case: case.id == "9")
    (readout,) = read(lm, about)
    ids = encode(lm, about.cases[0].prompt, whole=True).ids
    assert len(ids) > 2 * 512
    assert int(readout.arrays["tokens"][0]) == len(ids) - 1
    perplexity, bits = (point(each, readout)["value"] for each in (Perplexity(), BitsPerByte()))
    assert math.log2(perplexity) * (len(ids) - 1) / len(about.cases[0].prompt.encode()) == pytest.approx(bits)


@pytest.mark.parametrize("name", ["gpt2", "bert", "t5"])
def test_every_sort_of_model_is_as_perplexed_as_a_slow_oracle_says(name: str, tmp_path: Path) -> None:
    (tmp_path / "wikitext2").mkdir()
    (tmp_path / "wikitext2" / "test.txt").write_text(" \n = One = \n \n She sold the car . \n")
    lm, about = tiny_lm(name), load_scenario("wikitext", tmp_path)
    terms = oracle.text(lm, about.cases[0].prompt)
    (readout,) = read(lm, about)
    assert point(Perplexity(), readout)["value"] == pytest.approx(math.exp(-sum(terms) / len(terms)), rel=1e-4)
