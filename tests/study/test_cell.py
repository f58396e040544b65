"""A cell is a pure function of its spec, keeps its names apart, and measures everywhere beside its control."""

import math

import pytest

import small_shop
from evenhand.core.component import Selection
from evenhand.core.errors import UsageError
from evenhand.edits.compose import Compose
from evenhand.edits.scale import Scale
from evenhand.lm.read import Reading
from evenhand.scenarios._load import load_scenario
from evenhand.study import search
from evenhand.study.bench import Bench
from evenhand.study.cell import run_cell
from evenhand.study.config import StudyConfig
from evenhand.study.engine import run_study
from evenhand.study.gap import GAP
from evenhand.study.grid import Made, specs
from evenhand.study.models import identity
from evenhand.study.provenance import run_record
from evenhand.study.readings import read_edits
from evenhand.study.store import Store
from evenhand.study.utility import together
from evenhand.testing.tiny import tiny_lm


def _config(shop, **more):
    given = {"name": "t", "scenario": str(shop / "shop.toml"), "utility": [str(shop / "texts.toml")],
             "models": [{"source": "m", "chat": False}], "methods": [{"name": "random"}], "fitted_on": ["lamp"],
             "sizes": [1, 4, 16], "bootstrap": {"replicates": 40}, "budget": {"perplexity_rise": 9.0}}  # fmt: skip
    return StudyConfig.model_validate(given | more)


def _cell(shop, folder, **more):
    config = _config(shop, **more)
    lm = tiny_lm("llama")
    bench = Bench(lm, config, load_scenario(config.scenario), together(config.utility), Store(folder))
    spec = specs(config, Made(identity(lm), bench.scenario, bench.utility))[0]
    return bench, spec, run_cell(bench, spec)


def test_the_same_spec_gives_the_same_record_with_and_without_a_cache(shop, tmp_path):
    _, _, (first, edit) = _cell(shop, tmp_path / "one")
    _, _, (cached, again) = _cell(shop, tmp_path / "one")
    _, _, (fresh, _) = _cell(shop, tmp_path / "two")
    plain = {record.model_copy(update={"seconds": 0.0}).model_dump_json() for record in (first, cached, fresh)}
    assert len(plain) == 1
    assert (edit is None) == (again is None)


def test_everything_is_measured_everywhere_and_only_changes_have_q(shop, tmp_path):
    _, spec, (record, edit) = _cell(shop, tmp_path, methods=[{"name": "random", "sizes": "paper"}])
    assert edit is not None
    assert record.rule.startswith("The method's own size")
    assert [point.units for point in record.sweep] == [0, 8]
    assert [point.chosen for point in record.sweep] == [False, True]
    assert math.isclose(record.sweep[0].perplexity_ratio, 1.0)
    assert sum(record.per_layer.values()) == len(record.units) == 8
    assert all(unit.promotes and unit.suppresses for unit in record.units)
    assert record.edit == f"edits/{spec.hash}"
    found = {(row.context, row.subject, row.against) for row in record.rows}
    for context in ("bus", "lamp", "texts"):
        for subject, against in (("base", ""), ("edit", ""), ("random", ""), ("edit", "base"), ("random", "base"),
                                 ("edit", "random")):  # fmt: skip
            assert (context, subject, against) in found
    assert all(row.against for row in record.rows if not math.isnan(row.estimate.q))
    kl = [row.estimate.value for row in record.rows
          if row.measure == "kl_to_unedited" and row.subject == "edit" and not row.against]  # fmt: skip
    assert kl[0] > 0
    assert {d.subject for d in record.distributions} == {"base", "edit", "random"}


def test_an_edit_that_helps_nowhere_is_not_made_up(shop, tmp_path):
    """With no budget for damage only the unedited model is allowed."""
    _, _, (record, edit) = _cell(shop, tmp_path, budget={"perplexity_rise": 0.0, "valid_drop": 0.0, "tolerance": 99.0})
    assert edit is None
    assert record.edit == ""
    assert record.sweep[0].chosen
    assert {row.subject for row in record.rows} == {"base"}
    assert record.notes[0].startswith("Nothing helped")
    assert record.share == 0.0


def test_names_are_kept_apart_and_methods_see_only_their_own(shop, tmp_path, monkeypatch):
    seen = {}
    real = search.method_of

    def spying(spec):
        method = real(spec)

        class Spy:
            space, fit = method.space, method.fit

            def path(self, lm, bias, utility, sizes):
                seen["fit"] = bias
                seen["texts"] = utility
                return method.path(lm, bias, utility, sizes)

        return Spy()

    monkeypatch.setattr(search, "method_of", spying)
    bench, _, _ = _cell(shop, tmp_path, fitted_on=["lamp"])
    names = {part: {(c.group, c.cluster) for c in bench.part(bench.scenario, part, 0).cases}
             for part in ("fit", "choose", "report")}  # fmt: skip
    assert sum(len(each) for each in names.values()) == 12
    assert not names["fit"] & names["choose"]
    assert {(c.group, c.cluster) for c in seen["fit"].cases} == names["fit"]
    assert {c.context for c in seen["fit"].cases} == {"lamp"}
    assert len(seen["texts"].cases) == 2


def test_a_cell_of_one_variation_is_measured_everywhere(shop, tmp_path):
    _, spec, (record, edit) = _cell(shop, tmp_path, fitted_on=["lamp/car"],
                                    methods=[{"name": "random", "sizes": "paper"}])  # fmt: skip
    assert (spec.fitted_on, spec.variations) == (("lamp",), ("car",))
    assert edit is not None
    assert record.sweep[0].gap.n == 4
    places = {(row.context, row.variation) for row in record.rows if row.subject == "edit" and row.against}
    assert {("bus", ""), ("lamp", "car"), ("lamp", "lamp"), ("lamp", "")} <= places


def test_settings_of_a_measure_reach_the_rows_and_the_choice(shop, tmp_path):
    own = {"methods": [{"name": "random", "sizes": "paper"}], "fitted_on": ["bus"],
           "split": {"fit": 1, "choose": 2, "report": 3}}  # fmt: skip
    table = {"name": GAP, "settings": {"winsor": 0.3, "pooling": "n"}}
    _, _, (plain, _) = _cell(shop, tmp_path / "a", measures=[GAP], **own)
    _, _, (clipped, _) = _cell(shop, tmp_path / "b", measures=[table], **own)

    def gaps(record):
        return [row.estimate.value for row in record.rows if row.measure == GAP and row.context == "bus"]

    assert len(gaps(plain)) == len(gaps(clipped))
    assert gaps(plain) != gaps(clipped)
    assert plain.sweep[0].gap.value != clipped.sweep[0].gap.value


def test_parts_may_be_split_by_variation(shop, tmp_path):
    many = shop / "many.toml"
    text = small_shop.SCENARIO
    text = text[: text.index("[contexts.bus]")] + text[text.index("[contexts.lamp]") :]
    many.write_text(text.replace('"lamp", "car"', '"lamp", "car", "pencil"'))
    bench, spec, (record, _) = _cell(shop, tmp_path, scenario=str(many), split={"by": "variation"},
                                     methods=[{"name": "random", "sizes": [2]}])  # fmt: skip
    parts = [bench.part(bench.scenario, part, 0) for part in ("fit", "choose", "report")]
    assert len({case.variation for part in parts for case in part.cases}) == 3
    assert all(len({case.variation for case in part.cases}) == 1 for part in parts)
    assert all(len({case.cluster for case in part.cases}) == 12 for part in parts)
    assert record.rule.startswith("On variations that were")
    assert len(bench.part(bench.utility, "fit", 0).cases) == 2
    dealt = run_record(bench, [spec], "").scenario.parts
    assert [dealt[name] for name in ("fit", "choose", "report")] == [{"lamp": (p.cases[0].variation,)} for p in parts]


def test_a_run_says_which_names_each_part_holds(shop, tmp_path):
    bench, spec, _ = _cell(shop, tmp_path, methods=[{"name": "random", "sizes": [2]}])
    dealt = run_record(bench, [spec], "").scenario.parts
    for part in ("fit", "choose", "report"):
        cases = bench.part(bench.scenario, part, 0).cases
        assert set(dealt[part]) == {"a", "b"}
        assert [set(names) for names in dealt[part].values()] == [
            {case.cluster for case in cases if case.group == group} for group in dealt[part]
        ]


def test_a_method_can_be_kept_to_layers(shop, tmp_path):
    method = {"name": "random", "sizes": [20, 40], "layers": [1]}
    _, spec, (record, _) = _cell(shop, tmp_path, methods=[method])
    assert spec.run["layers"] == [1]
    assert 0 < record.sweep[1].units < 20
    assert record.sweep[1].units < record.sweep[2].units < 40
    assert next(iter(record.per_layer.values())) == 0
    assert any("only the units in layers 1 were kept" in note for note in record.notes)
    with pytest.raises(UsageError, match="there is no layer 7"):
        _cell(shop, tmp_path, methods=[method | {"layers": [7]}])


def test_an_edit_that_does_not_scale_is_read_around_its_application(shop):
    lm, scenario = tiny_lm("llama"), load_scenario(str(shop / "shop.toml"))
    scale = Scale(Selection.of(lm.layout("neuron"), list(range(0, 144, 5))))
    other = Scale(Selection.of(lm.layout("neuron"), [3]))
    mixed = read_edits(lm, scenario, [scale, Compose((scale,)), other], Reading(), lambda *a: None)
    together_, around, third = (readouts[0].mass for readouts in mixed)
    assert (together_ - around).abs().max() < 1e-5
    assert (together_ - third).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"utility": ["facts"]}, "none of facts holds running text"),
        ({"scenario": "simple_text"}, "has 0 group"),
        ({"measures": ["standardised_mean_difference", "mena"]}, "unknown name 'mena'; did you mean 'mean'"),
        ({"methods": [{"name": "contrst"}]}, "unknown name 'contrst'; did you mean 'contrast'"),
        ({"fitted_on": ["lmp"]}, "has no context 'lmp'; did you mean 'lamp'"),
        ({"split": {"by": "variation"}}, "context 'bus': 1 variation(s) cannot be split"),
        ({"models": [{"source": "${NOT_SET_AT_ALL}/x", "chat": False}]}, "NOT_SET_AT_ALL, which is not set"),
    ],
)
def test_mistakes_are_found_before_a_model_is_loaded(shop, tmp_path, more, text):
    with pytest.raises(UsageError) as caught:
        run_study(_config(shop, **more), tmp_path / "run")
    assert text in str(caught.value)


def test_too_few_names_for_three_parts_is_refused(shop, tmp_path):
    small = shop / "small.toml"
    small.write_text(small_shop.SCENARIO.replace(', "Ann", "Bo", "Eve", "Al"', ""))
    with pytest.raises(UsageError, match=r"2 name\(s\) cannot be split into fit, choose, report"):
        run_study(_config(shop, scenario=str(small)), tmp_path / "run")
