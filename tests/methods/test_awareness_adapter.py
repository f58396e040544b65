"""The adapter of awareness: trained as peft trains it, on the layers it says, on pairs it may see, leaving no trace."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.scenario import Scenario
from evenhand.edits.lora import Lora
from evenhand.lm.load import load
from evenhand.lm.model import LM
from evenhand.methods.awareness_adapter import AwarenessAdapter
from evenhand.testing.tiny import tiny_lm
from evenhand.train.pairs import AWARENESS, Completing, read
from evenhand.train.schedule import drawn, seed_of
from oracles.peft_training import trained

NONE = Scenario("none", (), ())
PACK = """
[cues]
train = ["Meant:", "That is:"]
[train]
race = [["A black man spoke.", "a man of one race."], ["Ask the white nurse!", "a nurse of one race."]]
colour = [["A black cup fell.", "a cup of one colour."], ["Take the white one!", "a thing."]]
"""


@pytest.fixture
def small(tmp_path: Path) -> AwarenessAdapter:
    (tmp_path / "pairs.toml").write_text(PACK)
    return AwarenessAdapter(pairs=str(tmp_path / "pairs.toml"), batch_size=2, accumulate=1, epochs=2)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
@pytest.mark.parametrize(("family", "loss", "layers"), [("llama", "text", "early"), ("gpt2", "answer", "all")])
def test_it_trains_what_plain_peft_trains(family: str, loss: str, layers: str, small: AwarenessAdapter) -> None:
    method = replace(small, dropout=0.0, loss=loss, layers=layers, seed=3, accumulate=2, epochs=4)
    lm = tiny_lm(family)
    before, ours = method.path(lm, NONE, NONE, [0, 4])
    pack = read(Path(method.pairs))
    numbers = itertools.count()
    steps = [[_batch(method, pack, next(numbers)) for _ in range(2)] for _ in range(4)]
    start = {path: a for path, (a, _) in before.factors.items()}
    theirs = trained(
        copy.deepcopy(lm.model), lm.tokenizer, steps, list(ours.factors), loss == "text", start, family == "gpt2"
    )
    for path, (a, b) in ours.factors.items():
        assert torch.allclose(a, theirs[path][0], atol=2e-6), path
        assert torch.allclose(b, theirs[path][1], atol=2e-6), path
        assert float(b.abs().max()) > 2e-4


def _batch(method: AwarenessAdapter, pack, number: int) -> list[tuple[str, str]]:
    generator = torch.Generator().manual_seed(seed_of(method.seed, "objective", number))
    chosen = [pack.pairs[i] for i in drawn(len(pack.pairs), 2, number, method.seed)]
    cues = torch.randint(len(pack.cues), (2,), generator=generator).tolist()
    return [(f"{pair.text}\n{pack.cues[cue]}", pair.says) for pair, cue in zip(chosen, cues, strict=True)]


def _layers_of(edit: Lora) -> list[int]:
    return sorted({int(path.split(".")[2]) for path in edit.factors})


def test_layers_are_those_of_the_paper_and_of_the_size_of_late(small: AwarenessAdapter) -> None:
    def chosen(layers: str, depth: int, seed: int = 0) -> list[int]:
        return replace(small, layers=layers, seed=seed)._layers(depth)

    assert chosen("early", 32) == list(range(20))
    assert chosen("late", 32) == list(range(20, 32))
    assert chosen("all", 32) == list(range(32))
    assert chosen("first", 32) == list(range(12))
    assert chosen("middle", 32) == list(range(10, 22))
    drawn_sets = [chosen("random", 32, seed) for seed in (0, 0, 1)]
    assert [len(set(each)) for each in drawn_sets] == [12, 12, 12]
    assert drawn_sets[0] == drawn_sets[1] != drawn_sets[2]
    contiguous = [chosen(layers, 5) for layers in ("late", "first", "middle")]
    assert not [seed for seed in range(20) if chosen("random", 5, seed) in contiguous]
    for depth in (1, 2, 3, 5):
        sizes = {len(chosen(layers, depth)) for layers in ("late", "first", "middle", "random")}
        assert sizes in ({1}, {2}), sizes
    assert _layers_of(replace(small, layers="late").path(tiny_lm("llama"), NONE, NONE, [0])[0]) == [2]


def test_the_paper_s_recipe_is_the_default() -> None:
    method = AwarenessAdapter()
    recipe = method._recipe(read(AWARENESS))
    assert (recipe.steps, recipe.lr, recipe.schedule, recipe.warmup) == (53, 2e-4, "cosine", 4)
    assert (recipe.weight_decay, recipe.clip, recipe.batch_size * recipe.accumulate) == (0.01, 1.0, 16)
    assert (method.rank, method.alpha, method.dropout, method.layers, method.loss) == (4, 32.0, 0.1, "early", "text")
    paper = replace(read(AWARENESS), pairs=read(AWARENESS).pairs[:1] * 431)
    assert method._steps(paper) == 189, "as many as the paper's pairs take"
    assert {pair.kind for pair in replace(method, contrast=False)._pack().pairs} == {"race"}


def test_dropout_is_drawn_by_seed_and_changes_what_is_learnt(small: AwarenessAdapter) -> None:
    lm = tiny_lm("llama")
    methods = [small, small, replace(small, dropout=0.0)]
    one, again, without = (method.fit(lm, NONE, NONE).tensors() for method in methods)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not all(torch.equal(one[name], without[name]) for name in one)


def test_what_cannot_be_trained_is_refused(small: AwarenessAdapter) -> None:
    from accelerate import cpu_offload

    for family in ("bert", "t5"):
        with pytest.raises(CannotRun, match="causal"):
            small.fit(tiny_lm(family), NONE, NONE)
    lm = tiny_lm("llama")
    with pytest.raises(UsageError, match=r"asked for 5 training steps of 4; raise epochs"):
        small.path(lm, NONE, NONE, [5])
    cpu_offload(lm.model, execution_device=torch.device("cpu"))
    with pytest.raises(CannotRun, match="offloaded"):
        small.fit(lm, NONE, NONE)
    lm = tiny_lm("llama")
    lm.model.config.quantization_config = {"quant_method": "toy"}
    with pytest.raises(CannotRun, match="quantised"):
        small.fit(lm, NONE, NONE)


def _held_out(lm: LM) -> float:
    """Mean −log p per token of the completions of held-out sentences after held-out cues."""
    with torch.no_grad():
        terms = Completing(read(AWARENESS, "held_out"), "answer", 24).terms(lm, 0, torch.Generator().manual_seed(0))
    return float(terms["answer"][1])


@pytest.mark.models
def test_a_real_model_learns_to_complete_sentences_and_cues_it_has_not_seen(models_dir: Path) -> None:
    lm = load(models_dir / "stories260K")
    method = AwarenessAdapter(layers="all", loss="answer", lr=2e-3, epochs=1)
    before = _held_out(lm)
    edit = method.fit(lm, NONE, NONE)
    assert _held_out(lm) == before
    with edit.applied(lm):
        after = _held_out(lm)
    with edit.control(0).applied(lm):
        random = _held_out(lm)
    assert after < before - 0.2, f"{before:.3f} became {after:.3f}"
    assert random > after + 0.2, f"a random change of the same norm makes it {random:.3f}"


def test_a_killed_training_goes_on_to_the_same_edit_and_other_settings_start_afresh(
    small: AwarenessAdapter, tmp_path: Path
) -> None:
    def killed(label: str, done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    lm = tiny_lm("llama")
    whole = small.fit(lm, NONE, NONE).tensors()
    told: list[str] = []
    lm.notify = told.append
    with lm.keeping(tmp_path / "work"):
        with lm.reporting(killed), pytest.raises(KeyboardInterrupt):
            small.fit(lm, NONE, NONE)
        other = replace(small, alpha=16.0)
        other.fit(lm, NONE, NONE)
        assert not [line for line in told if "goes on" in line]
        again = small.fit(lm, NONE, NONE).tensors()
    assert [line for line in told if "goes on after step 3 of 4" in line]
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_why_it_stopped_is_told_once(small: AwarenessAdapter) -> None:
    lm = tiny_lm("llama")
    told: list[str] = []
    lm.notify = told.append
    replace(small, lr=1e30).fit(lm, NONE, NONE)
    (why,) = (line for line in told if "stopped" in line)
    assert why.startswith("awareness_adapter: training stopped after 2 of 4 steps: the loss is nan")
