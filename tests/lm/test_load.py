"""Every way a checkpoint can be wrong gets a sentence that says so; what is loaded is pinned."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import T5Config, T5ForConditionalGeneration
from transformers.utils import logging

from evenhand.core.errors import CannotRun, EvenhandError, UsageError
from evenhand.lm import load as load_module
from evenhand.lm.family import FAMILIES, Family, Stack, layout_of
from evenhand.lm.load import Loading, load, wrap
from evenhand.lm.model import Identity
from evenhand.lm.scoring.forward import score_texts
from evenhand.testing.tiny import FAMILY_NAMES, MOE_NAMES, SENTENCES, tiny_lm, tiny_tokenizer

WEIGHT = "model.layers.1.mlp.down_proj.weight"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    logging.disable_progress_bar()
    folder = tmp_path_factory.mktemp("good")
    lm = tiny_lm("llama")
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    return folder


def _config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _weights(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    return damage


def _pickle(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")


def _truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def _mistyped(dtype: str) -> Loading:
    """What untyped code can do."""
    loading = Loading()
    object.__setattr__(loading, "dtype", dtype)
    return loading


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: _config(folder, model_type="bloom"), r"unknown architecture 'bloom'.*add a row to FAMILIES"),
        (lambda folder: _config(folder, model_type="nonsense"), "configuration cannot be loaded"),
        (_pickle, r"only pickled ones \(pytorch_model.bin\)"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no weights in safetensors format, none"),
        (_weights(lambda t: t.pop(WEIGHT)), rf"1 weight\(s\) are missing from the checkpoint \({WEIGHT}\)"),
        (_weights(lambda t: t.update({WEIGHT: torch.zeros(32, 47)})), f"another shape than the model's .{WEIGHT}"),
        (_truncate, "damaged or unreadable"),
        (_empty, "configuration cannot be loaded"),
        (lambda folder: (folder / "config.json").write_text("{"), "not a valid JSON"),
        (
            lambda folder: (folder / "tokenizer.json").unlink(),
            r"its tokenizer cannot be loaded .*one of: \(1\) .*, \(2\) .* or \(3\) .* convert\)\. "
            r"Expected tokenizer\.json; where there is only a tokenizer\.model, `pip install sentencepiece",
        ),
        (lambda folder: _config(folder, num_attention_heads=5), "not a multiple of the number of attention heads"),
    ],
    ids=[
        "unknown",
        "nonsense",
        "pickle",
        "none",
        "missing",
        "shape",
        "truncated",
        "empty",
        "json",
        "tokenizer",
        "heads",
    ],
)
def test_a_wrong_checkpoint_is_refused(
    checkpoint: Path, tmp_path: Path, damage: Callable[[Path], None], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(checkpoint, folder)
    damage(folder)
    level = logging.get_verbosity()
    with pytest.raises(CannotRun, match=words):
        load(folder)
    assert logging.get_verbosity() == level
    assert "LOAD REPORT" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("loading", "kind", "words"),
    [
        (Loading(chat=True), CannotRun, "no chat template"),
        (Loading(device="cpu", device_map="auto"), UsageError, "not both"),
        (_mistyped("bfloat61"), UsageError, "did you mean 'bfloat16'"),
        (Loading(device="banana"), CannotRun, "device 'banana' cannot be used"),
    ],
)
def test_wrong_choices_are_refused(checkpoint: Path, loading: Loading, kind: type[EvenhandError], words: str) -> None:
    with pytest.raises(kind, match=words):
        load(checkpoint, loading)


def test_what_is_nowhere_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CannotRun, match="there is no such folder"):
        load(tmp_path / "absent")
    monkeypatch.setattr(load_module, "_hub_answers", lambda: False)
    with pytest.raises(CannotRun, match=r"no folder here, so taken as a hub id.*cannot be loaded"):
        load("evenhand-tests/there-is-no-such-model")


def test_identity_follows_the_files(checkpoint: Path, tmp_path: Path) -> None:
    lm = load(checkpoint, Loading(dtype="bfloat16"))
    assert lm.identity.to_json() | {"sha256": ""} == {
        "source": str(checkpoint), "revision": "", "sha256": "", "dtype": "bfloat16", "chat": False,
    }  # fmt: skip
    assert not lm.model.training
    folder = tmp_path / "copy"
    shutil.copytree(checkpoint, folder)
    assert load(folder).identity.sha256 == lm.identity.sha256
    _weights(lambda t: t[WEIGHT].mul_(2))(folder)
    assert load(folder).identity.sha256 != lm.identity.sha256


def test_a_row_is_verified_and_may_be_given(checkpoint: Path) -> None:
    def row(**parts: str) -> Family:
        names = {"blocks": "model.layers.#", "mlp": "mlp.down_proj", "attention": "self_attn.o_proj"} | parts
        stack = Stack(names["blocks"], names["mlp"], (names["attention"],))
        return Family("llama", "causal", (stack,), "model.embed_tokens")

    assert load(checkpoint, family=row()).layout("neuron").size == 3 * 48
    for parts, words in (
        ({"blocks": "model.blocks.#"}, "no module matches"),
        ({"mlp": "mlp.c_proj"}, "there is no module 'model.layers.0.mlp.c_proj'"),
        ({"mlp": "mlp.act_fn"}, "has no weight"),
    ):
        with pytest.raises(CannotRun, match=words):
            load(checkpoint, family=row(**parts))


def test_a_model_without_head_or_with_a_foreign_tokenizer_is_refused() -> None:
    lm = tiny_lm("llama")
    lm.model.config.vocab_size = 100
    with pytest.raises(CannotRun, match="do not belong together"):
        wrap(lm.model, lm.tokenizer, lm.identity)
    bare = tiny_lm("llama").model.model
    with pytest.raises(CannotRun, match="no module matches"):
        wrap(bare, tiny_tokenizer(), Identity("bare"))


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_every_family_has_neurons_and_heads_of_its_true_sizes(name: str) -> None:
    lm = tiny_lm(name)
    heads = lm.layout("head")
    assert {site.units for site in heads.sites} == {4}
    assert {site.units for site in lm.layout("neuron").sites} == {48}
    wide = name in ("qwen3", "gemma2", "t5", "t5_relu")
    assert {site.width for site in heads.sites} == {16 if wide else 8}
    assert lm.family is FAMILIES[lm.model.config.model_type]


OUTSIDE = {
    "opt": {"model.decoder.project_out", "model.decoder.project_in"},
    "bert": {"cls.predictions.transform.dense"},
    "roberta": {"lm_head.dense"},
}
"""Linear maps outside the blocks, the output embedding excepted."""


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_rows_are_the_output_features_of_every_linear_map_but_the_embeddings(name: str) -> None:
    lm = tiny_lm(name)
    rows, entries = lm.layout("row"), lm.layout("weight")
    outside = {site.path for site in rows.sites if site.stack == "outside"}
    assert outside == OUTSIDE.get(name, set())
    assert {site.path for site in entries.sites} == {site.path for site in rows.sites} - outside
    linear = {n: m for n, m in lm.model.named_modules() if isinstance(m, nn.Linear) or type(m).__name__ == "Conv1D"}
    head = [n for n, m in linear.items() if m is lm.model.get_output_embeddings()]
    assert {site.path for site in rows.sites} == set(linear) - set(head)
    for site in entries.sites:
        assert site.units == linear[site.path].weight.numel()
    with_bias = {site.path: site.units for site in rows.sites if getattr(linear[site.path], "bias", None) is not None}
    assert all(len(linear[path].bias) == units for path, units in with_bias.items())
    of_the_encoder = {site.path.split(".", 3)[3] for site in rows.sites if site.sees}
    cross = {"layer.1.EncDecAttention.k", "layer.1.EncDecAttention.v"}
    assert of_the_encoder == (cross if name.startswith("t5") else set())


@pytest.mark.parametrize(
    ("size", "maps", "units"), [("base", 216, 227_328), ("large", 432, 614_400), ("xl", 432, 1_179_648)]
)
def test_flan_t5_has_as_many_rows_as_are_published(size: str, maps: int, units: int) -> None:
    shapes = {"base": (768, 2048, 12, 12), "large": (1024, 2816, 24, 16), "xl": (2048, 5120, 24, 32)}
    width, ff, layers, heads = shapes[size]
    config = T5Config(
        vocab_size=32128, d_model=width, d_ff=ff, d_kv=64, num_layers=layers, num_heads=heads,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False,
    )  # fmt: skip
    with torch.device("meta"):
        model = T5ForConditionalGeneration(config)
    layout = layout_of(model, FAMILIES["t5"], "row")
    assert (len(layout.sites), layout.size) == (maps, units)


@pytest.mark.parametrize("name", MOE_NAMES)
def test_a_mixture_of_experts_has_heads_only(name: str) -> None:
    lm = tiny_lm(name)
    assert lm.layout("head").size == 12
    with pytest.raises(CannotRun, match="mixture of experts"):
        lm.layout("neuron")


def test_a_quantised_model_is_measured_but_not_edited() -> None:
    lm = tiny_lm("llama")
    (before,) = score_texts(lm, SENTENCES)
    path = WEIGHT.removesuffix(".weight")
    assert lm.editable_weight(path).shape == (32, 48)
    lm.module(path).in_features = 47
    with pytest.raises(CannotRun, match="expected 32 by 47"):
        lm.editable_weight(path)
    lm.module(path).in_features = 48
    lm.model.config.quantization_config = {"quant_method": "any"}
    with pytest.raises(CannotRun, match="quantised"):
        lm.editable_weight(path)
    assert torch.equal(score_texts(lm, SENTENCES)[0].logp, before.logp)
    with torch.device("meta"):
        lm.module("model.layers.1.mlp.down_proj").weight = torch.nn.Parameter(torch.empty(32, 48))
    del lm.model.config.quantization_config
    with pytest.raises(CannotRun, match="offloaded"):
        lm.editable_weight(path)


@pytest.mark.models
def test_real_models_are_loaded_and_pinned(models_dir: Path) -> None:
    lm = load(models_dir / "stories260K")
    assert (lm.layout("head").size, lm.layout("neuron").size) == (5 * 8, 5 * 172)
    assert len(lm.identity.sha256) == 64
