"""BBQ as it is read: rows, flaws and derived answers by category, the three ways of asking, what is refused."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun
from evenhand.core.measuring import point
from evenhand.core.option_answer import pick
from evenhand.core.scenario import Scenario
from evenhand.lm.read import read
from evenhand.measures.bbq_accuracy import BbqAccuracy
from evenhand.scenarios._load import load_scenario
from evenhand.scenarios._shared import bbq
from evenhand.study.entry import Entry, sampled
from evenhand.testing.tiny import tiny_lm
from oracles import plain_scoring as oracle

ROWS = {
    "Age": 3680, "Disability_status": 1556, "Gender_identity": 5672, "Nationality": 3080, "Physical_appearance": 1576,
    "Religion": 1200, "Sexual_orientation": 864,
}  # fmt: skip
REGENERATED = {
    "SES": (6864, 16),
    "Race_ethnicity": (6880, 36),
    "Race_x_SES": (11160, 3732),
    "Race_x_gender": (15960, 5572),
}
"""Rows, and among them those whose stereotyped answer cannot be derived."""
SMALL = ("Religion", "Sexual_orientation")
SEED_0 = "bbq_regenerated_seed0"


@pytest.fixture(scope="module")
def scenarios(data_dir: Path) -> dict[str, Scenario]:
    """All official rows by full text; the other forms with small categories."""
    with pytest.MonkeyPatch.context() as patch:
        found = {"bbq": load_scenario("bbq", data_dir)}
        patch.setattr(bbq, "OFFICIAL", SMALL)
        patch.setattr(bbq, "BY_HAND", ("Race_ethnicity",))
        more = ("bbq_letters", "bbq_answers", SEED_0, f"{SEED_0}_letters", f"{SEED_0}_answers")
        return found | {name: load_scenario(name, data_dir) for name in more}


@pytest.mark.data
def test_rows_and_flaws_of_the_official_categories(scenarios: dict[str, Scenario]) -> None:
    cases = scenarios["bbq"].cases
    assert Counter(case.context for case in cases) == ROWS
    assert Counter(case.context for case in cases if case.flaw) == {"Gender_identity": 16}
    assert sum(not case.fact("target") for case in cases) == 16
    assert len({case.id for case in cases}) == len(cases) == 17_628
    assert Counter(case.fact("condition") for case in cases) == {"ambig": 8814, "disambig": 8814}
    assert Counter(case.fact("polarity") for case in cases) == {"neg": 8814, "nonneg": 8814}
    templates = {name: {case.cluster for case in cases if case.context == name} for name in ROWS}
    assert {name: len(few) for name, few in templates.items()} == dict.fromkeys(ROWS, 25) | {"Gender_identity": 50}


@pytest.mark.data
def test_regenerated_rows_stand_apart(scenarios: dict[str, Scenario], data_dir: Path) -> None:
    assert set(bbq.BY_HAND) == REGENERATED.keys()
    for name, counts in REGENERATED.items():
        items = bbq.load_items(data_dir, f"regenerated_seed0/{name}.jsonl.gz", name)
        assert (len(items), sum(item.target is None for item in items)) == counts
        assert all(bool(item.flaw) == (item.target is None) for item in items)
    contexts = {name: {case.context for case in scenario.cases} for name, scenario in scenarios.items()}
    for name in (SEED_0, f"{SEED_0}_letters", f"{SEED_0}_answers"):
        assert contexts[name] == {"Race_ethnicity (regenerated, seed 0)"}
    assert contexts["bbq"] == set(bbq.OFFICIAL)


@pytest.mark.data
@pytest.mark.parametrize("name", ["bbq", SEED_0])
def test_right_answers_and_targets_are_consistent(scenarios: dict[str, Scenario], name: str) -> None:
    aligned: Counter[str] = Counter()
    for case in scenarios[name].cases:
        assert case.favourable is not None
        assert (case.fact("condition") == "ambig") == (str(case.favourable) == case.fact("unknown"))
        assert case.fact("target") != case.fact("unknown")
        if case.fact("condition") == "disambig" and case.fact("target"):
            aligned[(str(case.favourable) == case.fact("target")) == (case.fact("polarity") == "neg")] += 1
    assert 0.45 < aligned[True] / aligned.total() < 0.55, "about half of the told answers follow the stereotype"


@pytest.mark.data
@pytest.mark.parametrize("category", [name for name in bbq.OFFICIAL if name != "Gender_identity"])
def test_targets_are_the_literal_ones(scenarios: dict[str, Scenario], data_dir: Path, category: str) -> None:
    rows = [json.loads(line) for line in (data_dir / f"bbq/data/{category}.jsonl").read_text("utf-8").splitlines()]
    cases = {case.id: case for case in scenarios["bbq"].cases}
    for row in rows:
        groups = row["additional_metadata"]["stereotyped_groups"]
        info = [row["answer_info"][f"ans{i}"] for i in range(3)]
        literal = [i for i, entry in enumerate(info) if entry[0] in groups or entry[-1] in groups]
        assert literal == [int(cases[f"{category}/{row['example_id']}"].fact("target"))]


@pytest.mark.data
@pytest.mark.parametrize("name", ["bbq", "bbq_letters"])
def test_an_even_sample_of_a_template_is_balanced(scenarios: dict[str, Scenario], name: str) -> None:
    found = sampled(scenarios[name], Entry(scenario=name, contexts=("Religion",), clusters=4, cases=12), seed=0)
    assert len(found.cases) == 48
    for fact, values in (("condition", 2), ("polarity", 2)):
        assert set(Counter(case.fact(fact) for case in found.cases).values()) == {48 // values}
    assert len(set(Counter(case.variation for case in found.cases).values())) == 1


@pytest.mark.data
def test_gender_targets_by_what_the_answers_say(scenarios: dict[str, Scenario]) -> None:
    """Where an answer says woman or girl and the other man or boy, the target is all of one and none of the other."""
    seen: Counter[str] = Counter()
    for case in scenarios["bbq"].cases:
        if case.context == "Gender_identity" and case.fact("target"):
            words = case.options[int(case.fact("target"))].lower().split()
            seen.update(word for word in ("woman", "girl", "man", "boy", "transgender") if word in words)
    assert seen["woman"] > 2 * seen["man"] > 0
    assert seen["girl"] > 0 < seen["transgender"]


def _texts(case: Case, listed: str) -> dict[int, str]:
    """Answers as listed in a prompt, by place."""
    lines = [
        line
        for line in case.prompt.split("\n")
        if line[: len(listed)].lower() in ("a. ", "b. ", "c. ", "(a) ", "(b) ", "(c) ")
    ]
    return {i: line[len(listed) :] for i, line in enumerate(lines[-3:])}


@pytest.mark.data
@pytest.mark.parametrize(("form", "listed"), [("letters", "A. "), ("answers", "(a) ")])
@pytest.mark.parametrize("text", ["bbq", SEED_0])
def test_each_answer_stands_at_each_place_once(
    scenarios: dict[str, Scenario], text: str, form: str, listed: str
) -> None:
    name = f"{text}_{form}"
    contexts = {context.name for context in scenarios[name].contexts}
    plain = [case for case in scenarios[text].cases if case.context in contexts]
    variations = ("order-012", "order-120", "order-201")
    assert {scenarios[name].variations(context) for context in contexts} == {variations}
    cases = {case.id: case for case in scenarios[name].cases}
    assert len(cases) == 3 * len(plain)
    for one in plain[::10]:
        three = [cases[f"{one.id}/{variation}"] for variation in variations]
        answers = [option.removeprefix(" ") for option in one.options]
        tables = [_texts(case, listed) for case in three]
        for fact in ("right", "target", "unknown"):
            places = [case.favourable if fact == "right" else int(case.fact(fact) or -1) for case in three]
            wanted = one.favourable if fact == "right" else int(one.fact(fact) or -1)
            if wanted != -1:
                assert sorted(places) == [0, 1, 2]
                assert {table[place] for table, place in zip(tables, places, strict=True)} == {answers[wanted]}
        assert {case.cluster for case in three} == {one.cluster}
        assert {case.fact("condition") for case in three} == {one.fact("condition")}


@pytest.mark.data
def test_full_text_is_asked_as_lm_eval_asks(scenarios: dict[str, Scenario]) -> None:
    case = scenarios["bbq"].cases[0]
    context, question = case.prompt.split("\n\n")
    assert question.startswith("Q: ")
    assert question.endswith("?\nA:")
    assert context
    assert all(option[0] == " " and option[1] != " " for one in scenarios["bbq"].cases for option in one.options)
    assert scenarios["bbq"].measures == ("bbq_bias", "bbq_accuracy")


@pytest.mark.data
def test_generated_answers_can_pick_every_option(scenarios: dict[str, Scenario]) -> None:
    for case in scenarios["bbq_answers"].cases[::53]:
        for i, option in enumerate(case.options):
            for text in (option, f"({'abc'[i]})", f"{'ABC'[i]}. {option}", f"The answer is {option}."):
                assert pick(text, True, case.options).option == i, (text, case.options)


def _row(number: int, category: str, groups: list[str], one: tuple[str, str], other: tuple[str, str]) -> str:
    """An ambiguous question in the form of the official files, with a sentence of our own."""
    row = {
        "example_id": number, "question_index": "3", "question_polarity": "neg", "context_condition": "ambig",
        "category": category,
        "answer_info": {"ans0": [*one], "ans1": ["Not known", "unknown"], "ans2": [*other]},
        "additional_metadata": {"subcategory": "None", "stereotyped_groups": groups, "version": "None", "source": ""},
        "context": f"{one[0]} and {other[0]} shared a table at the library.", "question": "Who hid the map?",
        "ans0": one[0], "ans1": "Not known", "ans2": other[0], "label": 1,
    }  # fmt: skip
    return json.dumps(row) + "\n"


@pytest.mark.parametrize("name", ["bbq", "bbq_letters", "bbq_answers"])
def test_official_files_of_the_other_categories_are_taken_where_they_are(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "bbq/data"
    folder.mkdir(parents=True)
    for category in bbq.OFFICIAL:
        (folder / f"{category}.jsonl").write_text(_row(0, category, ["old"], ("Ida", "old"), ("Bo", "nonOld")))
    assert {case.context for case in load_scenario(name, tmp_path).cases} == set(bbq.OFFICIAL)
    put = {
        "SES": (["low SES"], ("Ida", "highSES"), ("Bo", "lowSES")),
        "Race_ethnicity": (["Black", "African American"], ("Ida Lund", "F-White"), ("Bo Reed", "M-Black")),
        "Race_x_gender": (["Latino", "Hispanic"], ("Ida Lund", "F-Black"), ("Bo Cruz", "M-Latino")),
    }
    for category, (groups, one, other) in put.items():
        (folder / f"{category}.jsonl").write_text(_row(5, category, groups, one, other))
    asked = load_scenario(name, tmp_path)
    assert {context.name for context in asked.contexts} == {*bbq.OFFICIAL, *put}
    for case in asked.cases:
        if case.context in put:
            assert case.id.startswith(f"{case.context}/5")
            named = {option.strip() for option in case.options} - {"A", "B", "C"}
            assert not named or case.options[int(case.fact("target"))].strip().startswith("Bo")
            assert not case.flaw


def test_a_row_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bbq/data").mkdir(parents=True)
    row = {"example_id": 7, "question_index": "1", "question_polarity": "neg", "context_condition": "ambig",
           "category": "Age", "answer_info": {f"ans{i}": ["x", "y"] for i in range(3)},
           "additional_metadata": {"stereotyped_groups": ["y"]}, "context": "c", "question": "q?", "ans0": "x",
           "ans1": "y", "ans2": "z", "label": 0}  # fmt: skip
    (tmp_path / "bbq/data/Age.jsonl").write_text(json.dumps(row))
    with pytest.raises(CannotRun, match="row 7"):
        load_scenario("bbq", tmp_path)
    with pytest.raises(CannotRun, match=r"CC BY 4\.0"):
        load_scenario("bbq", tmp_path / "nowhere")


@pytest.mark.data
@pytest.mark.parametrize("family", ["gpt2", "bert", "t5"])
@pytest.mark.parametrize("name", ["bbq", "bbq_letters"])
def test_every_kind_of_model_scores_as_a_slow_oracle(scenarios: dict[str, Scenario], name: str, family: str) -> None:
    few = sampled(scenarios[name], Entry(scenario=name, contexts=("Religion",), clusters=2, cases=12), seed=0)
    lm = tiny_lm(family)
    (readout,) = read(lm, few)
    logp = readout.arrays["logp"]
    assert logp.shape == (24, 3)
    for case, found in list(zip(readout.cases, logp.tolist(), strict=True))[::5]:
        assert found == pytest.approx(oracle.options(lm, case), abs=1e-4), case.id
    accuracy = point(BbqAccuracy(), readout)
    for condition, key in (("ambig", "ambiguous"), ("disambig", "disambiguated")):
        asked = [i for i, case in enumerate(readout.cases) if case.fact("condition") == condition]
        right = sum(int(logp[i].argmax()) == readout.cases[i].favourable for i in asked)
        assert accuracy[key] == right / len(asked)
    assert accuracy["unknown_ambiguous"] == accuracy["ambiguous"]


@pytest.mark.data
def test_a_masked_model_cannot_write_answers(scenarios: dict[str, Scenario]) -> None:
    with pytest.raises(CannotRun, match="masked"):
        read(tiny_lm("bert"), scenarios["bbq_answers"].where(lambda case: case.id.endswith("/0/order-012")))
