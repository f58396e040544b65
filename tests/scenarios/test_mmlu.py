"""MMLU: rows, defects, the prompt letter by letter, and what does not fit a short context."""

from __future__ import annotations

import csv
import math
from collections import Counter
from pathlib import Path

import pytest

from evenhand.core.errors import CannotRun
from evenhand.core.measuring import point
from evenhand.core.scenario import Scenario
from evenhand.lm.read import read
from evenhand.measures.accuracy import Accuracy
from evenhand.measures.option_mass import OptionMass
from evenhand.scenarios._load import load_scenario
from evenhand.scenarios._shared.mmlu import _source
from evenhand.testing.tiny import tiny_lm
from oracles import plain_scoring as oracle

SUBJECTS = sorted(file[5:-9] for file in _source().pinned if file.startswith("test/"))


@pytest.mark.data
@pytest.mark.parametrize("name", ["mmlu", "mmlu_five_shot"])
def test_there_are_14042_questions_of_57_subjects(data_dir: Path, name: str) -> None:
    found = load_scenario(name, data_dir)
    assert len(found.cases) == len({case.id for case in found.cases}) == 14042
    assert len(found.contexts) == 57
    places = Counter(case.favourable for case in found.cases)
    assert places == {0: 3222, 1: 3462, 2: 3582, 3: 3776}
    flaws = Counter(case.flaw.split(" as ")[0] for case in found.cases)
    assert flaws == {"": 13928, "two of its options are the same": 9, "the same question": 105}
    assert len({case.cluster for case in found.cases}) == 14042 - 105
    for case in found.cases:
        assert case.prompt.count("Answer:") >= (6 if name == "mmlu_five_shot" else 1)
        assert case.prompt.endswith("\nAnswer:")


@pytest.mark.data
def test_five_development_questions_are_test_questions_of_another_subject(data_dir: Path) -> None:
    asked = {case.prompt.split("\n\n", 1)[1]: case.context for case in load_scenario("mmlu", data_dir).cases}
    found: list[tuple[str, str]] = []
    for subject in SUBJECTS:
        with (data_dir / "mmlu" / "dev" / f"{subject}_dev.csv").open(encoding="utf-8", newline="") as stream:
            for question, *options, _ in csv.reader(stream):
                written = "".join(f"{letter}. {text}\n" for letter, text in zip("ABCD", options, strict=True))
                where = asked.get(f"{question.strip()}\n{written}Answer:")
                found += [(subject, where)] if where else []
    assert Counter(found) == {
        ("clinical_knowledge", "college_medicine"): 2,
        ("college_medicine", "clinical_knowledge"): 3,
    }


def made(folder: Path, name: str, question: str = " Which is it? ", letter: str = "B") -> Scenario:
    for part, rows in (("dev", 6), ("test", 2)):
        (folder / "mmlu" / part).mkdir(parents=True)
        for subject in SUBJECTS:
            with (folder / "mmlu" / part / f"{subject}_{part}.csv").open("w", newline="") as stream:
                write = csv.writer(stream)
                for i in range(rows):
                    write.writerow(
                        [question if part == "test" else f"Shown {i}?", "w", " x", "y", f"{part}{i}", letter]
                    )
    return load_scenario(name, folder)


def test_the_prompt_is_that_of_lm_eval(tmp_path: Path) -> None:
    first = made(tmp_path, "mmlu").cases[0]
    assert first.prompt == (
        "The following are multiple choice questions (with answers) about abstract algebra.\n\n"
        "Which is it?\nA. w\nB.  x\nC. y\nD. test0\nAnswer:"
    )
    assert first.options == (" A", " B", " C", " D")
    assert first.favourable == 1


def test_five_examples_stand_before_it_in_the_order_of_the_file(tmp_path: Path) -> None:
    first = made(tmp_path, "mmlu_five_shot").cases[0]
    shown = "".join(f"Shown {i}?\nA. w\nB.  x\nC. y\nD. dev{i}\nAnswer: B\n\n" for i in range(5))
    assert first.prompt == (
        "The following are multiple choice questions (with answers) about abstract algebra.\n\n"
        f"{shown}Which is it?\nA. w\nB.  x\nC. y\nD. test0\nAnswer:"
    )


def test_an_answer_that_is_no_letter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="question 1: the answer is 'E', not one of A to D"):
        made(tmp_path, "mmlu", letter="E")


def test_letters_score_as_by_a_slow_oracle_and_a_question_that_does_not_fit_is_left_out(tmp_path: Path) -> None:
    about = made(tmp_path, "mmlu")
    few = about.where(lambda case: case.context in ("anatomy", "virology"))
    for name in ("gpt2", "bert", "t5"):
        lm, told = tiny_lm(name), list[str]()
        lm.notify = told.append
        (readout,) = read(lm, few)
        expected = [oracle.options(lm, case) for case in few.cases]
        assert readout.arrays["logp"].tolist() == [pytest.approx(each, abs=1e-4) for each in expected]
        right = [each.index(max(each)) == case.favourable for each, case in zip(expected, few.cases, strict=True)]
        assert point(Accuracy(), readout)["value"] == sum(right) / len(right)
        assert told == []
        if name != "t5":
            longer = sorted(len(lm.tokenizer(case.prompt + " A")["input_ids"]) for case in few.cases)
            assert longer[0] < longer[-1]
            lm.model.config.max_position_embeddings = longer[0] + 1
            (readout,) = read(lm, few)
            kept = readout.defined.tolist()
            assert 0 < sum(kept) < len(kept)
            assert len(told) == 1
            assert not math.isnan(point(OptionMass(), readout)["value"]) or name == "bert"
