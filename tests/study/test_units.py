"""What a unit does alone is what really editing it does; what cannot be measured is said and stays undefined."""

import dataclasses
import math
from pathlib import Path

import pytest

from evenhand.cli.explained import tell
from evenhand.core.bootstrap import Bootstrap
from evenhand.core.component import Selection
from evenhand.core.explained import Driver, Explanation
from evenhand.core.record import CellRecord
from evenhand.edits.scale import Scale
from evenhand.lm.attribution.probe import Probe
from evenhand.lm.scoring.forward import score_options
from evenhand.report.tables import units as table_of
from evenhand.report.units import told
from evenhand.scenarios._load import load_scenario
from evenhand.study.ground import Depth, Ground
from evenhand.study.units import addresses, alone, explained, named
from evenhand.study.utility import together
from evenhand.testing.tiny import tiny_lm

DEPTH = Depth(names=4, texts=3, drivers=2, bootstrap=Bootstrap(60))


def _ground(shop, family="llama"):
    return Ground(tiny_lm(family), load_scenario(str(shop / "shop.toml")), together([str(shop / "texts.toml")]), DEPTH)


def _outcomes(probe):
    """Mean outcome of each group: of its cases, then over the variations."""
    means: dict[tuple[str, str], list[float]] = {}
    for cell in probe.cells:
        outcome = cell.outcome([score_options(probe.lm, cell.cases)[0]])[0].tolist()
        for group in dict.fromkeys(case.group for case in cell.cases):
            own = [value for value, case in zip(outcome, cell.cases, strict=True) if case.group == group]
            means.setdefault((cell.cases[0].context, group), []).append(sum(own) / len(own))
    return {place: sum(each) / len(each) for place, each in means.items()}


@pytest.mark.parametrize(("space", "factor"), [("neuron", 0.0), ("head", 0.0), ("value", 0.5), ("row", 0.0)])
def test_a_unit_alone_does_what_editing_it_does(shop, space, factor):
    ground = _ground(shop)
    layout = ground.lm.layout(space)
    units = [layout.size - 2, 1]
    found = explained(ground, layout, units, factor)
    starts = dict(zip((site.path for site in layout.sites), layout.starts(), strict=True))
    assert [starts[each.path] + each.unit for each in found.units] == units, "in the order they were given"
    plain = Probe(ground.lm, ground.bias, ground.texts, DEPTH.names, DEPTH.texts)
    unedited = _outcomes(plain)
    for unit, record in zip(units, found.units, strict=True):
        with Scale(Selection.of(layout, [unit]), factor).applied(ground.lm):
            gaps, edited = plain.effects([None]).gap[0], _outcomes(plain)
        wanted: dict[str, list[float]] = {}
        for (context, _, _), gap in zip(plain.places, gaps.tolist(), strict=True):
            wanted.setdefault(context, []).append(gap)
        assert [each.context for each in record.effects] == ["bus", "lamp"]
        for each in record.effects:
            assert each.other == "b"
            assert each.after == pytest.approx(sum(wanted[each.context]) / len(wanted[each.context]), abs=1e-5)
        assert record.change == pytest.approx(sum(each.change for each in record.effects) / 2)
        moved = {(each.context, each.group): each.change for each in record.outcomes}
        assert set(moved) == set(edited) == {(context, group) for context in ("bus", "lamp") for group in "ab"}
        for place, change in moved.items():
            assert change == pytest.approx(edited[place] - unedited[place], abs=1e-5)
        assert record.outcome("a") == pytest.approx((moved["bus", "a"] + moved["lamp", "a"]) / 2)
        assert record.divergence >= 0
        assert math.isnan(record.score)
        assert set(record.groups) == {"a", "b"}
        difference = record.differences["b"]
        assert difference.value == pytest.approx(record.groups["a"] - record.groups["b"], abs=1e-6)
        assert difference.low <= difference.value <= difference.high
        assert (difference.n, difference.n_clusters) == (36, 6)
        assert {each.where for each in record.drivers} <= {"bus", "lamp", "texts"}
        assert record.drivers[-1].where == "texts"
        assert math.isnan(record.positive) == (space == "head")
    assert 0 < found.first < 1
    assert found.random_change >= 0
    assert found.random_divergence >= 0


@pytest.mark.parametrize(
    ("family", "space"), [("t5", "neuron"), ("bert", "neuron"), ("mixtral", "head"), ("t5", "row")]
)
def test_every_kind_of_model_can_be_explained(shop, family, space):
    ground = _ground(shop, family)
    layout = ground.lm.layout(space)
    units = [0, layout.size // 2, layout.size - 1]
    found = explained(ground, layout, units, 0.0)
    for record in found.units:
        assert record.drivers
        assert not any(math.isnan(value) for value in (*record.groups.values(), record.neutral, record.divergence))
        assert [each.context for each in record.effects] == ["bus", "lamp"]
        writes = record.stack == "decoder" and record.path.rsplit(".", 1)[1] in ("wo", "o")
        assert bool(record.promotes) == (family == "t5" and writes)


def test_what_cannot_be_probed_is_said_and_undefined(shop):
    ground = _ground(shop)
    contexts = tuple(dataclasses.replace(each, outcome="text") for each in ground.bias.contexts)
    ground = dataclasses.replace(ground, bias=dataclasses.replace(ground.bias, contexts=contexts), notes=[])
    (unit,) = explained(ground, ground.lm.layout("neuron"), [3], 0.0).units
    assert unit.effects == ()
    assert math.isnan(unit.change)
    assert unit.divergence > 0
    assert unit.drivers
    assert ground.notes == [
        "What the edit and its units do to the gap in bus, lamp is not measured: its answers are no numbers or options "
        "that can be scored, or it compares no groups."
    ]


def test_one_unit_is_set_against_as_many_random_ones_as_many_units_are(shop, monkeypatch):
    ground, tried = _ground(shop), []

    def heard(ground, variants):
        tried.append([int(unit) for variant in variants for unit in variant.selection.units])
        return alone(ground, variants)

    monkeypatch.setattr("evenhand.study.units.alone", heard)
    layout = ground.lm.layout("neuron")
    first, last = layout.starts()[0], layout.starts()[-1]
    for chosen, edges in (([last + 7], {last: 8}), ([first, last + 1, last + 2], {first: 3, last: 5})):
        found = explained(ground, layout, chosen, 0.0)
        random = tried[-1][len(chosen) :]
        assert tried[-1][: len(chosen)] == chosen
        assert found.random_units == len(set(random) - set(chosen)) == 8
        assert {edge: sum(edge <= unit < edge + layout.sites[0].units for unit in random) for edge in edges} == edges
        assert found.random_change > 0
    heads = ground.lm.layout("head")
    assert explained(ground, heads, [1], 0.0).random_units == heads.sites[0].units - 1, "there are no more others"


def test_units_are_listed_by_rank_and_then_by_place(shop):
    ground = _ground(shop)
    lm = ground.lm
    chosen = Selection.of(lm.layout("neuron"), [2, 9, 40, 41])
    assert addresses(chosen, {40: 0, 9: 0, 2: 1, 41: 2}, 3) == [9, 40, 2]
    assert addresses(chosen, {}, 9) == [2, 9, 40, 41]
    assert [each.unit for each in named(lm, chosen.layout, [41, 2])][1] == 2
    assert explained(ground, chosen.layout, [], 0.0).units == ()


@pytest.mark.parametrize(
    ("family", "space"),
    [("llama", "row"), ("gpt2", "row"), ("t5", "row"), ("bert", "row"), ("t5", "head"), ("llama", "neuron")],
)
def test_no_two_units_are_called_the_same(family, space, capsys):
    """In the table, on the page and in its table; of a layer with several matrices each names its matrix."""
    lm = tiny_lm(family)
    layout = lm.layout(space)
    found = named(lm, layout, [start + 1 for start in layout.starts()])
    assert len({(each.stack, each.layer, each.unit) for each in found}) < len(found) or space == "neuron"
    seen = (Driver(where="loan", before="", token="a", after="", value=1.0),)
    shown = [each.model_copy(update={"drivers": seen}) for each in found]
    assert len({each.name for each in told(shown, math.nan)}) == len(found)
    rows = table_of(CellRecord.model_construct(units=tuple(found))).rows
    assert len({row[:2] for row in rows}) == len(found)
    tell(Path("edit"), [Explanation(describes="e", units=tuple(shown))], None, None, False)
    _, _, lines = capsys.readouterr().out.partition("Where they are most active")
    assert len(set(lines.strip().splitlines()[1:])) == len(found)
    assert any(each.matrix for each in found) == (space != "neuron")
    if (family, space) == ("llama", "row"):
        gate = next(each for each in found if each.path == "model.layers.1.mlp.gate_proj")
        assert gate.home == "1 mlp.gate_proj"
