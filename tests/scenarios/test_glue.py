"""RTE, MRPC and QNLI from tables of our own in the form that GLUE gives them."""

from __future__ import annotations

from pathlib import Path

import pytest

from evenhand.core.errors import CannotRun
from evenhand.core.measure import point
from evenhand.lm.read import read
from evenhand.measures.accuracy import Accuracy
from evenhand.scenarios._load import load_scenario
from evenhand.testing.tiny import tiny_lm

FILES = {"rte": "RTE/dev.tsv", "mrpc": "MRPC/dev.tsv", "qnli": "QNLI/dev.tsv"}
TABLES = {
    "rte": "index\tsentence1\tsentence2\tlabel\n"
    '0\t"It rains," she said {0}.\tIt rains.\tentailment\n'
    "1\tAnn sold a car.\tAnn bought a car.\tnot_entailment\n",
    "mrpc": "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
    "1\t7\t8\tAnn sold the car.\tThe car was sold by Ann.\n0\t9\t10\tAnn sold the car.\tBob has a car.\n",
    "qnli": "index\tquestion\tsentence\tlabel\n"
    "0\tWho sold it?\tAnn sold it.\tentailment\n1\tWho sold it?\tIt was blue.\tnot_entailment\n",
}
PROMPTS = {
    "rte": ('"It rains," she said {0}.\nQuestion: It rains. True or False?\nAnswer:', " True", " False"),
    "mrpc": (
        "Sentence 1: Ann sold the car.\nSentence 2: The car was sold by Ann.\n"
        "Question: Do both sentences mean the same thing?\nAnswer:",
        " yes",
        " no",
    ),
    "qnli": ("Who sold it?\nAnn sold it.\nQuestion: Does this response answer the question?\nAnswer:", " yes", " no"),
}


def put(folder: Path, name: str, table: str) -> Path:
    path = folder / "glue" / FILES[name]
    path.parent.mkdir(parents=True)
    path.write_text(table, encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", FILES)
def test_a_row_is_asked_as_lm_eval_asks_it(name: str, tmp_path: Path) -> None:
    about = load_scenario(name, put(tmp_path, name, TABLES[name]))
    yes, no = about.cases
    prompt, *answers = PROMPTS[name]
    assert yes.prompt == prompt
    for case, answer in ((yes, answers[0]), (no, answers[1])):
        assert case.favourable is not None
        assert case.options[case.favourable] == answer
        assert sorted(case.options) == sorted(answers)
    for model in ("gpt2", "bert", "t5"):
        (readout,) = read(tiny_lm(model), about)
        assert point(Accuracy(), readout)["value"] in (0, 0.5, 1)


@pytest.mark.parametrize("name", FILES)
def test_without_the_table_the_error_says_which_and_where(name: str, tmp_path: Path) -> None:
    with pytest.raises(CannotRun) as caught:
        load_scenario(name, tmp_path)
    for word in (str(tmp_path / "glue" / FILES[name]), "gluebenchmark.com", "separated by tabs", "put it there"):
        assert word in str(caught.value)


def test_a_test_set_without_labels_is_refused(tmp_path: Path) -> None:
    table = "index\tsentence1\tsentence2\tlabel\n0\tIt rains.\tIt pours.\tnone\n"
    with pytest.raises(CannotRun, match="row 0: the label is 'none', not one of entailment, not_entailment"):
        load_scenario("rte", put(tmp_path, "rte", table))
