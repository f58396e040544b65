"""Files of a run appear whole or not at all; readouts come back bit for bit; two runs cannot share a folder."""

import errno
import math
import os
import subprocess
import sys

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.component import Selection
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.estimate import Estimate
from evenhand.core.readout import Readout
from evenhand.core.record import CellRecord, CellSpec, SweepPoint
from evenhand.core.scenario import Context, Scenario
from evenhand.edits.scale import Scale
from evenhand.study import store as store_module
from evenhand.study.store import Store, read_run, write
from evenhand.testing.tiny import tiny_lm


def _spec(**changes):
    given = {"model": {"sha256": "x"}, "method": "random", "settings": {}, "scenario": "s", "scenario_fingerprint": "f",
             "utility_fingerprints": (), "fitted_on": ("a",), "run": {}}  # fmt: skip
    return CellSpec(**(given | changes))


def _record(spec, edit=""):
    return CellRecord(spec=spec, rows=(), sweep=(), units=(), per_layer={}, layer_sizes={}, space="neuron", share=0.0,
                      distributions=(), edit=edit)  # fmt: skip


def _readouts():
    cases = tuple(Case(id=str(i), prompt="", context="c", group="ab"[i % 2], cluster=str(i)) for i in range(4))
    scenario = Scenario("s", cases, (Context("c", "number"),), ("a", "b"))
    readout = Readout(
        kind="number", cases=cases, groups=("a", "b"), value=torch.tensor([1.5, 2.0, 3e38, -0.0]),
        mass=torch.tensor([1.0, 0.1, 0.9, 1.0]), row=torch.tensor([0, 1, 1, 3]),
        shares={"valid": torch.tensor([1.0, 1, 0, 1]).double(), "refusal": torch.tensor([0.0, 0, 1, 0])},
        defined=torch.tensor([True, True, False, True]), ddof=1,
        arrays={"logp": torch.randn(4, 2), "kl": torch.zeros(4)},
        answers=(("1",), ("é",), (), ("-0",)), notes={"mode": "sample"},
    )  # fmt: skip
    return scenario, readout


def test_readouts_survive_the_cache_bit_for_bit(tmp_path):
    scenario, readout = _readouts()
    calls = []
    store = Store(tmp_path)

    def make():
        calls.append(1)
        return [readout]

    first, second = store.readouts("k", scenario, make), store.readouts("k", scenario, make)
    assert len(calls) == 1
    assert first[0] is readout
    back = second[0]
    assert (back.cases, back.groups, back.answers, back.ddof, back.notes) == (
        readout.cases, readout.groups, readout.answers, readout.ddof, readout.notes)  # fmt: skip
    assert (list(back.shares), list(back.arrays)) == (list(readout.shares), list(readout.arrays))
    for mine, theirs in ((back.value, readout.value), (back.mass, readout.mass), (back.row, readout.row),
                         (back.defined, readout.defined), (back.arrays["logp"], readout.arrays["logp"]),
                         (back.shares["valid"], readout.shares["valid"])):  # fmt: skip
        assert mine.dtype == theirs.dtype
        assert mine.numpy().tobytes() == theirs.numpy().tobytes()


def test_a_damaged_cache_or_cell_is_announced_and_made_again(tmp_path):
    scenario, readout = _readouts()
    lines = []
    store = Store(tmp_path, lines.append)
    store.readouts("k", scenario, lambda: [readout])
    (tmp_path / "cache" / "k.safetensors").write_bytes(b"half a fi")
    assert store.readouts("k", scenario, lambda: [readout])[0] is readout
    store.write_cell(_record(_spec()), None)
    assert store.cell(_spec()) == _record(_spec())
    store.cell_path(_spec().hash).write_text('{"spec": ')
    assert store.cell(_spec()) is None
    assert [("damaged" in line) for line in lines] == [True, True]


def test_a_cell_whose_edit_has_no_share_of_units_is_read_back(tmp_path):
    store = Store(tmp_path, pytest.fail)
    nothing = Estimate(value=math.nan)
    point = SweepPoint(units=5, share=math.nan, gap=nothing, random_gap=nothing, valid=1.0, perplexity_ratio=1.0)
    record = _record(_spec()).model_copy(update={"share": math.nan, "sweep": (point,), "dose": "training steps"})
    store.write_cell(record, None)
    back = store.cell(_spec())
    assert math.isnan(back.share)
    assert math.isnan(back.sweep[0].share)


def test_a_cell_without_its_edit_is_not_finished(tmp_path):
    lm = tiny_lm("llama")
    edit = Scale(Selection.of(lm.layout("neuron"), [3]))
    spec = _spec()
    store = Store(tmp_path)
    store.write_cell(_record(spec, f"edits/{spec.hash}"), edit)
    assert store.cell(spec) is not None
    (tmp_path / "edits" / spec.hash / "edit.json").unlink()
    assert store.cell(spec) is None


@pytest.mark.parametrize("when", ["write", "fsync", "replace"])
def test_a_full_disk_is_one_sentence_and_leaves_finished_files(tmp_path, monkeypatch, when):
    store = Store(tmp_path)
    store.write_cell(_record(_spec()), None)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    if when == "write":
        monkeypatch.setattr(store_module.Path, "open", full)
    elif when == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(store_module.Path, "replace", full)
    with pytest.raises(CannotRun, match=r"No space left on device.*what is finished is intact"):
        store.write_cell(_record(_spec(seed=1)), None)
    with pytest.raises(CannotRun, match="No space left on device"):
        write(store.cell_path(_spec().hash), b"other")
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_two_runs_cannot_use_one_folder(tmp_path):
    code = (
        "import sys, pathlib; from evenhand.study.store import Store\n"
        "with Store(pathlib.Path(sys.argv[1])).locked():\n  print('held', flush=True)\n  sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=-1, stdout=-1) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(CannotRun, match="another run is writing there"), Store(tmp_path).locked():
            pass
        other.kill()
        other.communicate()
    with Store(tmp_path).locked():
        pass


def test_leftovers_of_a_killed_run_are_swept(tmp_path):
    for path in (".tmp-1", "cells/.tmp-2", "cache/.tmp-3", "edits/.abc.1/edit.json"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("half")
    with Store(tmp_path).locked():
        assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == [".lock"]


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"expected a run folder with run\.json"):
        read_run(tmp_path)
