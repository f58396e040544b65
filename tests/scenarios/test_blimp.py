"""BLiMP: rows, and pairs that differ in what the paradigm says."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from evenhand.core.measuring import point
from evenhand.lm.read import read
from evenhand.measures.pair_accuracy import PairAccuracy
from evenhand.scenarios._load import load_scenario
from evenhand.testing.tiny import tiny_lm


@pytest.mark.data
def test_there_are_67_paradigms_and_all_pairs_of_the_one_on_gender(data_dir: Path) -> None:
    found = load_scenario("blimp", data_dir)
    sizes = Counter(case.context for case in found.cases)
    assert len(sizes) == 67
    assert sizes.pop("anaphor_gender_agreement") == 1000
    assert set(sizes.values()) == {100}
    assert len({case.id for case in found.cases}) == 7600
    assert len({case.options for case in found.cases}) == 7600
    for case in found.cases:
        good, bad = case.options
        assert good != bad
        assert good[0] == bad[0] == " " != good[1]
    gendered = {"himself", "herself", "itself"}
    for case in found.only(["anaphor_gender_agreement"]).cases:
        good, bad = (set(option.strip(" .").split()) for option in case.options)
        assert len(good ^ bad) == 2
        assert good ^ bad <= gendered


def test_a_pair_is_scored_whole_and_the_first_sentence_is_the_good_one(tmp_path: Path) -> None:
    (tmp_path / "blimp_subset").mkdir()
    row = {"UID": "anaphor_gender_agreement", "field": "morphology", "linguistics_term": "agreement", "pairID": "0"}
    row |= {"sentence_good": "Ann hurt herself.", "sentence_bad": "Ann hurt himself."}
    other = row | {"UID": "order", "sentence_good": "She sold the car.", "sentence_bad": "She the car sold."}
    for file, rows in (("anaphor_gender_agreement.jsonl", [row]), ("blimp_first100.jsonl", [row, other])):
        (tmp_path / "blimp_subset" / file).write_text("".join(json.dumps(each) + "\n" for each in rows))
    about = load_scenario("blimp", tmp_path)
    assert [case.id for case in about.cases] == ["anaphor_gender_agreement/0", "order/0"]
    assert about.cases[0].options == (" Ann hurt herself.", " Ann hurt himself.")
    for name in ("gpt2", "bert", "t5"):
        (readout,) = read(tiny_lm(name), about)
        assert point(PairAccuracy(), readout)["value"] == float((readout.value > 0).double().mean())
