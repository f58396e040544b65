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

    units, heads, weights, other, nothing = _explain(shop, edit)
    assert (units.space, units.size, len(units.units)) == ("neuron", 12, 3)
    assert any("3 of its 12 units are shown" in note for note in units.notes)
    sizes = [abs(unit.change) for unit in units.units]
    assert sizes == sorted(sizes, reverse=True)
    assert [effect.context for effect in units.effects] == ["bus", "lamp"]
    assert units.divergence > 0
    assert any("No words are listed: a head" in note for note in heads.notes)
    assert heads.units[0].promotes == ()
    assert weights.units == ()
    assert sum(each.entries for each in weights.matrices) == 3
    assert (other.describes, other.space, other.units) == ("turns a direction", "", ())
    assert "no set of units" in other.notes[0]
    assert math.isnan(other.share)
    assert nothing.notes == ("It changes nothing: no unit is selected.",)


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
