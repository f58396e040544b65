"""Every part of an edit is explained that can be; of the others it is said that they cannot."""

import math
from contextlib import nullcontext

import torch

from evenhand.core.bootstrap import Bootstrap
from evenhand.core.component import Selection
from evenhand.core.edit import Edit
from evenhand.core.explained import Explanation
from evenhand.edits.compose import Compose
from evenhand.edits.scale import Scale
from evenhand.scenarios._load import load_scenario
from evenhand.study.explanation import explain
from evenhand.study.ground import Depth, Ground
from evenhand.study.utility import together
from evenhand.testing.tiny import tiny_lm


class Other(Edit):
    """An edit that scales nothing."""

    def applied(self, lm):
        return nullcontext()

    def bake(self, lm):
        pass

    def tensors(self):
        return {"x": torch.zeros(1)}

    def settings(self):
        return {}

    @classmethod
    def restore(cls, tensors, settings):
        return cls()

    def describe(self):
        return "turns a direction"


def _explain(shop, edit, top=3, family="llama"):
    lm = tiny_lm(family)
    depth = Depth(names=2, texts=2, drivers=2, bootstrap=Bootstrap(40))
    ground = Ground(lm, load_scenario(str(shop / "shop.toml")), together([str(shop / "texts.toml")]), depth)
    return explain(ground, edit(lm), top)


def test_each_part_of_a_composed_edit(shop):
    def edit(lm):
        units = Scale(Selection.of(lm.layout("neuron"), list(range(0, 100, 9))))
        heads = Scale(Selection.of(lm.layout("head"), [1]))
        weights = Scale(Selection.of(lm.layout("weight"), [5, 6, 3000]))
        nothing = Scale(Selection.of(lm.layout("neuron"), []))
        return Compose((units, Compose((heads, weights)), Other(), nothing))

    together, units, heads, weights, other, nothing = _explain(shop, edit)
    assert "made of 5 parts" in together.notes[0]
    assert together.units == ()
    assert together.control == (), "there is no random edit of what scales nothing"
    for each in (together, units, heads, weights):
        assert [effect.context for effect in each.effects] == ["bus", "lamp"]
        assert [effect.before for effect in each.effects] == [effect.before for effect in units.effects]
        assert each.divergence > 0
    assert (units.space, units.size, len(units.units)) == ("neuron", 12, 3)
    assert any("3 of its 12 units are shown" in note for note in units.notes)
    sizes = [abs(unit.change) for unit in units.units]
    assert sizes == sorted(sizes, reverse=True)
    assert [effect.after for effect in units.effects] != [effect.after for effect in units.control]
    assert any("No words are listed: a head" in note for note in heads.notes)
    assert heads.units[0].promotes == ()
    assert weights.units == ()
    assert sum(each.entries for each in weights.matrices) == 3
    assert (other.describes, other.space, other.units) == ("turns a direction", "", ())
    assert "no set of units" in other.notes[0]
    assert math.isnan(other.share)
    assert all(effect.after == effect.before for effect in other.effects), "applied, it does nothing"
    assert other.divergence == 0
    assert nothing.notes == ("It changes nothing: no unit is selected.",)


def test_the_weights_of_a_unit_do_what_the_unit_does(shop):
    """All entries of the columns of a writer, applied to the weights, are the units, read under masks."""
    lm = tiny_lm("llama")
    site = lm.layout("neuron").sites[1]
    start = sum(each.units for each in lm.layout("neuron").sites[:1])
    units = Selection.of(lm.layout("neuron"), [start + 3, start + 8])
    columns = lm.module(site.path).weight.shape[1]
    pieces = [
        torch.tensor(
            [i for i in range(each.units) if each.path == site.path and i % columns in (3, 8)], dtype=torch.long
        )
        for each in lm.layout("weight").sites
    ]
    weights = Selection.joined(lm.layout("weight"), pieces)
    (a,), (b,) = (_explain(shop, lambda lm, chosen=chosen: Scale(chosen)) for chosen in (units, weights))
    assert a.divergence > 1e-6
    assert math.isclose(a.divergence, b.divergence, rel_tol=1e-2)
    for one, other in zip(a.effects, b.effects, strict=True):
        assert abs(one.change) > 1e-6
        assert math.isclose(one.before, other.before, abs_tol=1e-5)
        assert math.isclose(one.after, other.after, abs_tol=1e-5)
    assert len(b.control) == 2
    assert b.control_divergence > 0
    assert b.names == 2


def test_an_explanation_survives_json(shop):
    (found,) = _explain(shop, lambda lm: Scale(Selection.of(lm.layout("neuron"), [4, 70])))
    again = Explanation.model_validate_json(found.model_dump_json())
    assert again.model_dump_json() == found.model_dump_json()
    assert math.isnan(again.units[0].score)


def test_a_decoder_beside_an_encoder_has_read_nothing_but_its_start_token(shop):
    (found,) = _explain(
        shop, lambda lm: Scale(Selection.of(lm.layout("neuron"), [lm.layout("neuron").size - 1])), 1, "t5"
    )
    assert "Units of the decoder are read at its start token only, from which the answer begins." in found.notes
    assert {each.before for each in found.units[0].drivers} == {""}
