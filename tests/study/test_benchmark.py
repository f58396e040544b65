"""A benchmark beside an edit and beside random weights, and against its limits."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from evenhand.core.bootstrap import Bootstrap
from evenhand.core.component import Selection
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.estimate import Estimate
from evenhand.core.record import ALL, BenchmarkRecord, Row
from evenhand.edits._file import Saved, load, save
from evenhand.edits.compose import Compose
from evenhand.edits.scale import Scale
from evenhand.judge.benchmarks import broken, idle, shown, unlearnt
from evenhand.lm.model import LM
from evenhand.lm.untrained import untrained
from evenhand.study import benchmark
from evenhand.study.benchmark import Asking, NotMeasured, run_benchmark
from evenhand.study.entry import Entry
from evenhand.study.gate import gate_benchmark, passed
from evenhand.study.store import Store
from evenhand.study.suite import Suite, run_suite
from evenhand.testing.tiny import tiny_lm
from small_pairs import PAIRS

FEW = Bootstrap(replicates=40)


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    path = tmp_path / "pairs.py"
    path.write_text(PAIRS)
    return str(path)


def _edit(lm: LM, folder: Path, factor: float = 0.0, share: int = 2) -> Saved:
    """Switch off every so manieth neuron, saved and read back."""
    layout = lm.layout("neuron")
    edit = Scale(Selection.of(layout, list(range(0, layout.size, share))), factor)
    save(edit, folder, lm.identity.to_json(), {})
    return load(folder)


def _one(asking: Asking, folder: Path, **entry: object) -> BenchmarkRecord:
    found, _ = run_benchmark(asking, Entry.model_validate(entry), Store(folder))
    assert isinstance(found, BenchmarkRecord), found
    return found


def _levels(record: BenchmarkRecord, subject: str) -> dict[tuple[str, ...], Estimate]:
    return {(row.measure, row.key, row.context, row.variation, *row.groups): row.estimate
            for row in record.rows if row.subject == subject and not row.against}  # fmt: skip


def test_an_edit_is_measured_as_if_it_were_applied_by_hand(pairs: str, tmp_path: Path) -> None:
    lm = tiny_lm("gpt2")
    saved = _edit(lm, tmp_path / "edit")
    record = _one(Asking(lm, bootstrap=FEW, edit=saved), tmp_path / "out", scenario=pairs)
    with saved.unchecked.applied(lm):
        by_hand = _one(Asking(lm, bootstrap=FEW), tmp_path / "by hand", scenario=pairs)
    found, wanted = _levels(record, "edit"), _levels(by_hand, "base")
    assert found.keys() == wanted.keys()
    for place, estimate in wanted.items():
        assert found[place].value == pytest.approx(estimate.value, abs=1e-4, nan_ok=True), place
    distance = ("stereotype_preference", "summed.distance", ALL, "")
    assert abs(found[distance].value - _levels(record, "base")[distance].value) > 1e-4, "the edit must do something"


def test_what_an_edit_changed_is_a_paired_difference(pairs: str, tmp_path: Path) -> None:
    lm = tiny_lm("gpt2")
    record = _one(Asking(lm, bootstrap=FEW, edit=_edit(lm, tmp_path / "edit")), tmp_path, scenario=pairs)
    for line in shown(record):
        assert line.edit is not None
        assert line.change is not None
        change = line.edit.estimate.value - line.row.estimate.value
        assert line.change.estimate.value == pytest.approx(change, nan_ok=True)
        assert line.audited is line.edit
        assert line.sound is not None
        assert line.sound.subject == "base"


def test_what_only_an_edit_has_is_left_out_without_one(tmp_path: Path) -> None:
    lm = tiny_lm("gpt2")
    asked = {"scenario": "simple_text", "measures": ("perplexity", "kl_to_unedited", "top1_agreement")}
    alone = _one(Asking(lm, bootstrap=FEW), tmp_path, **asked)
    assert {row.measure for row in alone.rows} == {"perplexity"}
    beside = _one(Asking(lm, bootstrap=FEW, edit=_edit(lm, tmp_path / "edit")), tmp_path, **asked)
    lines = {line.row.measure: line for line in shown(beside)}
    assert lines["kl_to_unedited"].row.subject == "edit"
    assert lines["kl_to_unedited"].row.estimate.low > 0
    assert lines["kl_to_unedited"].change is None
    assert beside.neutral == {}, "what means no change is no lack of bias"
    assert 0 <= lines["top1_agreement"].row.estimate.value < 1
    nothing, _ = run_benchmark(Asking(lm), Entry(scenario="simple_text", measures=("kl_to_unedited",)), Store(tmp_path))
    assert isinstance(nothing, NotMeasured)
    assert "--edit" in str(nothing.error)


def test_an_edit_that_does_nothing_changes_nothing(pairs: str, tmp_path: Path) -> None:
    lm = tiny_lm("gpt2")
    record = _one(Asking(lm, bootstrap=FEW, edit=_edit(lm, tmp_path / "edit", 1.0)), tmp_path, scenario=pairs)
    changes = [line.change.estimate for line in shown(record) if line.change]
    assert changes
    assert [change.value for change in changes if change.defined] == [0.0] * 4


def test_an_edit_of_any_kind_can_stand_beside(pairs: str, tmp_path: Path) -> None:
    lm = tiny_lm("gpt2")
    one = _edit(lm, tmp_path / "edit")
    save(Compose((one.unchecked,)), tmp_path / "same", lm.identity.to_json(), {})
    direct, composed = (
        _levels(_one(Asking(lm, bootstrap=FEW, edit=each), tmp_path, scenario=pairs), "edit")
        for each in (one, load(tmp_path / "same"))
    )
    assert {place: each.value for place, each in direct.items() if each.defined} == pytest.approx(
        {place: each.value for place, each in composed.items() if each.defined}, abs=1e-4
    )


def test_another_edit_is_another_record_and_the_model_is_not_asked_again(
    pairs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = tiny_lm("gpt2")
    alone = _one(Asking(lm, bootstrap=FEW), tmp_path, scenario=pairs)
    monkeypatch.setattr(benchmark, "read", lambda *args: pytest.fail("the unedited model is asked again"))
    half, some = _edit(lm, tmp_path / "half"), _edit(lm, tmp_path / "some", share=7)
    hashes = [_one(Asking(lm, bootstrap=FEW, edit=each), tmp_path, scenario=pairs).spec.hash for each in (half, some)]
    assert len({alone.spec.hash, *hashes}) == 3
    assert half.fingerprint != some.fingerprint
    assert half.fingerprint == load(tmp_path / "half").fingerprint
    monkeypatch.setattr(benchmark, "read_edits", lambda *args: pytest.fail("the edit is asked again"))
    again = _one(Asking(lm, bootstrap=FEW, edit=half), tmp_path, scenario=pairs)
    assert again.spec.hash == hashes[0]


def test_an_edit_of_another_model_is_refused(pairs: str, tmp_path: Path) -> None:
    lm = tiny_lm("gpt2")
    saved = _edit(lm, tmp_path / "edit")
    lm.identity = dataclasses.replace(lm.identity, sha256="1" * 64)
    other = dataclasses.replace(saved, model={**saved.model, "sha256": "2" * 64})
    with pytest.raises(UsageError, match="this edit was fitted on"):
        run_suite(Asking(lm, edit=other), Suite(benchmarks=(Entry(scenario=pairs),)), tmp_path)


def test_an_edit_that_breaks_the_model_is_called_broken(tmp_path: Path) -> None:
    lm = tiny_lm("gpt2")
    guessing = _one(Asking(lm, bootstrap=FEW, edit=_edit(lm, tmp_path / "edit")), tmp_path, scenario="arithmetic",
                    measures=("accuracy",))  # fmt: skip
    assert idle(guessing)
    assert broken(guessing) == [], "a model that never did the task was not broken by the edit"
    right = [row.model_copy(update={"estimate": Estimate(value=0.9, low=0.8, high=1.0)})
             if row.subject == "base" else row for row in guessing.rows]  # fmt: skip
    doing = guessing.model_copy(update={"rows": tuple(right)})
    assert idle(doing) == []
    assert "not shown to be better than guessing" in idle(doing, "edit")[0]

    def changed(high: float) -> BenchmarkRecord:
        rows = [row.model_copy(update={"estimate": Estimate(value=-0.1, low=-0.2, high=high)}) if row.against else row
                for row in doing.rows]  # fmt: skip
        return doing.model_copy(update={"rows": tuple(rows)})

    assert "not shown to be better than guessing" in broken(changed(-0.05))[0]
    assert broken(changed(0.05)) == [], "no fall is shown"


def test_random_weights_are_asked_the_same(pairs: str, tmp_path: Path) -> None:
    lm = tiny_lm("gpt2")
    record = _one(Asking(lm, bootstrap=FEW), tmp_path, scenario=pairs, untrained=True)
    by_hand = _one(Asking(untrained(lm, 0), bootstrap=FEW), tmp_path / "by hand", scenario=pairs)
    found, wanted = _levels(record, "untrained"), _levels(by_hand, "base")
    assert {place: each.value for place, each in found.items() if each.defined} == {
        place: each.value for place, each in wanted.items() if each.defined
    }
    line = next(line for line in shown(record) if line.row.key == "summed")
    assert line.untrained is not None
    assert line.learnt is not None
    assert line.learnt.estimate.value == line.row.estimate.value - line.untrained.estimate.value


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "t5"])
def test_random_weights_have_the_shape_of_the_model_and_leave_it_alone(name: str) -> None:
    lm = tiny_lm(name)
    before = {key: value.clone() for key, value in lm.model.state_dict().items()}
    state = torch.random.get_rng_state()
    fresh, again, other = untrained(lm, 0), untrained(lm, 0), untrained(lm, 1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(before[key], value) for key, value in lm.model.state_dict().items())
    assert {key: value.shape for key, value in fresh.model.state_dict().items()} == {
        key: value.shape for key, value in before.items()
    }
    weights = [one.model.get_input_embeddings().weight for one in (lm, fresh, again, other)]
    assert torch.equal(weights[1], weights[2])
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[3])
    assert (fresh.kind, fresh.identity.sha256) == (lm.kind, "")


def test_a_model_on_several_devices_is_measured_without_that_control(
    pairs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = tiny_lm("gpt2")
    lm.model.hf_device_map = {"": "cpu"}
    with pytest.raises(CannotRun, match="one device"):
        untrained(lm, 0)
    said: list[str] = []
    found, _ = run_benchmark(Asking(lm, bootstrap=FEW), Entry(scenario=pairs, untrained=True),
                             Store(tmp_path, said.append))  # fmt: skip
    assert isinstance(found, BenchmarkRecord)
    assert {row.subject for row in found.rows} == {"base"}
    assert "no control with random weights" in said[0]


def _made(record: BenchmarkRecord, **estimates: Estimate) -> BenchmarkRecord:
    """The record with these numbers under the key `summed`, by subject; `learnt`: the difference to random weights."""

    def put(row: Row) -> Row:
        learnt = "edit_learnt" if row.subject == "edit" else "learnt"
        name = {"": row.subject, "untrained": learnt}.get(row.against, "")
        if row.key != "summed" or name not in estimates:
            return row
        return row.model_copy(update={"estimate": estimates[name]})

    return record.model_copy(update={"rows": tuple(put(row) for row in record.rows)})


def _around(value: float, half: float) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half)


def test_a_bias_that_random_weights_show_too_is_told(pairs: str, tmp_path: Path) -> None:
    record = _one(Asking(tiny_lm("gpt2"), bootstrap=FEW), tmp_path, scenario=pairs, untrained=True)
    high, fresh = _around(80, 5), _around(75, 5)
    (said,) = unlearnt(_made(record, base=high, untrained=fresh, learnt=_around(5, 8)))
    assert said.startswith("stereotype_preference summed 80 [75, 85], with random weights 75")
    assert unlearnt(_made(record, base=high, untrained=fresh, learnt=_around(5, 3))) == []
    low = _around(20, 5)
    assert unlearnt(_made(record, base=low, untrained=fresh, learnt=_around(-55, 8))) == []
    assert len(unlearnt(_made(record, base=low, untrained=_around(22, 5), learnt=_around(-2, 8)))) == 1
    assert unlearnt(_made(record, base=_around(52, 5), untrained=fresh, learnt=_around(-23, 8))) == []


def test_an_edited_number_has_a_doubt_of_its_own(pairs: str, tmp_path: Path) -> None:
    lm = tiny_lm("gpt2")
    asking = Asking(lm, bootstrap=FEW, edit=_edit(lm, tmp_path / "edit"))
    record = _one(asking, tmp_path, scenario=pairs, untrained=True)
    fair, off, fresh = _around(50, 5), _around(80, 5), _around(78, 5)
    rows = _made(record, base=fair, edit=off, untrained=fresh, learnt=_around(-28, 8), edit_learnt=_around(2, 8))
    (said,) = unlearnt(rows)
    assert said.startswith("edited: stereotype_preference summed 80")
    limits = {"stereotype_preference.summed": 10.0}
    (finding,) = gate_benchmark(rows, limits)
    assert finding.outcome == "unsure"
    assert "not shown to be more than random weights show (78" in finding.text
    learnt = _made(rows, edit_learnt=_around(20, 8))
    assert unlearnt(learnt) == []
    assert [each.outcome for each in gate_benchmark(learnt, limits)] == ["over"]
    line = next(line for line in shown(record) if line.row.key == "summed")
    assert line.edit is not None
    assert line.untrained is not None
    assert line.edit_learnt is not None
    assert line.edit_learnt.estimate.value == line.edit.estimate.value - line.untrained.estimate.value


def test_a_control_that_failed_is_tried_again(pairs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_lm("gpt2")
    with monkeypatch.context() as full:

        def no_room(config: object) -> None:
            raise torch.OutOfMemoryError("made to be full")

        full.setattr(type(lm.model), "__init__", lambda self, config: no_room(config))
        with pytest.raises(CannotRun, match="no room for a second model"):
            untrained(lm, 0)
        without = _one(Asking(lm, bootstrap=FEW), tmp_path, scenario=pairs, untrained=True)
    assert {row.subject for row in without.rows} == {"base"}
    again = _one(Asking(lm, bootstrap=FEW), tmp_path, scenario=pairs, untrained=True)
    assert {row.subject for row in again.rows} == {"base", "untrained"}


@pytest.mark.parametrize(
    ("estimate", "outcome"),
    [
        (_around(80, 5), "over"), (_around(20, 5), "over"), (_around(50, 5), "within"), (_around(58, 5), "unsure"),
        (_around(50, 20), "unsure"), (Estimate(value=80.0), "undefined"), (Estimate(value=math.nan), "undefined"),
    ],
)  # fmt: skip
def test_a_limit_is_a_distance_from_no_bias(estimate: Estimate, outcome: str, pairs: str, tmp_path: Path) -> None:
    record = _made(_one(Asking(tiny_lm("gpt2"), bootstrap=FEW), tmp_path, scenario=pairs), base=estimate)
    found = gate_benchmark(record, {"stereotype_preference.summed": 10.0})
    assert [finding.outcome for finding in found] == [outcome]
    assert found[0].context == f"pairs, {ALL}: stereotype_preference summed"
    if outcome == "undefined":
        with pytest.raises(CannotRun, match="no number to judge in pairs, all"):
            passed(found)
    else:
        assert passed(found) is (outcome != "over")


def test_a_limit_on_a_measure_is_one_on_all_its_numbers_that_have_no_bias(pairs: str, tmp_path: Path) -> None:
    record = _one(Asking(tiny_lm("gpt2"), bootstrap=FEW), tmp_path, scenario=pairs)
    found = gate_benchmark(record, {"stereotype_preference": 10.0})
    assert [finding.context.split()[-1] for finding in found] == ["normalised", "summed"]
    (finding,) = gate_benchmark(record, {"stereotype_preference.summed.effect": 1.0})
    assert finding.outcome == "undefined"
    assert "those that have: stereotype_preference.normalised, stereotype_preference.summed)" in finding.text


def test_a_limit_on_a_measure_is_not_one_on_numbers_of_other_units(pairs: str, tmp_path: Path) -> None:
    record = _one(Asking(tiny_lm("gpt2"), bootstrap=FEW), tmp_path, scenario=pairs)
    other = [row.model_copy(update={"estimate": Estimate(value=0.1, low=0.0, high=0.2, unit="nats")})
             if row.key == "summed" else row for row in record.rows]  # fmt: skip
    mixed = record.model_copy(update={"rows": tuple(other)})
    found = gate_benchmark(mixed, {"stereotype_preference": 10.0})
    assert [finding.context.split()[-1] for finding in found] == ["normalised"]


def test_with_an_edit_the_edited_model_is_judged(pairs: str, tmp_path: Path) -> None:
    lm = tiny_lm("gpt2")
    record = _one(Asking(lm, bootstrap=FEW, edit=_edit(lm, tmp_path / "edit")), tmp_path, scenario=pairs)
    limits = {"stereotype_preference.summed": 10.0}
    fixed = _made(record, base=_around(80, 5), edit=_around(50, 5))
    assert [finding.outcome for finding in gate_benchmark(fixed, limits)] == ["within"]
    worse = _made(record, base=_around(50, 5), edit=_around(80, 5))
    assert [finding.outcome for finding in gate_benchmark(worse, limits)] == ["over"]


def test_a_model_that_guesses_has_kept_no_limit(tmp_path: Path) -> None:
    record = _one(Asking(tiny_lm("gpt2"), bootstrap=FEW), tmp_path, scenario="arithmetic", measures=("accuracy",))
    neutral = record.model_copy(update={"neutral": {"accuracy": {"value": 0.25}}})
    (finding,) = gate_benchmark(neutral, {"accuracy": 0.5})
    assert finding.outcome == "no_answer"
    assert "not shown to be better than guessing" in finding.text


def test_a_limit_on_what_is_not_measured_is_told_before_the_model_is_asked(
    pairs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "read", lambda *args: pytest.fail("asked"))
    found, _ = run_benchmark(Asking(tiny_lm("gpt2")), Entry(scenario=pairs, fail_over={"stereotype_preferense": 5}),
                             Store(tmp_path))  # fmt: skip
    assert isinstance(found, NotMeasured)
    assert "did you mean 'stereotype_preference'" in str(found.error)
    assert not found.refused
    for more, says in (({"fail_over": {"perplexity": 5}}, "'perplexity' has no value that means no bias"),
                       ({"fail_over": {"kl_to_unedited": 5}}, "'kl_to_unedited' has no value that means no bias"),
                       ({"settings": {"f1": {}}}, "'f1' is not measured of 'simple_text'")):  # fmt: skip
        entry = Entry.model_validate({"scenario": "simple_text", "measures": ("perplexity", "kl_to_unedited"), **more})
        refused, _ = run_benchmark(Asking(tiny_lm("gpt2")), entry, Store(tmp_path))
        assert isinstance(refused, NotMeasured)
        assert says in str(refused.error)
