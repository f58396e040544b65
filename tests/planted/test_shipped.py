"""The shipped model is what its specification says: size, gaps, and what switching off each set does."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from evenhand.core.component import Selection
from evenhand.core.scenario import Scenario
from evenhand.lm.load import load
from evenhand.lm.model import LM
from evenhand.lm.read import read
from evenhand.planted import model_path, spec_path, truth
from evenhand.planted.audit import exact_gaps
from evenhand.planted.gaps import averages, gaps_of
from evenhand.planted.known import Truth
from evenhand.planted.outcomes import rows_of
from evenhand.planted.spec import read_spec
from evenhand.planted.tail import Tail, answers
from evenhand.planted.units import addresses
from evenhand.planted.world import World, world_of
from evenhand.scenarios._load import load_scenario
from oracles import planted_gap

CLOSE = 0.1
"""How near every gap must come to its specification."""


@pytest.fixture(scope="module")
def lm() -> LM:
    return load(model_path())


@pytest.fixture(scope="module")
def known() -> Truth:
    return truth()


@pytest.fixture(scope="module")
def world() -> World:
    return world_of(read_spec(spec_path()))


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario("planted")


def test_size(lm: LM) -> None:
    assert sum(p.numel() for p in lm.model.parameters()) <= 4_000_000
    assert (model_path() / "model.safetensors").stat().st_size <= 10 * 2**20
    assert all(p.dtype == torch.float32 for p in lm.model.parameters())


def test_tokenizer_spells_numbers_digit_by_digit(lm: LM) -> None:
    tokenizer: Any = lm.tokenizer
    for text in ("$1,250", " $60", "points: 24", "naïve – 7%"):
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(tokenizer("1250", add_special_tokens=False)["input_ids"]) == 4
    assert tokenizer.eos_token_id in range(len(tokenizer))


def test_units_are_where_the_specification_puts_them(lm: LM, known: Truth) -> None:
    spec = read_spec(spec_path())
    places = addresses(spec)
    layout = lm.layout("neuron")
    assert known.selection.layout == layout
    assert len(known.selection) == sum(each.units for each in spec.sets)
    for each in known.sets:
        assert each.units == places[each.name]
        found = [(site.layer, unit) for site, units in each.selection.by_site() for unit in units.tolist()]
        assert tuple(found) == each.units
        for layer, unit in each.units:
            assert bool(lm.module(f"model.layers.{layer}.mlp.down_proj").weight[:, unit].any())
    assert known.spec == spec.gaps


def test_record_meets_the_specification(known: Truth) -> None:
    for context, wanted in known.spec.items():
        assert abs(known.measured[context] - wanted) < CLOSE, context
        assert abs(known.base[context]) <= 0.05, context
        assert known.mass[context] >= 0.9, context
    for each in known.sets:
        for context, gap in known.zeroed[each.name].items():
            wanted = 0.0 if context in each.contexts else known.measured[context]
            assert abs(gap - wanted) <= CLOSE, (each.name, context)


def test_gaps_in_exact_mode(lm: LM, known: Truth, scenario: Scenario) -> None:
    for context, wanted in known.spec.items():
        assert known.gaps[context] == pytest.approx(wanted, abs=CLOSE), context
        assert known.gaps[context] == pytest.approx(known.measured[context], abs=CLOSE), context
    first = {context.name: scenario.variations(context.name)[0] for context in scenario.contexts}
    part = scenario.where(lambda case: case.variation == first[case.context])
    for context, row in exact_gaps(lm, part).items():
        for variation, value in row.items():
            assert value == pytest.approx(known.exact[context][variation], abs=5e-3), context


def test_answers_are_numbers(lm: LM, scenario: Scenario) -> None:
    people = {names[0] for names in scenario_names(scenario).values()}
    (numbers,) = read(lm, scenario.where(lambda case: case.name in people and not case.options))
    assert bool(numbers.defined.all())
    assert float(numbers.shares["open"].max()) <= 0.01
    found = 1 - numbers.shares["not_number"]
    assert float(found.mean()) >= 0.99
    assert float(found.min()) >= 0.99


def scenario_names(scenario: Scenario) -> dict[str, list[str]]:
    return {group: list(dict.fromkeys(c.name for c in scenario.cases if c.group == group)) for group in scenario.groups}


@pytest.mark.parametrize("number", range(4))
def test_switching_off_one_set(lm: LM, known: Truth, world: World, number: int) -> None:
    rows = rows_of(world, lm.tokenizer)
    each = known.sets[number]
    weights = [lm.editable_weight(site.path) for site, _ in each.selection.by_site()]
    kept = [weight.detach().clone() for weight in weights]
    with torch.no_grad():
        for weight, (_, units) in zip(weights, each.selection.by_site(), strict=True):
            weight[:, units] = 0.0
        tail = Tail.of(lm.model, 0, rows.ids, rows.positions, rows.mask)
        found = averages(gaps_of(rows, answers(tail, rows, None, ())))
        for weight, before in zip(weights, kept, strict=True):
            weight.copy_(before)
    for context, gap in found.items():
        wanted = 0.0 if context in each.contexts else known.measured[context]
        assert gap == pytest.approx(wanted, abs=CLOSE), context
        assert gap == pytest.approx(known.zeroed[each.name][context], abs=1e-3), context


def test_record_agrees_with_the_slow_way(lm: LM, known: Truth, world: World) -> None:
    for case in world.cases[::7]:
        slow = planted_gap.gap(lm.model, lm.tokenizer, world, case)
        assert slow == pytest.approx(known.variations[case.context][case.variation], abs=1e-3), case.variation


def test_questions_are_answered_and_stories_told(lm: LM) -> None:
    (answered,) = read(lm, load_scenario("planted_questions"))
    right = [
        int(logp.nan_to_num(nan=-math.inf).argmax()) == case.favourable
        for logp, case in zip(answered.arrays["logp"], answered.cases, strict=True)
    ]
    assert sum(right) / len(right) >= 0.8
    (told,) = read(lm, load_scenario("planted_text"))
    per_token = told.arrays["logp"].sum() / told.arrays["tokens"].sum()
    assert math.exp(-float(per_token)) < 4


def test_whole_truth_is_the_union_of_its_sets(known: Truth) -> None:
    union = Selection.of(known.selection.layout, [])
    for each in known.sets:
        assert not len(union & each.selection)
        union = union | each.selection
        for context in each.contexts:
            assert known.carriers(context) == each.selection
    assert union == known.selection
    assert known.carriers("rent") is None


def test_no_module_hides_a_public_function() -> None:
    import evenhand.planted.known
    import evenhand.planted.make

    for name in ("model_path", "spec_path", "truth", "plant"):
        assert callable(getattr(evenhand.planted, name)), name
