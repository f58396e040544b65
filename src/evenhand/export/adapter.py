"""Write a low-rank edit as an adapter that plain peft loads, and prove it by loading it."""

from __future__ import annotations

import copy
import dataclasses
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.edit import Edit
from evenhand.core.errors import CannotRun, UsageError
from evenhand.edits import _file
from evenhand.edits.lora import Lora
from evenhand.export._folder import check_target, folder_of, memory, place
from evenhand.export.checkpoint import probe_logits
from evenhand.lm.family import transposed
from evenhand.lm.model import LM

_TASKS = {"causal": "CAUSAL_LM", "encoder-decoder": "SEQ_2_SEQ_LM", "masked": None}
_PREFIX = "base_model.model."
"""What peft puts before a module's path in the names of an adapter's tensors."""


@dataclass(frozen=True)
class Adapter:
    """A finished adapter and what was checked about it."""

    folder: Path
    describes: str
    difference: float
    """Largest difference of a logit between the model with the adapter in peft and the edited model."""

    def __str__(self) -> str:
        return (
            f"{self.folder}: an adapter for peft that {self.describes}; loaded there, its logits differ from the "
            f"edited model's by at most {self.difference:.1e}"
        )


def export_adapter(lm: LM, edit: Path, folder: Path, replace: bool = False) -> Adapter:
    """Write a saved edit for peft; raises UsageError when it belongs to another model, and as `adapter`."""
    return adapter(lm, _file.load_edit(edit, lm), folder, replace)


def adapter(lm: LM, edit: Edit, folder: Path, replace: bool = False) -> Adapter:
    """Write `adapter_config.json` and `adapter_model.safetensors`, in peft's own format.

    The folder appears complete or not at all, and only after plain peft loaded it and gave the edited model's logits:
    within 1e-4 in float32, within 5 % of the largest in half precision, where peft adds the change to each map's output
    and the edit to its weight, so that they round at different places. `lm` stays as it was (memory for two models is
    needed). Raises UsageError for a target that is in use (unless `replace`), CannotRun for an edit that is not
    low-rank or changes nothing.
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
        wanted = probe_logits(lm)
    with folder_of(target) as scratch:
        _write(lm, edit, scratch)
        difference = _read_back(lm, scratch, wanted)
        for path in scratch.iterdir():  # safetensors writes files that only their owner can read
            path.chmod((scratch / "adapter_config.json").stat().st_mode)
        place(scratch, target)
    return Adapter(target, edit.describe(), difference)


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


def _read_back(lm: LM, folder: Path, wanted: Float[Tensor, "row tok vocab"]) -> float:
    """Load the written folder as anyone would and return the largest difference of a logit."""
    from peft import PeftModel

    with memory():
        model = copy.deepcopy(lm.model)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft's, of the version of transformers it meets
        loaded: Any = PeftModel.from_pretrained(model, str(folder))
    again = dataclasses.replace(lm, model=loaded.get_base_model(), edits=[])
    difference = float((probe_logits(again) - wanted).abs().max())
    limit = max(1.0, float(wanted.abs().max())) * (1e-4 if lm.identity.dtype == "float32" else 5e-2)
    if not difference <= limit:
        raise CannotRun(
            f"the written adapter is not the edit: in peft its logits differ by up to {difference:.2g} (at most "
            f"{limit:.2g} expected). Nothing was kept"
        )
    return difference
