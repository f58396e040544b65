"""Suites: what is asked, what is measured, what resumes, and what is said when a benchmark cannot be measured."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from pathlib import Path

import pytest
import torch

from evenhand import find
from evenhand.core.bootstrap import Bootstrap
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.estimate import Estimate
from evenhand.core.record import ALL, BenchmarkRecord
from evenhand.judge.benchmarks import idle, shown
from evenhand.lm.read import Reading
from evenhand.scenarios._load import load_scenario
from evenhand.study import benchmark
from evenhand.study.benchmark import Asking, Ended, NotMeasured
from evenhand.study.entry import Entry, sampled
from evenhand.study.suite import Suite, Watch, load_suite, run_suite
from evenhand.testing.tiny import tiny_lm
from small_pairs import PAIRS

FEW = Bootstrap(replicates=20)
LOCAL = ("rte", "mrpc", "qnli")
"""Not among the public benchmarks: everybody has to fetch them for themselves."""


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    path = tmp_path / "pairs.py"
    path.write_text(PAIRS)
    return str(path)


def _run(name: str, listed: Suite, folder: Path) -> tuple[list[Ended], list[bool]]:
    fresh: list[bool] = []
    watch = Watch(ended=lambda benchmark, place, total, new: fresh.append(new))
    return run_suite(Asking(tiny_lm(name), bootstrap=FEW), listed, folder, watch), fresh


def test_every_suite_lists_benchmarks_there_are() -> None:
    for name in find.names("suites"):
        assert load_suite(name).benchmarks


ENTRIES = [entry for name in find.names("suites") for entry in load_suite(name).benchmarks]
ASKED = {name: list(dict.fromkeys(entry.model_dump_json() for entry in ENTRIES if entry.scenario == name))
         for name in dict.fromkeys(entry.scenario for entry in ENTRIES)}  # fmt: skip
"""Scenario → the different ways in which suites ask it, as JSON; loading one takes longer than to sample it."""


@pytest.mark.data
@pytest.mark.parametrize("name", ASKED)
def test_every_benchmark_of_every_suite_can_be_asked(data_dir: Path, name: str) -> None:
    if name in LOCAL:
        with pytest.raises(CannotRun, match="no copy may be passed on"):
            load_scenario(name, data_dir)
        return
    scenario = load_scenario(name, data_dir)
    assert scenario.measures
    for entry in map(Entry.model_validate_json, ASKED[name]):
        _check_sample(scenario, sampled(scenario, entry, 0), entry)


def _check_sample(scenario: Scenario, asked: Scenario, entry: Entry) -> None:
    assert {context.name for context in asked.contexts} == {context.name for context in scenario.contexts}
    assert len({case.id for case in asked.cases}) == len(asked.cases)
    if entry.scenario.startswith("bbq"):
        blocks = Counter((case.fact("condition"), case.fact("polarity"), case.variation) for case in asked.cases)
        assert len(blocks) == 4 * len(scenario.variations(scenario.contexts[0].name))
        assert len(set(blocks.values())) == 1 or entry.cases is None, blocks
    if entry.clusters is not None and not scenario.pooled:
        whole, drawn = (
            [frozenset(case.cluster for case in part.cases if case.context == context.name)
             for context in scenario.contexts]
            for part in (scenario, asked)
        )  # fmt: skip
        assert len(set(whole)) > 1 or len(set(drawn)) == 1, "parallel contexts are asked about the same clusters"


def test_rows_per_context_for_all_together_and_without_flawed_items(pairs: str, tmp_path: Path) -> None:
    (record,), _ = _run("gpt2", Suite(benchmarks=(Entry(scenario=pairs),)), tmp_path / "out")
    assert isinstance(record, BenchmarkRecord)
    assert (record.cases, record.flawed) == (8, 2)
    summed = {row.context: row.estimate for row in record.rows if row.key == "summed"}
    assert {context: estimate.n for context, estimate in summed.items()} == {"shop": 4, "farm": 4, ALL: 8}
    assert summed[ALL].value == pytest.approx((summed["shop"].value + summed["farm"].value) / 2)
    assert {row.context: row.estimate.n for row in record.sound if row.key == "summed"} == {
        "shop": 3, "farm": 3, ALL: 6,
    }  # fmt: skip
    lines = shown(record)
    # The masked conventions are undefined everywhere.
    assert [line.row.key for line in lines] == ["normalised", "normalised.effect", "summed", "summed.effect"]
    assert all(line.row.context == ALL and line.sound is not None and line.sound.estimate.n == 6 for line in lines)
    assert {line.row.context for line in shown(record, by_context=True)} == {"shop", "farm", ALL}
    assert record.neutral == {
        "stereotype_preference": dict.fromkeys(("original", "modified", "normalised", "summed"), 50.0)
    }
    units = {row.key: row.estimate.unit for row in record.rows}
    assert (units["summed"], units["summed.effect"], units["summed.distance"]) == ("%", "", "nats")
    assert all(math.isnan(row.estimate.p) for row in record.rows if "." in row.key)


def test_a_model_that_guesses_is_told_apart_from_one_that_is_unbiased(tmp_path: Path) -> None:
    listed = Suite(benchmarks=(Entry(scenario="arithmetic", measures=("accuracy", "option_mass")),))
    (guessing,), _ = _run("gpt2", listed, tmp_path)
    assert isinstance(guessing, BenchmarkRecord)
    assert guessing.guess == {"accuracy": {"value": pytest.approx(0.25)}}
    said = "; ".join(idle(guessing))
    assert "not shown to be better than guessing (0.25)" in said
    assert "of its probability is on the options" in said
    right = [row.model_copy(update={"estimate": Estimate(value=0.9, low=0.8, high=1.0)}) for row in guessing.rows]
    assert idle(guessing.model_copy(update={"rows": tuple(right)})) == []
    other = [row.model_copy(update={"context": "asked in another way"}) for row in guessing.rows]
    apart = guessing.model_copy(update={"rows": (*right, *other)})
    assert any(said.startswith("asked in another way: ") for said in idle(apart)), "every context is looked at"


def test_what_is_finished_is_not_measured_again(pairs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = Suite(benchmarks=(Entry(scenario=pairs), Entry(scenario="arithmetic", measures=("accuracy",))))
    first, fresh = _run("gpt2", listed, tmp_path / "out")
    assert fresh == [True, True]
    monkeypatch.setattr(benchmark, "read", lambda *args: pytest.fail("read again"))
    again, fresh = _run("gpt2", listed, tmp_path / "out")
    assert fresh == [False, False]
    assert [each.model_dump_json() for each in again] == [each.model_dump_json() for each in first]


def test_new_measures_of_known_answers_need_no_model(
    pairs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "first_likelier.py"
    source = find.path_of("measures", "stereotype_preference").read_text()
    own.write_text(source.replace("class StereotypePreference", "class FirstLikelier"))
    _run("gpt2", Suite(benchmarks=(Entry(scenario=pairs),)), tmp_path / "out")
    monkeypatch.setattr(benchmark, "read", lambda *args: pytest.fail("read again"))
    listed = Suite(benchmarks=(Entry(scenario=pairs, measures=(str(own),)),))
    (record,), fresh = _run("gpt2", listed, tmp_path / "out")
    assert fresh == [True]
    assert isinstance(record, BenchmarkRecord)
    assert {row.measure for row in record.rows} == {str(own)}


def test_a_damaged_record_is_measured_again(pairs: str, tmp_path: Path) -> None:
    listed = Suite(benchmarks=(Entry(scenario=pairs),))
    (first,), _ = _run("gpt2", listed, tmp_path)
    (path,) = (tmp_path / "benchmarks").iterdir()
    path.write_text(path.read_text()[:100])
    said: list[str] = []
    again = run_suite(Asking(tiny_lm("gpt2"), bootstrap=FEW), listed, tmp_path, Watch(notify=said.append))
    assert "damaged" in said[0]
    assert isinstance(first, BenchmarkRecord)
    assert isinstance(again[0], BenchmarkRecord)
    assert again[0].rows == first.rows or _same(first, again[0])


def _same(one: BenchmarkRecord, other: BenchmarkRecord) -> bool:
    """Rows are the same, where an undefined value is as good as another."""
    return (
        one.model_copy(update={"seconds": 0}).model_dump_json()
        == other.model_copy(update={"seconds": 0}).model_dump_json()
    )


def test_one_benchmark_that_fails_does_not_stop_the_others(pairs: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("def load(data):\n    raise ZeroDivisionError('made to fail')\n")
    listed = Suite(benchmarks=(Entry(scenario=str(broken)), Entry(scenario="name_audit"), Entry(scenario=pairs)))
    failed, unnamed, record = _run("gpt2", listed, tmp_path / "out")[0]
    assert isinstance(failed, NotMeasured)
    assert not failed.refused
    assert "line 2" in str(failed.error)
    assert isinstance(unnamed, NotMeasured)
    assert "names no measures" in str(unnamed.error)
    assert isinstance(record, BenchmarkRecord)


def test_a_broken_model_is_said_to_be_broken(pairs: str, tmp_path: Path) -> None:
    lm = tiny_lm("gpt2")
    with torch.no_grad():
        for weight in lm.model.transformer.ln_f.parameters():
            weight.fill_(math.nan)
    (record,) = run_suite(Asking(lm, bootstrap=FEW), Suite(benchmarks=(Entry(scenario=pairs),)), tmp_path)
    assert isinstance(record, BenchmarkRecord)
    assert idle(record) == ["nothing could be measured: every number is undefined"]
    lines = [line.row.key for line in shown(record)]
    assert {"original", "normalised"} <= set(lines), "what is undefined is shown as such"


def test_a_measure_that_fails_or_does_not_fit_is_no_refusal(pairs: str, tmp_path: Path) -> None:
    own = tmp_path / "broken_measure.py"
    source = find.path_of("measures", "stereotype_preference").read_text()
    own.write_text(source.replace("class StereotypePreference", "class BrokenMeasure").replace(
        "        columns = [", "        1 / 0\n        columns = ["))  # fmt: skip
    entries = (Entry(scenario=pairs, measures=(str(own),)), Entry(scenario=pairs, measures=("perplexity",)))
    failed, unfit = _run("gpt2", Suite(benchmarks=entries), tmp_path / "out")[0]
    assert isinstance(failed, NotMeasured)
    assert isinstance(unfit, NotMeasured)
    assert not failed.refused
    assert "ZeroDivisionError" in str(failed.error)
    assert not unfit.refused
    assert "read from answers of kind sentence" in str(unfit.error)


def test_settings_of_a_measure_are_those_of_the_entry(pairs: str, tmp_path: Path) -> None:
    entry = Entry(scenario="arithmetic", measures=("accuracy",), settings={"accuracy": {"nothing": 1}})
    (refused,), _ = _run("gpt2", Suite(benchmarks=(entry,)), tmp_path)
    assert isinstance(refused, NotMeasured)
    assert "no setting 'nothing'" in str(refused.error)


def test_a_model_that_cannot_take_a_benchmark_refuses_it(tmp_path: Path) -> None:
    entry = Entry(scenario="name_audit", measures=("mean",))
    (refused,), _ = _run("bert", Suite(benchmarks=(entry,)), tmp_path)
    assert isinstance(refused, NotMeasured)
    assert refused.refused


def test_whole_clusters_are_drawn_from_every_context(pairs: str) -> None:
    whole = load_scenario(pairs)
    few = sampled(whole, Entry(scenario=pairs, clusters=2), seed=0)
    assert [sum(case.context == place for case in few.cases) for place in ("shop", "farm")] == [2, 2]
    assert few == sampled(whole, Entry(scenario=pairs, clusters=2), seed=0)
    assert any(few != sampled(whole, Entry(scenario=pairs, clusters=2), seed=seed) for seed in range(1, 5))
    assert sampled(whole, Entry(scenario=pairs, clusters=9), seed=0) == whole
    assert {case.context for case in sampled(whole, Entry(scenario=pairs, contexts=("farm",)), 0).cases} == {"farm"}
    one = dataclasses.replace(whole, cases=tuple(dataclasses.replace(case, cluster="x") for case in whole.cases))
    spread = sampled(one, Entry(scenario=pairs, cases=2), seed=0)
    assert [case.id for case in spread.cases] == ["shop/1", "shop/3", "farm/1", "farm/3"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("benchmarks = []", "lists one benchmark or more"),
        ('[[benchmarks]]\nscenario = "crows_pears"', "did you mean 'crows_pairs'"),
        ('[[benchmarks]]\nscenario = "crows_pairs"\nlimit = 3', "line 3: unknown key 'limit'"),
        ('[[benchmarks]]\nscenario = "crows_pairs"\nclusters = 0', "greater than or equal to 1"),
        ('[[benchmarks]]\nscenario = "crows_pairs"\nmeasures = ["acuracy"]', "did you mean 'accuracy'"),
        ("[[benchmarks]", "not valid TOML"),
    ],
)
def test_mistakes_in_a_suite_are_told(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=says):
        load_suite(str(path))


def test_an_unknown_suite_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'quick'"):
        load_suite("quik")


def test_intervals_are_those_of_the_reading_and_the_seed(pairs: str, tmp_path: Path) -> None:
    listed = Suite(benchmarks=(Entry(scenario=pairs),))
    folder = tmp_path / "out"
    lm = tiny_lm("gpt2")
    hashes = {
        each.spec.hash
        for reading, bootstrap in ((Reading(), FEW), (Reading(seed=1), FEW), (Reading(), Bootstrap(replicates=21)))
        for each in run_suite(Asking(lm, reading, bootstrap), listed, folder)
        if isinstance(each, BenchmarkRecord)
    }
    assert len(hashes) == 3 == len(list((folder / "benchmarks").iterdir()))
