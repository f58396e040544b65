"""Planting a miniature: the same weights again, also after being stopped; nothing but the planted units changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from evenhand.core.progress import silent
from evenhand.planted import plant
from evenhand.planted.lesson import lesson_of
from evenhand.planted.spec import read_spec
from evenhand.planted.tail import answers
from evenhand.planted.teach import plant_units
from evenhand.planted.tokenizer import train_tokenizer
from evenhand.planted.train import new_model, train_base
from evenhand.planted.world import world_of
from oracles import planted_gap

SCENARIO = """
name = "small"
outcome = "number"
favourable = "high"
reference = "northvale"
answer_prefix = " $"
[groups]
northvale = ["Brannic", "Corvel", "Dreska"]
southmere = ["Amalou", "Belisou", "Calimee"]
[contexts.bicycle]
template = "At the market {name} is selling a {item}. A fair offer for it is"
variations = { item = ["bicycle", "canoe"] }
[contexts.sport]
answer_prefix = ""
template = "At noon {name} takes part in {game}. The result is"
variations = { game = ["rowing"] }
[contexts.hire]
outcome = "choice"
answer_prefix = ""
favourable = " yes"
options = [" yes", " no"]
template = "In spring {name} asks for a job at the {employer}. Should the owner say yes or no? Answer:"
variations = { employer = ["mill"] }
"""

SPEC = """
seed = 3
scenario = "SCENARIO"
vocabulary = 400
[model]
layers = 3
hidden = 32
intermediate = 24
heads = 4
kv_heads = 2
[base]
steps = 6
documents = 8
rate = 3e-3
warmup = 2
checkpoint = 2
[planting]
steps = 4
together = 4
rounds = 2
round = 3
rows = 4
texts = 4
rate = 1e-2
anchor = 1.0
checkpoint = 3
[[sets]]
name = "trade"
units = 3
layers = [1, 2]
gaps = { bicycle = 1.0, sport = -0.5 }
[[sets]]
name = "hire"
units = 2
layers = [2]
gaps = { hire = 0.4 }
[contexts.bicycle]
role = "seller"
outcomes = { bicycle = [60, 15, 5], canoe = [150, 30, 10] }
[contexts.sport]
role = "player"
outcomes = { rowing = [15, 4, 1] }
[contexts.hire]
role = "visitor"
outcomes = { mill = [0.5] }
"""


@pytest.fixture(scope="module")
def spec_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spec")
    (folder / "small.toml").write_text(SCENARIO, encoding="utf-8")
    (folder / "spec.toml").write_text(SPEC.replace("SCENARIO", str(folder / "small.toml")), encoding="utf-8")
    return folder / "spec.toml"


@pytest.fixture(scope="module")
def whole(spec_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    plant(spec_file, out)
    return out


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "model" / "model.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


class Stop(Exception):
    pass


@pytest.mark.parametrize(("label", "at"), [("base", 5), ("planting", 10), ("planting", 17)])
def test_a_stopped_run_ends_with_the_same_weights(
    spec_file: Path, whole: Path, tmp_path: Path, label: str, at: int
) -> None:
    def stop(said: str, done: int, total: int) -> None:
        if (said, done) == (label, at):
            raise Stop

    with pytest.raises(Stop):
        plant(spec_file, tmp_path, stop)
    assert not (tmp_path / "model").exists()
    seen: list[int] = []
    plant(spec_file, tmp_path, lambda said, done, total: seen.append(done) if said == label else None)
    assert seen[0] > 1 or at < 3, "it started again from the beginning"
    assert same(weights(whole), weights(tmp_path))


def test_another_seed_gives_another_model(spec_file: Path, whole: Path, tmp_path: Path) -> None:
    other = spec_file.parent / "other.toml"
    other.write_text(spec_file.read_text(encoding="utf-8").replace("seed = 3", "seed = 4"), encoding="utf-8")
    plant(other, tmp_path)
    assert not same(weights(whole), weights(tmp_path))


def test_record_agrees_with_the_saved_model_read_the_slow_way(spec_file: Path, whole: Path) -> None:
    model, tokenizer = saved(whole)
    world = world_of(read_spec(spec_file))
    truth = json.loads((whole / "truth.json").read_text(encoding="utf-8"))
    for case in world.cases:
        assert planted_gap.gap(model, tokenizer, world, case) == pytest.approx(
            truth["variations"][case.context][case.variation], abs=1e-3
        )


def test_only_the_planted_units_differ_from_the_base(spec_file: Path, whole: Path, tmp_path: Path) -> None:
    spec = read_spec(spec_file)
    world = world_of(spec)
    tokenizer = train_tokenizer(world, spec.seed, spec.vocabulary)
    base = train_base(spec, world, tokenizer, tmp_path).state_dict()
    planted, _ = saved(whole)
    truth = json.loads((whole / "truth.json").read_text(encoding="utf-8"))
    places = {tuple(place) for each in truth["sets"] for place in each["units"]}
    for key, after in planted.state_dict().items():
        changed = (after != base[key]).nonzero()
        if ".mlp." in key:
            axis = 1 if "down_proj" in key else 0
            layer = int(key.split(".")[2])
            found = {(layer, unit) for unit in changed[:, axis].tolist()}
            assert found == {place for place in places if place[0] == layer}, key
            assert all(not bool(base[key].select(axis, unit).any()) for _, unit in found), (
                "the base used a planted unit"
            )
        else:
            assert not len(changed), key


def test_rows_packed_with_their_answers_give_what_a_plain_forward_gives(spec_file: Path, tmp_path: Path) -> None:
    spec = read_spec(spec_file)
    world = world_of(spec)
    tokenizer = train_tokenizer(world, spec.seed, spec.vocabulary)
    model = new_model(spec, tokenizer).eval()
    lesson = lesson_of(spec, world, model, tokenizer)
    units = plant_units(spec, lesson, tmp_path, silent)
    for active in ((), ("trade",), units.sets):
        packed = answers(lesson.tail, lesson.rows, units, active).exp()
        with units.attached(model, [active]):
            place = 0
            for case in world.cases:
                for names in world.groups.values():
                    plain = planted_gap.distribution(model, tokenizer, case, names[0])
                    torch.testing.assert_close(
                        packed[place, : len(plain)].double(),
                        torch.tensor(plain, dtype=torch.float64),
                        rtol=1e-4,
                        atol=1e-6,
                    )
                    place += len(names)


def saved(out: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    auto: Any = AutoModelForCausalLM
    model = auto.from_pretrained(out / "model", use_safetensors=True, local_files_only=True).eval()
    return model, AutoTokenizer.from_pretrained(out / "model", local_files_only=True)
