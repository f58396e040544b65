"""Write a low-rank edit as an adapter that plain peft loads, and prove it by loading it."""

from __future__ import annotations

import copy
import dataclasses
import warnings
from pathlib import Path
from typing import Any

import torch

from evenhand.core.edit import Edit
from evenhand.core.errors import CannotRun, UsageError
from evenhand.edits import _file
from evenhand.edits.lora import Lora
from evenhand.export._folder import check_target, folder_of, memory, place
from evenhand.export.card import Checked, ModelCard, text
from evenhand.export.card import licence as licence_of_base
from evenhand.export.checkpoint import Exported, card_of, probe_logits
from evenhand.lm.family import transposed
from evenhand.lm.load import folder_sha256
from evenhand.lm.model import LM

_TASKS = {"causal": "CAUSAL_LM", "encoder-decoder": "SEQ_2_SEQ_LM", "masked": None}
_PREFIX = "base_model.model."
"""What peft puts before a module's path in the names of an adapter's tensors."""
_NAME = "default"
"""What peft calls an adapter that it loads."""
_LEAST, _MOST = 1e-5, 1e-4
"""Limits of how far two ways to compute a logit in float32 may be apart, as shares of the largest logit."""


def export_adapter(lm: LM, edit: Path, folder: Path, replace: bool = False, licence: str = "") -> Exported:
    """Write a saved edit for peft, with a card; the rest as `evenhand.export.checkpoint.export` does it."""
    saved = _file.load(edit)
    return adapter(lm, saved.on(lm), folder, card_of(edit, saved, licence), replace)


def adapter(lm: LM, edit: Edit, folder: Path, card: ModelCard = ModelCard(), replace: bool = False) -> Exported:
    """Write `adapter_config.json` and `adapter_model.safetensors`, in peft's own format, and a model card.

    The folder appears complete or not at all, and only after plain peft loaded it: at the same maps, with the same
    factors to the bit and the same scaling, and with the edited model's logits: within 1e-4 of the largest, and within
    a tenth of what the edit changes where float32 can tell so little. The logits are those of a copy in float32, since
    in half precision peft, which adds the change to each map's output, and the edit, which adds it to the weight, round
    at different places, by more than a small adapter changes. `lm` stays as it was (memory for the copy is needed).
    Raises UsageError for a target that is in use (unless `replace`), CannotRun for an edit that is not low-rank or
    changes nothing, and as the edit does where it cannot be applied.
    """
    target = Path(folder).resolve()
    check_target(lm, target, replace, "adapter_config.json", "adapter")
    if not isinstance(edit, Lora):
        raise CannotRun(
            f"this edit ({edit.describe()}) is not low-rank, so it is no adapter; export it as a checkpoint instead"
        )
    if lm.edits:
        raise UsageError("another edit is applied to this model right now; export after its `with` block")
    if not any(bool(b.any()) for _, b in edit.factors.values()):
        raise CannotRun("this edit adds nothing: the adapter would leave the model as it is")
    with edit.applied(lm):
        pass  # It says plainly what it cannot be applied to: another, a quantised or an offloaded model.
    with folder_of(target) as scratch:
        _write(lm, edit, scratch)
        difference, effect = _read_back(lm, edit, scratch)
        sha256, entries = folder_sha256(scratch), sum(a.numel() + b.numel() for a, b in edit.factors.values())
        checked = Checked(edit.describe(), entries, len(edit.factors), difference, effect, sha256, beside=True)
        (scratch / "README.md").write_text(text(card, lm.identity, checked), encoding="utf-8")
        for path in scratch.iterdir():  # safetensors writes files that only their owner can read
            path.chmod((scratch / "adapter_config.json").stat().st_mode)
        place(scratch, target)
    return Exported(target, checked, card.cell is not None, licence_of_base(card, lm.identity))


def _write(lm: LM, edit: Lora, folder: Path) -> None:
    from peft import LoraConfig
    from peft.utils import SAFETENSORS_WEIGHTS_NAME
    from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]

    turned = {transposed(lm.module(path)) for path in edit.factors}
    settings: dict[str, Any] = {
        "r": edit.rank, "lora_alpha": edit.alpha, "target_modules": [*edit.factors], "fan_in_fan_out": turned == {True},
        "bias": "none", "inference_mode": True, "task_type": _TASKS[lm.kind],
        "base_model_name_or_path": lm.identity.source, "revision": lm.identity.revision or None,
    }  # fmt: skip
    LoraConfig(**settings).save_pretrained(str(folder))
    named = {f"{_PREFIX}{path}.lora_A.weight": a for path, (a, _) in edit.factors.items()}
    named |= {f"{_PREFIX}{path}.lora_B.weight": b for path, (_, b) in edit.factors.items()}
    tensors = {name: tensor.contiguous() for name, tensor in named.items()}
    save_file(tensors, folder / SAFETENSORS_WEIGHTS_NAME, metadata={"format": "pt"})


def _read_back(lm: LM, edit: Lora, folder: Path) -> tuple[float, float]:
    """Load the written folder as anyone would; return the largest difference of a logit, and the edit's effect."""
    from peft import PeftModel

    with memory():
        copied = dataclasses.replace(lm, model=copy.deepcopy(lm.model).float(), edits=[])
    plain = probe_logits(copied)
    with edit.applied(copied):
        wanted = probe_logits(copied)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft's, of the version of transformers it meets
        warnings.filterwarnings("ignore", message="Found missing adapter keys")  # told below
        loaded: Any = PeftModel.from_pretrained(copied.model, str(folder))
    base = loaded.get_base_model()
    _compare(base, edit)
    difference = float((probe_logits(dataclasses.replace(copied, model=base)) - wanted).abs().max())
    effect = float((wanted - plain).abs().max())
    largest = max(1.0, float(wanted.abs().max()))
    limit = min(_MOST * largest, max(_LEAST * largest, effect / 10))
    if not difference <= limit:
        raise CannotRun(
            f"the written adapter is not the edit: in peft its logits differ by up to {difference:.2g} (at most "
            f"{limit:.2g} expected, of an edit that changes them by {effect:.2g}). Nothing was kept"
        )
    return difference, effect


def _compare(base: Any, edit: Lora) -> None:
    """Raise unless peft adapted the edit's maps and no others, with its factors to the bit and its scaling."""
    layers = {name: module for name, module in base.named_modules() if hasattr(module, "lora_A")}
    if {*layers} != {*edit.factors}:
        wrong = sorted({*layers} ^ {*edit.factors})
        raise CannotRun(
            f"the written adapter is not the edit: peft adapts {len(layers)} maps where the edit changes "
            f"{len(edit.factors)}; {wrong[0]} is in one of them only. Nothing was kept"
        )
    for path, (a, b) in edit.factors.items():
        layer = layers[path]
        found = [getattr(layer, name)[_NAME].weight.cpu() for name in ("lora_A", "lora_B")]
        if not all(torch.equal(one, other.float().cpu()) for one, other in zip(found, (a, b), strict=True)):
            raise CannotRun(
                f"the written adapter is not the edit: peft found no factors, or others, for {path}. Nothing was kept"
            )
        if layer.scaling[_NAME] != edit.scaling:
            raise CannotRun(
                f"the written adapter is not the edit: in peft {path} is scaled by {layer.scaling[_NAME]:g}, not by "
                f"{edit.scaling:g}. Nothing was kept"
            )
