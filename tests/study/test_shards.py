"""Answers kept in shards: the same as all at once, whatever was kept before; what is killed loses one shard."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import normalizers

from evenhand.core.bootstrap import Bootstrap
from evenhand.core.case import Case, Outcome
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.progress import Progress, silent
from evenhand.core.readout import Readout
from evenhand.core.record import BenchmarkRecord
from evenhand.core.scenario import Context, Scenario
from evenhand.lm.model import LM
from evenhand.lm.read import Reading, read
from evenhand.study import benchmark
from evenhand.study.benchmark import Asking
from evenhand.study.entry import Entry
from evenhand.study.shards import read_kept, shards
from evenhand.study.store import CannotWrite, Store, write
from evenhand.study.suite import Suite, run_suite
from evenhand.testing.tiny import tiny_lm, tiny_tokenizer

NAMES = ("Maria", "Jamal", "Hunter", "She")
THINGS = ("lamp", "car", "bicycle", "pencil", "bus")
FEW = Reading(numeric="sample", samples=3, max_new_tokens=4, node_budget=20)
SIZE = 40


def _scenario(*kinds: Outcome) -> Scenario:
    """Return cases of every kind in turn; a cluster is a thing, asked about with every name."""
    cases = tuple(_case(kind, thing, name) for thing in THINGS for kind in kinds for name in NAMES)
    contexts = tuple(Context(kind, kind, favourable_words=("Yes",), unfavourable_words=("No",)) for kind in kinds)
    return Scenario("things", cases, contexts, ("a", "b"))


def _case(kind: Outcome, thing: str, name: str) -> Case:
    more = (" It was late.",) if kind == "choice" and thing == "bus" else ()
    options = {"choice": (" Yes", " No, the answer", *more), "pair": (f"{name} sold the {thing}.", f"{name} asked.")}
    return Case(f"{kind}/{thing}/{name}", "" if kind == "pair" else f"{name} sold a {thing} for $", kind,
                group="ab"[len(name) % 2], cluster=thing, options=options.get(kind, ()),
                favourable=0 if kind == "choice" else None)  # fmt: skip


def _kept(lm: LM, scenario: Scenario, store: Store, progress: Progress = silent, asked: list[int] | None = None,
          reading: Reading = FEW) -> list[Readout]:  # fmt: skip
    def ask(shard: Scenario, told: Progress) -> list[Readout]:
        if asked is not None:
            asked.append(len(shard.cases))
        return read(lm, shard, reading, told)

    return read_kept(store, shards(scenario, reading, SIZE), ask, lambda shard: shard.fingerprint, progress)


def _same(one: Readout, other: Readout, rounding: float) -> None:
    """Fail unless both say the same, order, shape, type and undefined values included."""
    told = ("kind", "cases", "groups", "ddof", "answers", "notes")
    assert [getattr(one, name) for name in told] == [getattr(other, name) for name in told]
    assert (list(one.shares), list(one.arrays)) == (list(other.shares), list(other.arrays))
    assert torch.equal(one.row, other.row)
    assert torch.equal(one.defined, other.defined)
    parts = [(one.value, other.value), (one.mass, other.mass)]
    parts += [(one.shares[name], other.shares[name]) for name in one.shares]
    parts += [(one.arrays[name], other.arrays[name]) for name in one.arrays]
    for mine, theirs in parts:
        torch.testing.assert_close(mine, theirs, rtol=rounding, atol=rounding, equal_nan=True)


def test_shards_hold_all_cases_in_order_and_end_with_a_cluster() -> None:
    scenario = _scenario("choice", "pair")
    cut = shards(scenario, FEW, SIZE)
    assert [{case.context for shard in few for case in shard.cases} for few in cut] == [{"choice"}, {"pair"}]
    for few in cut:
        assert len(few) > 2
        cases = [case for shard in few for case in shard.cases]
        assert cases == [case for case in scenario.cases if case.context == cases[0].context]
        clusters = [{case.cluster for case in shard.cases} for shard in few]
        assert sum(map(len, clusters)) == len(THINGS), "no cluster lies in two shards"
    assert shards(scenario, FEW, SIZE) == cut
    only = _scenario("choice")
    assert shards(only, FEW, 10**6) == [[only]], "a small benchmark is one shard: itself"


def test_cases_without_cluster_can_be_cut_anywhere_and_generated_answers_count_by_their_length() -> None:
    scenario = _scenario("text")
    free = dataclasses.replace(scenario, cases=tuple(dataclasses.replace(case, cluster="") for case in scenario.cases))
    assert len(shards(scenario, FEW, 1)[0]) == len(THINGS)
    assert len(shards(free, FEW, 1)[0]) == len(THINGS) * len(NAMES)
    more = dataclasses.replace(FEW, samples=100)
    assert len(shards(free, more, 2000)[0]) > len(shards(free, FEW, 2000)[0]) == 1


@pytest.mark.parametrize("kind", ["choice", "pair", "sentence", "text", "number", "embedding"])
def test_answers_are_those_of_one_reading_and_the_same_whatever_was_kept(kind: Outcome, tmp_path: Path) -> None:
    lm, scenario = tiny_lm("gpt2"), _scenario(kind)
    assert len(shards(scenario, FEW, SIZE)[0]) > 2
    (whole,) = read(lm, scenario, FEW)
    (apart,) = _kept(lm, scenario, Store(tmp_path / "a"))
    _same(apart, whole, 1e-5)
    some = Store(tmp_path / "b")
    _kept(lm, scenario, some)
    for path in sorted((some.folder / "cache").iterdir())[::2]:
        path.unlink()
    for again in (some, Store(tmp_path / "a")):
        _same(_kept(lm, scenario, again)[0], apart, 0)


@pytest.mark.parametrize(("name", "kind"), [("bert", "pair"), ("t5", "choice"), ("gpt2", "number")])
def test_other_models_and_exact_search_too(name: str, kind: Outcome, tmp_path: Path) -> None:
    lm, scenario = tiny_lm(name), _scenario(kind)
    reading = Reading(node_budget=20)
    (whole,) = read(lm, scenario, reading)
    _same(_kept(lm, scenario, Store(tmp_path), reading=reading)[0], whole, 1e-5)


def test_kinds_come_in_the_order_of_one_reading(tmp_path: Path) -> None:
    lm, scenario = tiny_lm("gpt2"), _scenario("sentence", "choice")
    for apart, whole in zip(_kept(lm, scenario, Store(tmp_path)), read(lm, scenario, FEW), strict=True):
        _same(apart, whole, 1e-5)


def test_a_damaged_shard_is_read_again_and_no_other(tmp_path: Path) -> None:
    lm, scenario, said, asked = tiny_lm("gpt2"), _scenario("choice"), list[str](), list[int]()
    store = Store(tmp_path, said.append)
    (first,) = _kept(lm, scenario, store)
    sorted((tmp_path / "cache").iterdir())[1].write_bytes(b"half a fi")
    _same(_kept(lm, scenario, store, asked=asked)[0], first, 0)
    assert len(asked) == len(said) == 1
    assert "damaged" in said[0]


def _long(scenario: Scenario, times: int, longest: Callable[[Case], bool]) -> Scenario:
    cases = [dataclasses.replace(case, prompt="It was late. " * times + case.prompt) if longest(case) else case
             for case in scenario.cases]  # fmt: skip
    return dataclasses.replace(scenario, cases=tuple(cases))


def test_a_shard_of_which_no_case_fits_is_undefined_and_a_model_that_none_fits_is_refused(tmp_path: Path) -> None:
    lm = tiny_lm("gpt2")
    some = _long(_scenario("choice"), 100, lambda case: case.cluster == "car")
    assert {"car"} in [{case.cluster for case in shard.cases} for shard in shards(some, FEW, SIZE)[0]]
    (whole,) = read(lm, some, FEW)
    assert int((~whole.defined).sum()) == len(NAMES)
    _same(_kept(lm, some, Store(tmp_path))[0], whole, 1e-5)
    with pytest.raises(CannotRun, match="every prompt"):
        _kept(lm, _long(some, 100, lambda case: True), Store(tmp_path))


def test_a_shard_of_which_no_option_can_be_written_is_undefined(tmp_path: Path) -> None:
    def unwritable(broken: tuple[str, ...]) -> Scenario:
        cases = [dataclasses.replace(case, options=("¤" * 60, "¤" * 61)) if case.cluster in broken else case
                 for case in scenario.cases]  # fmt: skip
        return dataclasses.replace(scenario, cases=tuple(cases))

    tokenizer = tiny_tokenizer("gpt2")
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("¤", "")
    lm, scenario = tiny_lm("gpt2", tokenizer=tokenizer), _scenario("choice")
    some = unwritable(("lamp",))
    assert {"lamp"} in [{case.cluster for case in shard.cases} for shard in shards(some, FEW, SIZE)[0]]
    (whole,) = read(lm, some, FEW)
    assert int(whole.arrays["logp"].isnan().all(1).sum()) == len(NAMES)
    _same(_kept(lm, some, Store(tmp_path))[0], whole, 1e-5)
    with pytest.raises(UsageError, match="¤"):
        _kept(lm, unwritable(THINGS), Store(tmp_path))


def test_a_case_that_cannot_be_answered_is_met_before_the_others_are_read(tmp_path: Path) -> None:
    scenario, asked = _long(_scenario("text"), 100, lambda case: case.cluster == "bus"), list[int]()
    with pytest.raises(CannotRun, match="bus"):
        _kept(tiny_lm("gpt2"), scenario, Store(tmp_path), asked=asked)
    assert not (tmp_path / "cache").exists(), "nothing was read in vain"
    assert asked


def test_progress_is_one_bar_over_all_shards_that_begins_with_what_was_kept(tmp_path: Path) -> None:
    lm, scenario = tiny_lm("gpt2"), _scenario("choice")
    lm.budget = 64
    told: list[tuple[str, int, int]] = []
    _kept(lm, scenario, Store(tmp_path), lambda *each: told.append(each))
    assert {(label, total) for label, _, total in told} == {("scoring", len(scenario.cases))}
    done = [each[1] for each in told]
    assert done == sorted(done)
    assert done.index(len(scenario.cases)) == len(done) - 1, "it ends once: a bar that is full disappears"
    sorted((tmp_path / "cache").iterdir())[0].unlink()
    told.clear()
    asked: list[int] = []
    _kept(lm, scenario, Store(tmp_path), lambda *each: told.append(each), asked)
    assert told[0][1] >= len(scenario.cases) - sum(asked)
    told.clear()
    _kept(lm, scenario, Store(tmp_path), lambda *each: told.append(each))
    assert told == []


def test_a_disk_that_fails_is_told_and_earlier_shards_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lm, scenario, asked = tiny_lm("gpt2"), _scenario("choice"), list[int]()
    kept: list[Path] = []

    def full(path: Path, data: bytes) -> None:
        if len(kept) == 2:
            raise CannotWrite("no space")
        write(path, data)
        kept.append(path)

    with monkeypatch.context() as broken:
        broken.setattr("evenhand.study.store.write", full)
        with pytest.raises(CannotWrite):
            _kept(lm, scenario, Store(tmp_path))
    _kept(lm, scenario, Store(tmp_path), asked=asked)
    assert len(asked) == len(shards(scenario, FEW, SIZE)[0]) - 2


SCENARIO = '''
from evenhand.core.case import Case
from evenhand.core.scenario import Context, Scenario


def load(data):
    """Twelve pairs."""
    cases = tuple(
        Case(str(i), "", "shop", cluster=str(i), options=(f"She sold {i} cars.", f"He sold {i} cars {i}."))
        for i in range(12)
    )
    return Scenario("pairs", cases, (Context("shop", "pair"),), measures=("stereotype_preference",))
'''
KILLED = """
import os, sys
from pathlib import Path
from test_shards import run
from evenhand.study import benchmark

plain, calls = benchmark.read, []

def read(*args):
    calls.append(args)
    if len(calls) == 4:
        os._exit(9)
    return plain(*args)

benchmark.read = read
run(Path(sys.argv[1]), sys.argv[2])
"""


def run(folder: Path, scenario: str) -> BenchmarkRecord:
    """Measure the twelve pairs in shards of two."""
    benchmark.shard_size = lambda lm: 16
    listed = Suite(benchmarks=(Entry(scenario=scenario, untrained=True),))
    (record,) = run_suite(Asking(tiny_lm("gpt2"), bootstrap=Bootstrap(replicates=10)), listed, folder)
    assert isinstance(record, BenchmarkRecord)
    return record


def test_a_killed_run_reads_the_shards_it_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pairs.py"
    path.write_text(SCENARIO)
    here = Path(__file__).parent
    code = f"import sys; sys.path.insert(0, {str(here)!r})\n{KILLED}"
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a"), str(path)], check=False)
    assert killed.returncode == 9
    assert len(list((tmp_path / "a" / "cache").iterdir())) == 3
    asked: list[int] = []

    def counted(lm: LM, shard: Scenario, reading: Reading, progress: Progress) -> list[Readout]:
        asked.append(len(shard.cases))
        return read(lm, shard, reading, progress)

    monkeypatch.setattr(benchmark, "shard_size", None)
    monkeypatch.setattr(benchmark, "read", counted)
    resumed = run(tmp_path / "a", str(path))
    assert len(asked) == 2 * 6 - 3, "twelve shards, of the model and of random weights; three were kept"
    at_once = run(tmp_path / "b", str(path))
    assert len(resumed.rows) == len(at_once.rows)
    for one, other in zip(resumed.rows, at_once.rows, strict=True):  # of another process, whose threads may differ
        assert (one.key, one.context, one.subject, one.against) == (
            other.key,
            other.context,
            other.subject,
            other.against,
        )
        for end in ("value", "low", "high"):
            assert getattr(one.estimate, end) == pytest.approx(getattr(other.estimate, end), abs=1e-4, nan_ok=True)
