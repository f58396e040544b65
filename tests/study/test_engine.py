"""What a run does beside computing cells: which it computes again, and how it goes on when one cannot be computed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import cpu_offload

from evenhand.core.component import Selection
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.record import CellRecord
from evenhand.edits import _file
from evenhand.edits.scale import Scale
from evenhand.study import code, engine
from evenhand.study.config import StudyConfig
from evenhand.study.engine import Listener, NotRun, Unfinished, run_study
from evenhand.study.store import CannotWrite
from evenhand.testing.tiny import tiny_lm

Asked = Callable[..., StudyConfig]

OWN_MEASURE = '''"""The mean, times a factor."""
from dataclasses import dataclass

from evenhand.measures.mean import Mean


@dataclass(frozen=True)
class Own(Mean):
    """Scaled."""

    def combine(self, stats, weights):
        return {"value": FACTOR * super().combine(stats, weights)["value"]}
'''
PICKY = '''"""Works on one context only."""
from dataclasses import dataclass

from evenhand.core.errors import CannotRun
from evenhand.methods.random import Random


@dataclass(frozen=True)
class Picky(Random):
    """Refuses what it does not know."""

    where: str = "lamp"

    def fit(self, lm, bias, utility):
        if self.where != bias.contexts[0].name:
            raise CannotRun(f"no numbers come out in {bias.contexts[0].name}")
        return super().fit(lm, bias, utility)
'''


def _run(config: StudyConfig, folder: Path) -> tuple[list[CellRecord], list[bool], list[str]]:
    """The finished cells, whether each was computed just now, and what was told."""
    fresh: list[bool] = []
    told: list[str] = []
    listener = Listener(ended=lambda cell, place, total, new: fresh.append(new), notify=told.append)
    return run_study(config, folder, listener), fresh, told


def _means(record: CellRecord, name: str) -> list[float]:
    return [row.estimate.value for row in record.rows if row.measure == name and row.subject == "edit"]


def test_a_changed_measure_is_another_cell_and_other_files_are_not(asked: Asked, tmp_path: Path) -> None:
    own, other = tmp_path / "own.py", tmp_path / "other.py"
    own.write_text(OWN_MEASURE.replace("FACTOR", "1"))
    config = asked(measures=["standardised_mean_difference", str(own)])
    (first,), fresh, _ = _run(config, tmp_path / "run")
    assert fresh == [True]
    other.write_text(OWN_MEASURE)
    (again,), fresh, _ = _run(config, tmp_path / "run")
    assert (again, fresh) == (first, [False])
    own.write_text(OWN_MEASURE.replace("FACTOR", "2"))
    (changed,), fresh, _ = _run(config, tmp_path / "run")
    assert fresh == [True]
    assert changed.spec.run["code"].keys() == {"evenhand", str(own)}
    assert _means(changed, str(own)) == pytest.approx([2 * mean for mean in _means(first, str(own))])


def test_the_package_counts_by_what_makes_numbers(tmp_path: Path) -> None:
    root = tmp_path / "evenhand"
    shutil.copytree(Path(code.__file__).parents[1], root, ignore=shutil.ignore_patterns("model", "__pycache__"))
    before = code.package(root)
    assert before == code.package()
    for part, counts in (("locate/contrast.py", True), ("lm/attribution/trace.py", True), ("find.py", True),
                         ("report/words.py", False), ("cli/run.py", False)):  # fmt: skip
        with (root / part).open("a") as file:
            file.write("# another line\n")
        code.package.cache_clear()
        assert (code.package(root) != before) is counts, part
        before = code.package(root)


def test_nothing_that_makes_numbers_imports_code_that_does_not_count() -> None:
    root = Path(code.__file__).parents[1]
    covered = [path for part in code.MAKES_NUMBERS for path in (root / part).rglob("*.py")
               if path.name not in ("audit.py", "gate.py")]  # fmt: skip  # no cell, nor what makes one
    found = {line for path in covered for line in re.findall(r"from evenhand\.(\w+\.?\S* import .*)", path.read_text())
             if line.split(".")[0].split()[0] not in (*code.MAKES_NUMBERS, "find")}  # fmt: skip
    assert found == {
        "scenarios._load import load_scenario",  # its cases have a fingerprint in the cell
        "scenarios._data import Source, read_json",  # the one file that is read is pinned by its contents
        "planted import BUNDLED, model_path, name_of",  # the model has one too
        "judge.facts import GAP",  # a measure's name, which stands in the cell
        "judge.facts import GAP, NOTHING",  # and an estimate that is none
    }


def test_plug_ins_outside_the_package_count_by_their_file(tmp_path: Path) -> None:
    own, locator, texts = tmp_path / "own.py", tmp_path / "my_locator.py", tmp_path / "texts.toml"
    own.write_text(OWN_MEASURE)
    locator.write_text("")
    texts.write_text("")
    settings = {"locator": str(locator), "n": 1, "pairs": str(texts)}
    found = code.fingerprints([("measures", str(own)), ("methods", "random")], [settings])
    assert found.keys() == {"evenhand", str(own), str(locator), str(texts)}
    for file in (locator, texts):
        before = code.fingerprints([("measures", str(own))], [settings])
        file.write_text("# changed")
        changed = code.fingerprints([("measures", str(own))], [settings])
        assert [key for key in before if before[key] != changed[key]] == [str(file)]


@pytest.mark.parametrize("damage", ["truncated", "deleted", "torn"])
def test_a_cell_whose_edit_is_damaged_is_computed_again(asked: Asked, tmp_path: Path, damage: str) -> None:
    (first,), _, told = _run(asked(), tmp_path)
    assert first.edit
    assert not any("computed again" in line for line in told)
    folder = tmp_path / first.edit
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    if damage == "deleted":
        shutil.rmtree(folder)
    elif damage == "torn":
        (folder / "edit.safetensors").unlink()
    else:
        (folder / "edit.safetensors").write_bytes(before["edit.safetensors"][:-3])
    (again,), fresh, told = _run(asked(), tmp_path)
    assert fresh == [True]
    names, made_again = told
    assert names.startswith("too few names for intervals: 2 in the choose part and 2 in the report part")
    assert made_again.startswith(str(folder))
    assert made_again.endswith("this cell is computed again")
    assert again.model_copy(update={"seconds": first.seconds}).model_dump_json() == first.model_dump_json()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert _run(asked(), tmp_path)[1] == [False]


def test_a_cell_that_cannot_be_computed_does_not_stop_the_others(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "picky.py").write_text(PICKY)
    picky = {"name": str(tmp_path / "picky.py"), "sizes": "paper"}
    config = asked(methods=[picky, {"name": "random", "sizes": "paper"}], fitted_on=["bus", "lamp"])
    ended: list[tuple[Any, int, int]] = []
    listener = Listener(ended=lambda cell, place, total, new: ended.append((cell, place, total)))
    with pytest.raises(Unfinished, match=r"1 of 4 cells could not be run(.|\n)*picky\.py on bus .*seed 0.*no numbers"
                       ) as caught:  # fmt: skip
        run_study(config, tmp_path / "run", listener)
    assert caught.value.exit_code == 3
    assert [(place, total) for _, place, total in ended] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [type(cell) for cell, _, _ in ended] == [NotRun, CellRecord, CellRecord, CellRecord]
    assert caught.value.records == [cell for cell, _, _ in ended[1:]]
    assert len(list((tmp_path / "run" / "cells").iterdir())) == 3
    (tmp_path / "picky.py").write_text(PICKY.replace("self.where !=", "not"))
    records, fresh, _ = _run(config, tmp_path / "run")
    assert len(records) == 4
    assert fresh == [True, True, False, False], "both cells of the changed file, and no other"


def test_a_wrong_setting_seen_only_in_a_cell_is_the_users(asked: Asked, tmp_path: Path) -> None:
    wrong = {"name": "random", "sizes": "paper", "layers": [7]}
    with pytest.raises(Unfinished, match="there is no layer 7") as caught:
        run_study(asked(methods=[wrong]), tmp_path)
    assert caught.value.exit_code == UsageError.exit_code


def test_a_full_disk_ends_the_run(asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[object] = []

    def full(bench: object, spec: object) -> None:
        begun.append(spec)
        raise CannotWrite("no space")

    monkeypatch.setattr(engine, "run_cell", full)
    with pytest.raises(CannotRun, match="no space"):
        run_study(asked(fitted_on=["bus", "lamp"]), tmp_path)
    assert len(begun) == 1


def test_variations_dealt_out_ask_for_no_names(asked: Asked, shop: Path, tmp_path: Path) -> None:
    """With two names per group nothing could be dealt by name."""
    text = (shop / "shop.toml").read_text()
    text = text.replace(', "Ann", "Bo", "Eve", "Al"', "").replace(', "Di", "Flo", "Gus", "Hal"', "")
    text = text[: text.index("[contexts.bus]")] + text[text.index("[contexts.lamp]") :]
    few = tmp_path / "few.toml"
    few.write_text(text.replace('"lamp", "car"', '"lamp", "car", "pencil"'))
    (record,), _, _ = _run(asked(scenario=str(few), split={"by": "variation"}), tmp_path / "run")
    assert record.rule
    with pytest.raises(UsageError, match=r"2 name\(s\) cannot be split"):
        run_study(asked(scenario=str(few)), tmp_path / "by_name")


def test_an_offloaded_model_is_edited_by_activation(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offloaded(config: object, notify: object) -> Any:
        lm = tiny_lm("llama")
        cpu_offload(lm.model, execution_device=torch.device("cpu"))
        return lm

    monkeypatch.setattr(engine, "open_model", offloaded)
    for mechanism in ("weight", "activation"):
        method = {"name": "random", "sizes": "paper", "settings": {"mechanism": mechanism}}
        (record,), _, _ = _run(asked(methods=[method]), tmp_path / mechanism)
        edit = _file.load(tmp_path / mechanism / record.edit).unchecked
        assert isinstance(edit, Scale)
        assert record.spec.settings["mechanism"] == edit.mechanism == mechanism
        assert {row.subject for row in record.rows} == {"base", "edit", "random"}
        lm = offloaded(None, None)
        if mechanism == "weight":
            with pytest.raises(CannotRun, match="use mechanism 'activation'"), edit.applied(lm):
                pass
        else:
            with edit.applied(lm):
                assert lm.edits


def test_a_control_scales_as_its_edit_does() -> None:
    edit = Scale(Selection.of(tiny_lm("llama").layout("neuron"), [1, 60]), 0.5, "activation")
    random = edit.control(0)
    assert random is not None
    assert (random.factor, random.mechanism) == (0.5, "activation")


def test_a_folder_belongs_to_one_study(asked: Asked, tmp_path: Path) -> None:
    _run(asked(), tmp_path)
    before = (tmp_path / "run.json").read_bytes()
    with pytest.raises(UsageError, match="holds the run of another study, 't'; give 'other' a folder of its own"):
        _run(asked(name="other"), tmp_path)
    assert (tmp_path / "run.json").read_bytes() == before
    assert _run(asked(methods=[{"name": "random", "sizes": [1]}]), tmp_path)[1] == [True], "the same study may change"


def test_one_model_twice_is_refused(asked: Asked, shop: Path, tmp_path: Path) -> None:
    twice = [
        {"source": str(shop / "model"), "chat": False},
        {"source": str(shop / "model"), "chat": False, "dtype": "auto"},
    ]
    with pytest.raises(UsageError, match="is there twice"):
        _run(asked(models=twice), tmp_path)


@pytest.mark.parametrize(("split", "least"), [({}, 15), ({"fit": 2}, 20), ({"report": 2}, 20)])
def test_too_few_names_are_told_with_how_many_are_enough(
    asked: Asked, tmp_path: Path, split: dict[str, float], least: int
) -> None:
    _, _, told = _run(asked(split=split), tmp_path)
    assert told[0].endswith(f"give at least {least} names per group")
