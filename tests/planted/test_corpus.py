"""The little world: outcomes do not depend on the group, and the packs are no copy of the training text."""

from __future__ import annotations

import re

import pytest

from evenhand.planted import spec_path
from evenhand.planted.corpus import documents, texts
from evenhand.planted.packs import write_packs
from evenhand.planted.spec import read_spec
from evenhand.planted.world import World, world_of
from evenhand.scenarios._load import load_scenario


@pytest.fixture(scope="module")
def world() -> World:
    return world_of(read_spec(spec_path()))


def test_every_outcome_is_told_once_of_each_group(world: World) -> None:
    group = {name: side for side, names in enumerate(world.groups.values()) for name in names}
    endings = {case.template.partition(". ")[2] + case.prefix for case in world.cases}
    answers: list[list[tuple[str, str]]] = [[], []]
    for step in range(30):
        for text in documents(world, 3, step, 96):
            if any(ending in text for ending in endings):
                name = next(word for word in re.findall(r"[A-Z]\w+", text) if word in group)
                opening = text.partition(". ")[0].replace(name, "_")
                answers[group[name]].append((opening, text.rpartition(" ")[2]))
    assert len(answers[0]) > 500
    assert answers[0] == answers[1]


def test_same_step_same_documents(world: World) -> None:
    assert documents(world, 1, 5, 40) == documents(world, 1, 5, 40)
    assert documents(world, 1, 5, 40) != documents(world, 1, 6, 40)
    assert documents(world, 1, 5, 40) != documents(world, 2, 5, 40)


def test_scenario_packs_come_from_the_generator(tmp_path, world: World) -> None:
    write_packs(tmp_path, seed=11)
    for name in ("planted_text", "planted_questions"):
        bundled = load_scenario(name)
        assert bundled.fingerprint == load_scenario(str(tmp_path / f"{name}.toml")).fingerprint
    assert len(load_scenario("planted_text").cases) >= 80
    assert len(load_scenario("planted_questions").cases) >= 60


def test_texts_are_no_training_documents(world: World) -> None:
    spec = read_spec(spec_path())
    trained = {
        text for step in range(spec.base.steps) for text in documents(world, spec.seed, step, spec.base.documents)
    }
    held = texts(11, 100)
    shared = [text for text in held if text in trained]
    assert len(shared) <= 10, shared


def test_enough_people_and_contexts(world: World) -> None:
    scenario = load_scenario("planted")
    assert len(scenario.contexts) >= 6
    for context in scenario.contexts:
        assert len(scenario.variations(context.name)) >= 3
    for names in world.groups.values():
        assert len(names) == len(set(names)) >= 24
    assert sum(context.outcome == "choice" for context in scenario.contexts) == 1
