"""RedditBias, HolisticBias, HateCheck, ToxiGen and BOLD as they are read: counts, known defects, what is refused.

No sentence of theirs stands here, and none is shown when a test fails: what is compared is counts and names.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest

from evenhand.core.errors import CannotRun
from evenhand.core.scenario import Scenario
from evenhand.scenarios import bold, hatecheck, holisticbias, redditbias, toxigen
from evenhand.scenarios._data import Source
from evenhand.scenarios._load import load_scenario
from evenhand.scenarios._shared.redditbias import TYPES
from evenhand.scenarios._shared.redditbias import source as pairs


def _flaws(scenario: Scenario) -> Counter[str]:
    return Counter(case.flaw for case in scenario.cases if case.flaw)


def _ids_are_unique(scenario: Scenario) -> bool:
    return len({case.id for case in scenario.cases}) == len(scenario.cases)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "counts", "same", "again"),
    [
        ("redditbias", {"gender": 253, "race": 254, "orientation": 235, "religion1": 238, "religion2": 236}, 1, 2),
        (
            "redditbias_valid",
            {"gender": 252, "race": 253, "orientation": 234, "religion1": 238, "religion2": 235},
            2,
            6,
        ),
    ],
)
def test_redditbias(data_dir: Path, name: str, counts: dict[str, int], same: int, again: int) -> None:
    scenario = load_scenario(name, data_dir)
    assert Counter(case.context for case in scenario.cases) == counts
    assert sum(counts.values()) == len({case.cluster for case in scenario.cases})
    flaws = _flaws(scenario)
    assert flaws["nothing was swapped: both sentences are the same"] == same
    assert flaws["the same comment stands there before, or in the test split"] == again
    assert sum(flaws.values()) == same + again
    assert sum(case.options[0] == case.options[1] for case in scenario.cases) == same
    apart = [len(set(case.options[0].split()) ^ set(case.options[1].split())) for case in scenario.cases]
    assert sum(1 <= words <= 4 for words in apart) / len(apart) > 0.98


@pytest.mark.data
def test_a_pair_of_both_splits_of_redditbias_is_marked_in_one(data_dir: Path) -> None:
    test = {case.options for case in load_scenario("redditbias", data_dir).cases}
    shared = [case for case in load_scenario("redditbias_valid", data_dir).cases if case.options in test]
    assert Counter(case.context for case in shared) == {"religion1": 6}
    assert all(case.flaw for case in shared)


@pytest.mark.data
def test_hatecheck_has_341_hateful_templates_about_seven_groups(data_dir: Path) -> None:
    scenario = load_scenario("hatecheck", data_dir)
    assert scenario.groups == (
        "women", "trans people", "gay people", "black people", "disabled people", "Muslims", "immigrants",
    )  # fmt: skip
    templates = {side: {} for side in ("hateful", "neutral")}
    for case in scenario.cases:
        templates[case.fact("side")].setdefault(case.fact("template"), []).append(case.group)
    assert len(templates["hateful"]) == 341
    assert len(templates["neutral"]) == 45
    assert all(set(about) == set(scenario.groups) for few in templates.values() for about in few.values())
    assert all(len(about) == 7 for about in templates["neutral"].values())
    assert sum(map(len, templates["hateful"].values())) == 2563
    assert not templates["hateful"].keys() & templates["neutral"].keys()
    functions = {case.fact("function") for case in scenario.cases if case.fact("side") == "neutral"}
    assert functions == set(hatecheck.NEUTRAL)
    assert _flaws(scenario) == {"misspelt on purpose": 760}
    assert len({case.cluster for case in scenario.cases if case.flaw}) == 96
    assert not any(case.prompt != case.prompt.strip() for case in scenario.cases)
    assert _ids_are_unique(scenario)


@pytest.mark.data
def test_toxigen(data_dir: Path) -> None:
    scenario = load_scenario("toxigen", data_dir)
    assert Counter(case.fact("side") for case in scenario.cases) == {"hateful": 2767, "neutral": 3747}
    assert Counter(case.group for case in scenario.cases) == {
        "asian": 432, "black": 548, "chinese": 425, "jewish": 523, "latino": 286, "lgbtq": 593, "mental dis": 611,
        "mexican": 450, "middle-eastern": 427, "muslim": 532, "native-american": 495, "physical dis": 587, "women": 605,
    }  # fmt: skip
    assert len(scenario.groups) == 13
    assert _flaws(scenario) == {
        "about several groups": 161, "labelled hateful and neutral": 20, "the same text comes before": 89,
        "holds a backslash of its source": 274,
    }  # fmt: skip
    again = len(scenario.cases) - len({case.prompt for case in scenario.cases})
    assert again == 106
    assert not any("_x000D_" in text or text != " ".join(text.split()) for text in (c.prompt for c in scenario.cases))
    assert _ids_are_unique(scenario)


@pytest.mark.data
def test_what_is_repaired_in_toxigen_is_there_in_the_file(data_dir: Path) -> None:
    rows = json.loads((data_dir / toxigen.SOURCE.folder / toxigen.FILE).read_text(encoding="utf-8"))
    assert sum("_x000D_" in row["text"] for row in rows) == 34
    assert sum(row["text"] != row["text"].strip() for row in rows) == 781
    nested = Counter(toxigen.NARROWER.get(frozenset(row["target_groups"])) for row in rows)
    assert nested["chinese"] + nested["mexican"] == 856
    assert max(row["toxicity_score"] for row in rows if row["label"] == "neutral") == 3
    assert min(row["toxicity_score"] for row in rows if row["label"] == "hate") > 3


@pytest.mark.data
def test_holisticbias_meets_every_descriptor_in_every_form(data_dir: Path) -> None:
    scenario = load_scenario("holisticbias", data_dir)
    forms = holisticbias.TEMPLATES * len(holisticbias.NOUNS)
    met = Counter((case.cluster, case.fact("form")) for case in scenario.cases)
    assert set(met.values()) == {1}
    assert len(met) == 583 * forms == len(scenario.cases)
    assert Counter(case.context for case in scenario.cases if case.fact("form") == "0") == {
        "ability": 38, "age": 61, "body_type": 144, "characteristics": 67, "cultural": 33, "gender_and_sex": 65,
        "nationality": 26, "nonce": 8, "political_ideologies": 23, "race_ethnicity": 32, "religion": 49,
        "sexual_orientation": 20, "socioeconomic_class": 17,
    }  # fmt: skip
    assert Counter(case.fact("preference") for case in scenario.cases) == {
        "": 468 * forms, "reviewed": 67 * forms, "dispreferred": 43 * forms, "polarizing": 5 * forms,
    }  # fmt: skip
    words = Counter(case.cluster.split("/", 1)[1] for case in scenario.cases if case.fact("form") == "0")
    assert sum(times == 2 for times in words.values()) == 4
    assert not _flaws(scenario)
    prompts = {case.prompt for case in scenario.cases}
    assert not any("{" in prompt or " a a" in prompt or "  " in prompt for prompt in prompts)
    assert any(" a US-born " in prompt for prompt in prompts)


def test_articles_follow_the_first_letter() -> None:
    entry = {"descriptor": "one-armed", "article": "a"}
    assert holisticbias._descriptor("x", "unusual").article == "an"
    assert holisticbias._descriptor("x", "tall").article == "a"
    assert holisticbias._descriptor("x", entry).article == "a"


@pytest.mark.data
def test_bold(data_dir: Path) -> None:
    scenario = load_scenario("bold", data_dir)
    assert Counter(case.context for case in scenario.cases) == {
        "gender": 3204, "race": 7657, "profession": 10195, "religious_ideology": 637, "political_ideology": 1981,
    }  # fmt: skip
    groups = {domain: {case.group for case in scenario.cases if case.context == domain} for domain in bold.DOMAINS}
    assert {domain: len(found) for domain, found in groups.items()} == {
        "gender": 2, "race": 4, "profession": 18, "religious_ideology": 7, "political_ideology": 12,
    }  # fmt: skip
    assert len(scenario.groups) == 43
    assert _flaws(scenario) == {
        "the same beginning comes before": 182, "a beginning of less than three words": 54,
    }  # fmt: skip
    clusters = {group: {case.cluster for case in scenario.cases if case.group == group} for group in scenario.groups}
    assert min(map(len, clusters.values())) >= 5
    assert (len(clusters["American_actors"]), len(clusters["atheism"])) == (1587, 28)
    assert all(case.prompt and case.prompt == case.prompt.rstrip() for case in scenario.cases)
    assert _ids_are_unique(scenario)


@pytest.mark.data
@pytest.mark.parametrize(
    ("source", "files"),
    [(pairs(), 20), (hatecheck.SOURCE, 1), (toxigen.SOURCE, 1), (holisticbias.SOURCE, 3), (bold.SOURCE, 5)],
    ids=lambda each: each.folder if isinstance(each, Source) else "",
)
def test_what_can_be_downloaded_is_what_was_read_here(data_dir: Path, source: Source, files: int) -> None:
    assert len(source.pinned) == files
    for file, (url, sha256) in source.pinned.items():
        assert url.startswith("https://raw.githubusercontent.com/")
        assert hashlib.sha256((data_dir / source.folder / file).read_bytes()).hexdigest() == sha256


@pytest.mark.parametrize("name", ["redditbias", "redditbias_valid", "hatecheck", "toxigen", "holisticbias", "bold"])
def test_a_missing_file_names_source_licence_and_citation(name: str, tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match=r"there is no file .*licence .*cite .*from https://"):
        load_scenario(name, tmp_path)


def test_comments_that_are_no_pairs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "redditbias").mkdir()
    for number, group in enumerate(TYPES["gender"]):
        file = tmp_path / "redditbias" / f"reddit_comments_gender_{group}_biased_test_reduced.csv"
        file.write_text("comments_processed\n" + "a line\n" * (number + 1), encoding="utf-8")
    with pytest.raises(CannotRun, match="1 comments about female and 2 with male"):
        redditbias.load(tmp_path)


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("toxigen/toxigen_human_agreed.json", '[{"text": "x", "label": "odd", "target_groups": ["a"]}]', "entry 0"),
        ("toxigen/toxigen_human_agreed.json", '[{"text": "x", "label": "hate", "target_groups": []}]', "entry 0"),
        ("bold/gender_prompt.json", '{"actors": ["x"]}', "no classes of entities"),
        ("holisticbias/descriptors.json", '{"age": ["x"]}', "do not hold axes"),
        (
            "hatecheck/test_suite_cases.csv",
            "functionality,case_id,test_case,label_gold,target_ident,templ_id,case_templ,focus_words\n"
            "f,1,x,hateful,a,1,x,x\nf,2,x,hateful,b,2,x,x\n",
            "no template is about all groups",
        ),
    ],
)
def test_other_files_of_that_name_are_refused(tmp_path: Path, file: str, text: str, says: str) -> None:
    path = tmp_path / file
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CannotRun, match=says):
        load_scenario(path.parent.name, tmp_path)


def test_a_toxigen_statement_is_repaired_and_judged(tmp_path: Path) -> None:
    rows = [
        {"text": "- one_x000D_ two", "label": "neutral", "target_groups": ["asian", "chinese"]},
        {"text": " three", "label": "hate", "target_groups": ["women", "black"]},
        {"text": "four", "label": "hate", "target_groups": ["women"]},
        {"text": "four ", "label": "hate", "target_groups": ["women"]},
        {"text": "five", "label": "hate", "target_groups": ["women"]},
        {"text": "five", "label": "neutral", "target_groups": ["women"]},
        {"text": "six\\n", "label": "neutral", "target_groups": ["women"]},
    ]
    (tmp_path / "toxigen").mkdir()
    (tmp_path / "toxigen" / toxigen.FILE).write_text(json.dumps(rows), encoding="utf-8")
    cases = toxigen.load(tmp_path).cases
    assert [(case.prompt, case.group) for case in cases[:2]] == [("- one two", "chinese"), ("three", "women")]
    assert [case.flaw for case in cases] == [
        "", "about several groups", "", "the same text comes before", "labelled hateful and neutral",
        "labelled hateful and neutral", "holds a backslash of its source",
    ]  # fmt: skip
