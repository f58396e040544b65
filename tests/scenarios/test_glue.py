"""RTE, MRPC and QNLI from rows of our own in the form in which GLUE, and Microsoft, give the tables out."""

from __future__ import annotations

from pathlib import Path

import pytest

from evenhand.core.errors import CannotRun
from evenhand.core.measuring import point
from evenhand.find import build
from evenhand.lm.read import read
from evenhand.scenarios._load import load_scenario
from evenhand.testing.tiny import tiny_lm
from oracles import plain_scoring as oracle

FILES = {"rte": "RTE/dev.tsv", "mrpc": "MRPC/dev.tsv", "qnli": "QNLI/dev.tsv"}
PARAPHRASES = (
    "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
    '1\t7\t8\t"It rains," said Ann.\tAnn said "it rains.\n0\t9\t10\tAnn {0} sold the car.\tBob has a car.\n'
)
TABLES = {
    "rte": "index\tsentence1\tsentence2\tlabel\n"
    '0\t"It rains," she said {0}.\tIt "rains.\tentailment\n'
    "1\tAnn sold a car.\tAnn bought a car.\tnot_entailment\n",
    "mrpc": PARAPHRASES,
    "qnli": "index\tquestion\tsentence\tlabel\n"
    '0\t"Who" sold {0}?\tAnn sold "it.\tentailment\n1\tWho sold it?\tIt was blue.\tnot_entailment\n',
}
ASKED = {
    "rte": {
        '"It rains," she said {0}.\nQuestion: It "rains. True or False?\nAnswer:': " True",
        "Ann sold a car.\nQuestion: Ann bought a car. True or False?\nAnswer:": " False",
    },
    "mrpc": {
        'Sentence 1: "It rains," said Ann.\nSentence 2: Ann said "it rains.\n'
        "Question: Do both sentences mean the same thing?\nAnswer:": " yes",
        "Sentence 1: Ann {0} sold the car.\nSentence 2: Bob has a car.\n"
        "Question: Do both sentences mean the same thing?\nAnswer:": " no",
    },
    "qnli": {
        '"Who" sold {0}?\nAnn sold "it.\nQuestion: Does this response answer the question?\nAnswer:': " yes",
        "Who sold it?\nIt was blue.\nQuestion: Does this response answer the question?\nAnswer:": " no",
    },
}
"""Every prompt and the option that is right."""


def put(folder: Path, file: str, table: str) -> Path:
    path = folder / "glue" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(table.encode())
    return folder


@pytest.mark.parametrize("how", ["as GLUE writes it", "as Windows writes it", "without a last line end"])
@pytest.mark.parametrize("name", FILES)
def test_a_row_is_asked_as_lm_eval_asks_it(name: str, how: str, tmp_path: Path) -> None:
    table = TABLES[name]
    if how == "as Windows writes it":
        table = "\ufeff" + table.replace("\n", "\r\n")
    if how == "without a last line end":
        table = table.removesuffix("\n")
    about = load_scenario(name, put(tmp_path, FILES[name], table))
    right = {case.prompt: case.options[case.favourable] for case in about.cases if case.favourable is not None}
    assert right == ASKED[name]
    for case in about.cases:
        assert sorted(case.options) == sorted(ASKED[name].values())


@pytest.mark.parametrize("model", ["gpt2", "bert", "t5"])
@pytest.mark.parametrize("name", FILES)
def test_its_measures_count_the_answers_of_a_slow_oracle(name: str, model: str, tmp_path: Path) -> None:
    lm, about = tiny_lm(model), load_scenario(name, put(tmp_path, FILES[name], TABLES[name]))
    (readout,) = read(lm, about)
    hits = answered = right = 0
    for case in about.cases:
        scores = {option: oracle.option(lm, case.prompt, option) for option in case.options}
        answer = max(scores, key=lambda option: scores[option])
        hits += answer == ASKED[name][case.prompt]
        answered += answer == " yes"
        right += answer == " yes" == ASKED[name][case.prompt]
    found = {each: point(build("measures", each), readout)["value"] for each in about.measures}
    assert list(found) == ["accuracy", *(["f1"] if name == "mrpc" else []), "option_mass"]
    assert found["accuracy"] == hits / 2
    if name == "mrpc":
        assert found["f1"] == 2 * right / (answered + 1)


def test_the_test_set_of_microsoft_is_read_where_the_development_set_is_not_there(tmp_path: Path) -> None:
    table = "\ufeff" + PARAPHRASES.replace("\n", "\r\n")
    put(tmp_path, "MRPC/msr_paraphrase_test.txt", table)
    about = load_scenario("mrpc", tmp_path)
    assert about.source == "glue/MRPC/msr_paraphrase_test.txt"
    assert [case.prompt for case in about.cases] == list(ASKED["mrpc"])
    assert [case.fact("positive") for case in about.cases] == ["1", "1"]
    put(tmp_path, "MRPC/dev.tsv", "".join(PARAPHRASES.splitlines(keepends=True)[:2]))
    both = load_scenario("mrpc", tmp_path)
    assert (both.source, len(both.cases)) == ("glue/MRPC/dev.tsv", 1)


@pytest.mark.parametrize("name", FILES)
def test_without_the_table_the_error_says_which_and_where(name: str, tmp_path: Path) -> None:
    with pytest.raises(CannotRun) as caught:
        load_scenario(name, tmp_path)
    for word in (str(tmp_path / "glue" / FILES[name]), "gluebenchmark.com", "separated by tabs", "put it there"):
        assert word in str(caught.value)
    assert ("or MRPC/msr_paraphrase_test.txt" in str(caught.value)) == (name == "mrpc")


@pytest.mark.parametrize(
    ("name", "table", "says"),
    [
        ("rte", "index\tsentence1\tsentence2\tlabel\n0\tIt rains.\tIt pours.\t-1\n",
         r"row 0: the label is '-1', not one of entailment, not_entailment; use the development set"),
        ("qnli", "index\tquestion\tsentence\tlabel\n0\tWho?\tAnn.\t\n", "line 2: the column 'label' is empty"),
        ("qnli", "index\tquestion\tsentence\n0\tWho?\tAnn.\n", "no column 'label' .*test set has no labels"),
        ("mrpc", "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t1\t2\tAnn came.\tAnn went.\n",
         "no column 'Quality' .*test set has no labels"),
        ("mrpc", "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t1\t2\tAnn\tcame.\tAnn went.\n",
         "line 2: more cells than the header has columns"),
        ("rte", "index\tsentence1\tsentence2\tlabel\n0\tIt rains.\tIt pours.\n", "the column 'label' is empty"),
        ("rte", "index\tsentence1\tsentence2\tlabel\n", "there are no rows in it"),
    ],
)  # fmt: skip
def test_what_has_no_labels_or_shifted_cells_is_refused(name: str, table: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match=says):
        load_scenario(name, put(tmp_path, FILES[name], table))
