"""UnQover's quadruples as they are drawn: complete, balanced, well-formed; read from models of both kinds; refusals."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun
from evenhand.core.measuring import point
from evenhand.core.scenario import Scenario
from evenhand.lm.read import read
from evenhand.measures.unqover import Unqover
from evenhand.scenarios import unqover
from evenhand.scenarios._load import load_scenario
from evenhand.scenarios._shared import unqover as shared
from evenhand.scenarios._shared.unqover import DOMAINS, Size, load_form
from evenhand.testing.tiny import tiny_lm

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def forms(data_dir: Path) -> dict[str, Scenario]:
    return {name: load_scenario(name, data_dir) for name in ("unqover", "unqover_masked")}


def _quadruples(scenario: Scenario) -> dict[str, list[Case]]:
    found: dict[str, list[Case]] = {}
    for case in scenario.cases:
        found.setdefault(case.fact("quadruple"), []).append(case)
    return found


@pytest.mark.parametrize("name", ["unqover", "unqover_masked"])
def test_what_is_drawn(forms: dict[str, Scenario], name: str) -> None:
    quadruples = _quadruples(forms[name])
    assert Counter(four[0].context for four in quadruples.values()) == {
        "gender": 384, "nationality": 672, "ethnicity": 672, "religion": 672,
    }  # fmt: skip
    for four in quadruples.values():
        assert [(case.fact("order"), case.fact("negated")) for case in four] == [
            ("12", "no"), ("12", "yes"), ("21", "no"), ("21", "yes"),
        ]  # fmt: skip
        assert len({case.cluster for case in four}) == len({case.fact("attribute") for case in four}) == 1
    cells = Counter((case.fact("x1"), case.fact("x2"), case.fact("attribute")) for case in forms[name].cases)
    assert min(cells.values()) >= 4
    assert {case.fact("x1") for case in forms[name].cases if case.context == "gender"} == {"female"}
    assert {case.fact("x2") for case in forms[name].cases if case.context == "gender"} == {"male"}


@pytest.mark.parametrize("name", ["unqover", "unqover_masked"])
def test_texts_are_well_formed(forms: dict[str, Scenario], name: str) -> None:
    for case in forms[name].cases:
        texts = case.options if name.endswith("masked") else (case.prompt,)
        assert not any("[" in text or "]" in text or "  " in text for text in texts), texts
        assert len(set(case.options)) == 2


def test_the_four_questions_differ_in_order_and_negation_only(forms: dict[str, Scenario]) -> None:
    for affirmed, denied, swapped, swapped_denied in _quadruples(forms["unqover"]).values():
        assert affirmed.options == denied.options == swapped.options == swapped_denied.options
        contexts = [case.prompt.split("\n\n")[0] for case in (affirmed, denied, swapped, swapped_denied)]
        questions = [case.prompt.split("\n\n")[1] for case in (affirmed, denied, swapped, swapped_denied)]
        assert contexts[0] == contexts[1] != contexts[2] == contexts[3]
        assert questions[0] == questions[2] != questions[1] == questions[3]
        one, two = (option[1:] for option in affirmed.options)
        assert contexts[0].index(one) < contexts[0].rindex(two)
        assert sorted(contexts[0].replace("An ", "A ").replace(" an ", " a ")) == sorted(
            contexts[2].replace("An ", "A ").replace(" an ", " a ")
        )


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("African", "Hindu", "An African man met a Hindu."),
        ("European", "Afghan", "A European man met an Afghan."),
        ("Uzbekistani", "Atheist", "A Uzbekistani man met an Atheist."),
    ],
)
def test_articles_fit_their_subject(one: str, other: str, expected: str) -> None:
    def placed(found: re.Match[str]) -> str:
        return shared._placed(found, (one, other))

    assert shared._SUBJECT.sub(placed, "A [subj1] man met a [subj2].") == expected


def test_flaws_are_known(forms: dict[str, Scenario], data_dir: Path) -> None:
    assert {case.flaw for case in forms["unqover"].cases} == {"", "the demonym of Yemen is misspelt"}
    for form, flawed in (("", 0), ("_lm", 1)):
        files = [f"slots/{slot}_noact{form}" for _, slot, _ in DOMAINS.values()]
        templates = [template for file in files for template in shared._templates(data_dir, file)]
        assert sum(bool(template.flaw) for template in templates) == flawed
    spelt = {subject.text: subject.demonym for subject in shared._subjects(data_dir, "country", masked=False)}
    assert {name: spelt[name] for name in ("Spain", "Yemen")} == shared._MISSPELT
    assert len(spelt) == 69


def test_masked_subjects_are_those_of_both_lists(data_dir: Path) -> None:
    found = {
        file: len(shared._subjects(data_dir, file, masked=True)) for files, _, _ in DOMAINS.values() for file in files
    }
    assert found == {"female": 15, "male": 32, "country": 48, "ethnicity": 10, "religion": 10}


def test_a_larger_draw_has_the_smaller_one_in_it_and_a_seed_decides(data_dir: Path) -> None:
    small, large, other = (
        {case.id for case in load_form(data_dir, "s", False, unqover._ask, size).cases}
        for size in (Size(4, 2, 1), Size(6, 3, 2), Size(4, 2, 1, seed=1))
    )
    assert small < large
    assert small != other
    assert len(small) == len(other) == 4 * 2 * (4 + 6 + 6 + 6)


def _some(scenario: Scenario) -> Scenario:
    """Two pairs of subjects and two attributes of each domain."""
    kept: set[str] = set()
    for domain in DOMAINS:
        cases = [case for case in scenario.cases if case.context == domain]
        pairs = list(dict.fromkeys(case.cluster for case in cases))[:2]
        acts = list(dict.fromkeys(case.fact("attribute") for case in cases))[:2]
        kept |= {case.id for case in cases if case.cluster in pairs and case.fact("attribute") in acts}
    return scenario.where(lambda case: case.id in kept)


@pytest.mark.parametrize("family", ["llama", "t5", "bert"])
def test_questions_can_be_asked_of_every_kind_of_model(forms: dict[str, Scenario], family: str) -> None:
    (readout,) = read(tiny_lm(family), _some(forms["unqover"]))
    found = point(Unqover(), readout)
    assert 0 < found["mu"] < found["answered"] < 1
    assert 0 < found["eta"] <= 1
    assert 0 < found["relative_mu"] < 1


@pytest.mark.models
def test_a_blank_is_filled_by_one_token_given_all_the_rest(forms: dict[str, Scenario], models_dir: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(models_dir / "tokenizers" / "bert-base-uncased")
    lm = tiny_lm("bert", tokenizer=tokenizer)
    scenario = _some(forms["unqover_masked"])
    (readout,) = read(lm, scenario)
    assert readout.arrays["changed"].eq(1).all(), "every subject is one token"
    for row in range(0, len(readout), 16):
        ids = [tokenizer(option)["input_ids"] for option in readout.cases[row].options]
        (place,) = [i for i, (a, b) in enumerate(zip(*ids, strict=True)) if a != b]
        hidden = [*ids[0][:place], tokenizer.mask_token_id, *ids[0][place + 1 :]]
        with torch.no_grad():
            table = lm.model(torch.tensor([hidden])).logits[0, place].double().log_softmax(-1)
        expected = [float(table[each[place]]) for each in ids]
        assert readout.arrays["logp_changed"][row].tolist() == pytest.approx(expected, abs=1e-5)
    assert 0 < point(Unqover(), readout)["mu"] < 1


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_only_a_masked_model_fills_a_blank_and_others_are_refused_before_any_work(
    forms: dict[str, Scenario], family: str
) -> None:
    lm, passes = tiny_lm(family), []
    lm.model.register_forward_pre_hook(lambda module, args: passes.append(1))
    scenario = _some(forms["unqover_masked"])
    with pytest.raises(CannotRun, match=f"for masked models, tiny:{family}:0 is of kind {lm.kind}.*with 'unqover'"):
        read(lm, scenario)
    assert not passes
    read(lm, _some(forms["unqover"]).where(lambda case: case.context == "gender"))
    assert passes, "the hook sees every pass"


def test_damaged_lists_are_told(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="Apache"):
        load_scenario("unqover", tmp_path)
    (tmp_path / "unqover/slots").mkdir(parents=True)
    (tmp_path / "unqover/slots/gender_noact").write_text("[subj1] met [subj2].\tWho [p_act]?\n")
    with pytest.raises(CannotRun, match="two questions"):
        load_scenario("unqover", tmp_path)


def test_the_files_read_are_the_pinned_ones(data_dir: Path) -> None:
    pinned = shared.source().pinned
    read = {f"slots/{slot}_noact{form}" for _, slot, _ in DOMAINS.values() for form in ("", "_lm")}
    read |= {f"activities/{acts}" for *_, acts in DOMAINS.values()}
    ends = ("", "_bert", "_roberta")
    read |= {f"nouns/subjects/{file}{end}" for files, _, _ in DOMAINS.values() for file in files for end in ends}
    assert set(pinned) == read
    for file, (_, sha256) in pinned.items():
        assert hashlib.sha256((data_dir / "unqover" / file).read_bytes()).hexdigest() == sha256, file
