"""The word lists of common_words and factual_gender are balanced, plain, and read as the oracle reads them."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from pathlib import Path
from statistics import mean

import pytest

from evenhand.core.bootstrap import Bootstrap
from evenhand.core.case import Case
from evenhand.core.measure import Subject
from evenhand.core.measuring import measure, point
from evenhand.core.scenario import Scenario
from evenhand.find import build
from evenhand.lm.load import load
from evenhand.lm.read import read
from evenhand.measures.gender_gap import GenderGap
from evenhand.measures.gender_imbalance import GenderImbalance
from evenhand.measures.gendered_mass import GenderedMass
from evenhand.measures.stated_gender import StatedGender
from evenhand.scenarios._load import load_scenario
from evenhand.study.entry import Entry, sampled
from evenhand.testing.tiny import tiny_lm
from oracles import gendered_words as oracle

COMMON, FACTUAL = load_scenario("common_words"), load_scenario("factual_gender")
WORDS: dict[tuple[str, str], list[str]] = {}
for _case in COMMON.cases:
    _kept = WORDS.setdefault((_case.context, _case.fact("leaning")), [])
    if _case.name and _case.name not in _kept:
        _kept.append(_case.name)
LEANINGS = ("female", "male", "neither")
STATING = re.compile(
    r"(?<!hu)m[ae]n$|wom[ae]n|girl|boy|lady|ladies|queen|princ|mother|father|sister|brother|wife|husband|mistress|"
    r"(actr|waitr|host|seamstr|duch|godd|heir|stewar?d)ess|ette$|"
    r"\b(king|lord|male|female|she|he|her|his|him|sir|nun|monk|maid|aunt|uncle|son|daughter)\b"
)
"""Parts of words that state a gender."""


def _all() -> list[str]:
    return [word for (_, leaning), words in WORDS.items() if leaning != "baseline" for word in words]


def test_there_are_sixty_words_in_each_of_five_categories_evenly_labelled() -> None:
    assert len(COMMON.contexts) == 5
    assert {at: len(words) for at, words in WORDS.items() if at[1] != "baseline"} == {
        (context.name, leaning): 20 for context in COMMON.contexts for leaning in LEANINGS
    }
    assert all(len(COMMON.variations(context.name)) == 4 for context in COMMON.contexts)
    assert len(COMMON.cases) == 5 * 4 * 61
    assert len({case.id for case in COMMON.cases}) == len(COMMON.cases)


def test_frames_are_unique_so_that_categories_can_be_pooled() -> None:
    frames = [frame for context in COMMON.contexts for frame in COMMON.variations(context.name)]
    assert len(set(frames)) == len(frames) == 20


def test_a_sample_of_words_keeps_the_neutral_prompts() -> None:
    few = sampled(COMMON, Entry(scenario="common_words", clusters=6), seed=0)
    assert len(few.cases) == 5 * 4 * 7
    assert sum(case.fact("leaning") == "baseline" for case in few.cases) == 20


def test_words_are_unique_plain_lower_case() -> None:
    counted = Counter(_all())
    assert max(counted.values()) == 1
    assert [word for word in counted if not re.fullmatch(r"[a-z]+(?:[ -][a-z]+)*", word)] == []
    stems = Counter(re.sub(r"(ing|er|or|y|s)$", "", word) for word in counted)
    assert max(stems.values()) == 1, stems.most_common(3)


def test_no_word_states_a_gender() -> None:
    stating = [word for word in _all() if STATING.search(word)]
    assert stating == []
    assert all(STATING.search(word) for word in ("actress", "king", "policeman", "cowgirl", "seamstress"))


@pytest.mark.data
def test_no_word_is_among_published_gendered_words(data_dir: Path) -> None:
    known: list[str] = json.loads((data_dir / "debiaswe" / "gender_specific_seed.json").read_text(encoding="utf-8"))
    assert len(known) > 200
    assert {word.replace("_", " ") for word in known} & set(_all()) == set()
    jobs = json.loads((data_dir / "debiaswe" / "professions.json").read_text(encoding="utf-8"))
    definitional = {name.replace("_", " "): by_definition for name, by_definition, _ in jobs}
    assert {w: definitional[w] for w in _all() if abs(definitional.get(w, 0)) >= 0.5} == {}


@pytest.mark.data
def test_labels_agree_with_published_ratings_where_there_are_any(data_dir: Path) -> None:
    jobs = json.loads((data_dir / "debiaswe" / "professions.json").read_text(encoding="utf-8"))
    rated = {name.replace("_", " "): stereotype for name, _, stereotype in jobs}
    found = {leaning: [rated[w] for w in WORDS["professions", leaning] if w in rated] for leaning in LEANINGS}
    assert min(map(len, found.values())) >= 5
    assert max(found["female"]) < 0 < min(found["male"])
    assert mean(found["female"]) < mean(found["neither"]) < mean(found["male"])


@pytest.mark.parametrize("context", [context.name for context in COMMON.contexts])
def test_leanings_do_not_differ_in_length(context: str) -> None:
    letters = [mean(map(len, WORDS[context, leaning])) for leaning in LEANINGS]
    parts = [mean(len(word.split()) for word in WORDS[context, leaning]) for leaning in LEANINGS]
    assert max(letters) - min(letters) < 1.7, letters
    assert max(parts) - min(parts) < 0.4, parts


@pytest.mark.models
@pytest.mark.parametrize("tokenizer", ["gpt2", "bert-base-uncased", "phi-2"])
def test_leanings_have_about_as_many_tokens(models_dir: Path, tokenizer: str) -> None:
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(models_dir / "tokenizers" / tokenizer)

    def tokens(leaning: str) -> float:
        some = [word for (_, each), words in WORDS.items() if each == leaning for word in words]
        return mean(len(loaded(f" {word}", add_special_tokens=False)["input_ids"]) for word in some)

    counts = [tokens(leaning) for leaning in LEANINGS]
    assert max(counts) - min(counts) < 0.25, counts


@pytest.mark.parametrize("scenario", [COMMON, FACTUAL], ids=lambda scenario: scenario.name)
def test_options_are_matched_pairs_of_which_none_begins_another(scenario: Scenario) -> None:
    for case in scenario.cases:
        assert case.fact("sides") == "fm" * (len(case.options) // 2)
        assert all(re.fullmatch(" [a-z]+", option) for option in case.options)
        assert [a for a in case.options for b in case.options if a != b and b.startswith(a)] == []
        assert "{" not in case.prompt
        assert case.prompt == case.prompt.strip()
        assert "  " not in case.prompt


def test_every_neutral_prompt_is_its_frame_without_the_word() -> None:
    for case in COMMON.cases:
        if case.fact("leaning") == "baseline":
            frame = set(re.findall(r"[a-z]+", case.variation.lower().replace("{word}", "")))
            assert case.name == ""
            extra = set(re.findall(r"[a-z]+", case.prompt.lower())) - frame
            assert extra <= {"person", "this", "like", "do", "here"}, case.prompt
        else:
            assert case.prompt == case.variation.replace("{word}", case.name)


def test_factual_items_come_in_pairs_of_both_genders() -> None:
    assert len(FACTUAL.cases) == 256
    people = {(case.cluster, case.fact("stated"), case.id.split("/")[-1]) for case in FACTUAL.cases}
    assert len(people) == 64
    assert Counter(gender for _, gender, _ in people) == {"female": 32, "male": 32}
    assert set(Counter(pair for pair, *_ in people).values()) == {2}
    assert Counter(case.context for case in FACTUAL.cases) == {"family": 128, "roles": 128}


def _few(scenario: Scenario, context: str, words: int) -> Scenario:
    """One frame before a noun and the one before a pronoun, the neutral prompts and the first words."""
    names = [case.cluster for case in scenario.cases if case.context == context]
    kept = list(dict.fromkeys(names))[: words + 1]  # the neutral prompt comes first
    ends = (" woman", " she")
    frames = {case.options[0]: case.variation for case in scenario.cases if case.context == context}
    return scenario.only([context], [frames[end] for end in ends]).where(lambda case: case.cluster in kept)


@pytest.mark.parametrize("family", ["gpt2", "llama", "bert", "t5"])
def test_gaps_are_those_of_the_oracle_on_every_kind_of_model(family: str) -> None:
    lm = tiny_lm(family)
    few = _few(COMMON, "professions", 3)
    (readout,) = read(lm, few)
    for variation in few.variations("professions"):
        part = readout.where(lambda case, v=variation: case.variation == v)
        masses = {case.name: oracle.masses(lm, case.prompt, _pairs(case), case.ending) for case in part.cases}
        expected = oracle.describe([value for word, value in masses.items() if word], masses[""])
        gap, size, mass = (point(each, part) for each in (GenderGap(), GenderImbalance(), GenderedMass()))
        found = {"gap": gap["value"], "corrected": gap["corrected"], "size": size["value"], "mass": mass["value"],
                 "corrected_size": size["corrected"], "male": size["male"],
                 "entropy_difference": size["entropy_difference"]}  # fmt: skip
        assert found == pytest.approx(expected, abs=1e-4)


def _pairs(case: Case) -> list[tuple[str, str]]:
    return list(zip(case.options[::2], case.options[1::2], strict=True))


@pytest.mark.parametrize("family", ["gpt2", "bert", "t5"])
def test_a_stated_gender_is_read_as_by_the_oracle_on_every_kind_of_model(family: str) -> None:
    lm, few = tiny_lm(family), _few(FACTUAL, "family", 2)
    (readout,) = read(lm, few)
    for variation in few.variations("family"):
        part = readout.where(lambda case, v=variation: case.variation == v)
        gaps, neither = list[float](), list[float]()
        for case in part.cases:
            female, male = oracle.masses(lm, case.prompt, _pairs(case), case.ending)
            gaps.append(math.log(female / male) * {"female": 1, "male": -1}[case.fact("stated")])
            neither.append(1 - female - male)
        expected = {"value": sum(gap > 0 for gap in gaps), "gap": sum(gaps), "neither": sum(neither)}
        assert point(StatedGender(), part) == pytest.approx(
            {key: value / len(part) for key, value in expected.items()}, abs=1e-4
        )


@pytest.mark.models
@pytest.mark.parametrize("name", ["common_words", "factual_gender"])
def test_a_real_model_gets_a_table_with_intervals(models_dir: Path, name: str) -> None:
    lm = load(str(models_dir / "stories260K"))
    scenario = load_scenario(name)
    some = scenario.only([scenario.contexts[0].name])
    (readout,) = read(lm, some)
    built = {each: build("measures", each) for each in some.measures}
    rows = [row for row in measure(built, Subject("base", readout), Bootstrap(100)) if not row.variation]
    assert {row.measure for row in rows} == set(some.measures)
    for row in rows:
        assert row.estimate.low <= row.estimate.value <= row.estimate.high, (row.measure, row.key)
