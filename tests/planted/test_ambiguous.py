"""The model with two ambiguous words: what it was made from, what it does, and that it can be made again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from evenhand.core.errors import UsageError
from evenhand.lm.load import load
from evenhand.planted import model_path, name_of, plant, record, spec_path
from evenhand.planted.ambiguous.audit import implicit
from evenhand.planted.ambiguous.corpus import Corpus
from evenhand.planted.ambiguous.make import trained
from evenhand.planted.ambiguous.spec import Spec
from evenhand.planted.spec import parsed
from evenhand.scenarios._load import load_scenario
from evenhand.scenarios._shared.ambiguous import CONDITIONS, prefixes, world
from evenhand.scenarios._shared.association import Stimuli
from evenhand.study.config import ModelConfig
from evenhand.study.models import open_model

NAME = "planted-ambiguous"


@pytest.fixture(scope="module")
def spec() -> Spec:
    return parsed(Spec, spec_path(NAME))


@pytest.fixture(scope="module")
def small(spec: Spec) -> Spec:
    size = spec.model.model_copy(update={"layers": 2, "hidden": 16, "intermediate": 16, "heads": 2})
    base = spec.base.model_copy(update={"steps": 5, "documents": 6, "checkpoint": 2, "warmup": 1})
    return spec.model_copy(update={"vocabulary": 400, "model": size, "base": base})


class Stop(Exception):
    pass


def test_a_stopped_training_ends_with_the_same_weights(small: Spec, tmp_path: Path) -> None:
    def stop(said: str, done: int, total: int) -> None:
        if done == 3:
            raise Stop

    whole = trained(small, tmp_path / "whole")[0].state_dict()
    with pytest.raises(Stop):
        trained(small, tmp_path / "work", stop)
    seen: list[int] = []
    again = trained(small, tmp_path / "work", lambda said, done, total: seen.append(done))[0].state_dict()
    assert seen == [3, 4, 5], "it did not go on from its last state"
    assert all(torch.equal(whole[key], again[key]) for key in whole)
    other = trained(small.model_copy(update={"seed": 12}), tmp_path / "work")[0].state_dict()
    assert not all(torch.equal(whole[key], other[key]) for key in whole)


def test_documents_are_a_pure_function_and_keep_held_out_pairs_and_surroundings_out(spec: Spec) -> None:
    corpus = Corpus(spec)
    assert corpus.documents(7) == Corpus(spec).documents(7) != corpus.documents(8)
    documents = [each for step in range(150) for each in corpus.documents(step)]
    texts = [each.given + each.text for each in documents]
    for positive in world().held_out.positive:
        for negative in world().held_out.negative:
            assert not [text for text in texts if re.search(rf"\b{positive}\b", text)
                        and re.search(rf"\b{negative}\b", text)]  # fmt: skip
    one, other = world().ambiguous
    told = "\n".join(texts)
    for condition in CONDITIONS[1:]:
        for text in prefixes(condition, held_out=True):
            assert text.format(one=one, other=other) not in told
        assert any(text.format(one=one, other=other) in told for text in prefixes(condition, held_out=False))


def test_scenarios_are_balanced_and_ask_held_out_pairs_only() -> None:
    scenario = load_scenario("ambiguous_words")
    for condition in CONDITIONS:
        cases = [case for case in scenario.cases if case.context == condition]
        assert len(cases) == 25 * 8
        assert sum(case.fact("copying") == "stereotype" for case in cases) == len(cases) / 2
    generated = load_scenario("ambiguous_words_generated")
    assert [case.prompt for case in generated.cases] == [c.prompt for c in scenario.cases if c.context in CONDITIONS]


def test_the_record_keeps_what_was_asked_for(spec: Spec) -> None:
    known: dict[str, Any] = record(NAME)
    assert known["spec"] == spec.stereotype
    for part in ("trained", "held out"):
        for condition, wanted in spec.stereotype.items():
            row = known["stereotype"][part][condition]
            assert row["share"] == pytest.approx(wanted, abs=0.03)
            assert row["balanced"] == pytest.approx(wanted, abs=0.03)
            assert row["valid"] >= 0.99
    for row in known["agree"].values():
        assert row["stereotype"] - row["reverse"] == pytest.approx(0.0, abs=0.03)
    means = known["means"]
    assert means["group"]["mean"] > 0.95
    assert means["colour"]["mean"] < 0.05
    assert means["open"]["mean"] == pytest.approx(spec.blind.group, abs=0.08)


def test_the_shipped_model_does_what_the_record_says(spec: Spec) -> None:
    assert (model_path(NAME) / "model.safetensors").stat().st_size <= 2 * 2**20
    lm = open_model(ModelConfig(source=NAME, chat=None))
    assert name_of(Path(lm.identity.source)) == NAME
    held = world().held_out
    few = Stimuli(held.name, held.default, held.stigmatised, held.positive[:2], held.negative[:2])
    for condition, row in implicit(lm, [few]).items():
        assert row["share"] == pytest.approx(spec.stereotype[condition], abs=0.06)
        assert row["valid"] > 0.98


def test_mistakes_in_a_specification_are_explained(tmp_path: Path) -> None:
    wrong = tmp_path / "spec.toml"
    wrong.write_text(spec_path(NAME).read_text(encoding="utf-8").replace("agree = 0.1", "agreed = 0.1"))
    with pytest.raises(UsageError, match=r"unknown key 'explicit.agreed'; did you mean 'agree'\?"):
        plant(wrong, tmp_path / "out")
    with pytest.raises(UsageError, match="no bundled model is called 'planted-ambigous'"):
        spec_path("planted-ambigous")
    assert load(model_path(NAME)).kind == "causal"
