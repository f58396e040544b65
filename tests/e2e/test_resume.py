"""A run killed (SIGKILL) at any moment goes on where it was; finished cells stay untouched, no file is half-written."""

import json
import multiprocessing
import random
import signal
import time

import pytest

import small_shop
from evenhand.core.record import CellRecord, RunRecord
from evenhand.study.config import load_study
from evenhand.study.engine import run_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study of six cells on a tiny model saved to a folder."""
    folder = small_shop.write(tmp_path_factory.mktemp("study"))
    (folder / "study.toml").write_text(
        f'name = "tiny"\nscenario = {json.dumps(str(folder / "shop.toml"))}\n'
        f"utility = [{json.dumps(str(folder / 'texts.toml'))}]\nsizes = [1, 8]\n"
        'fitted_on = ["bus", "lamp", "lamp/car"]\n'
        f"[[models]]\nsource = {json.dumps(str(folder / 'model'))}\nchat = false\n"
        '[[methods]]\nname = "random"\n[[methods]]\nname = "set_difference"\n'
        "[bootstrap]\nreplicates = 50\n[budget]\nperplexity_rise = 10.0\nvalid_drop = 1.0\n"
    )
    return folder / "study.toml"


def _started(study, out):
    """A process that has everything imported already, so that it can be killed in the middle of the work."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["evenhand.study.engine", "evenhand.methods.random", "evenhand.methods.set_difference", "scipy.special",
         "scipy.stats", "transformers.models.llama.modeling_llama", "transformers.models.auto.modeling_auto",
         "transformers.models.auto.tokenization_auto", "transformers.conversion_mapping"]
    )  # fmt: skip
    process = context.Process(target=run_study, args=(load_study(study), out))
    process.start()
    return process


def _records(out):
    """Every record as plain data, without what is about time."""
    run = RunRecord.model_validate_json((out / "run.json").read_bytes()).model_dump_json(exclude={"created"})
    cells = {path.name: CellRecord.model_validate_json(path.read_bytes()).model_copy(update={"seconds": 0.0})
             for path in (out / "cells").glob("*.json")}  # fmt: skip
    edits = {path.relative_to(out): path.read_bytes() for path in (out / "edits").rglob("*") if path.is_file()}
    return run, {name: record.model_dump_json() for name, record in cells.items()}, edits


def _finished(out):
    """Cells that are there, each readable, with the time it was written."""
    found = {}
    for path in (out / "cells").glob("*.json") if (out / "cells").is_dir() else ():
        CellRecord.model_validate_json(path.read_bytes())
        found[path] = path.stat().st_mtime_ns
    return found


def test_killed_runs_resume(study, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    whole, out = tmp_path / "whole", tmp_path / "killed"
    process = _started(study, tmp_path / "warm")
    process.join()
    start = time.monotonic()
    process = _started(study, whole)
    process.join()
    took = time.monotonic() - start
    assert process.exitcode == 0
    expected = _records(whole)
    assert len(expected[1]) == 6

    draw, kept, survivors = random.Random(11), {}, []
    while len(survivors) < 3 or (not any(0 < n < 6 for n in survivors) and len(survivors) < 12):
        process = _started(study, out)
        process.join(took * draw.uniform(0.15, 0.6))
        process.kill()
        process.join()
        assert process.exitcode in (-signal.SIGKILL, 0)
        now = _finished(out)
        assert all(now[path] == written for path, written in kept.items()), "a finished cell was computed again"
        kept = now
        survivors.append(len(now))
    assert any(0 < n < 6 for n in survivors), f"no kill came between the first and the last cell: {survivors}"
    process = _started(study, out)
    process.join()
    assert process.exitcode == 0
    assert all(path.stat().st_mtime_ns == written for path, written in kept.items())
    assert _records(out) == expected
    assert not [path for path in out.rglob("*") if ".tmp-" in path.name]
