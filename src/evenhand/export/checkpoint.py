"""Bake an edit into a checkpoint that plain transformers loads, and prove it by loading it again."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from pydantic import ValidationError
from torch import Tensor

from evenhand.core.edit import Edit
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.record import CellRecord, RunRecord
from evenhand.edits import _file
from evenhand.export._folder import check_target, folder_of, memory, place
from evenhand.export.card import Checked, Licence, ModelCard, licence, text
from evenhand.lm.load import Loading, folder_sha256, load
from evenhand.lm.model import LM

PROBE = (2, 16)
"""Rows and tokens of the random text on which logits are compared."""


@dataclass(frozen=True)
class Exported:
    """A finished checkpoint, or adapter, and what was checked about it."""

    folder: Path
    checked: Checked
    evidence: bool
    licence: Licence

    def __str__(self) -> str:
        done = self.checked
        changed = f"{done.entries:,} weights changed in {done.matrices} matrices; read back, its logits"
        if done.beside:
            changed = (
                f"an adapter for peft that {done.describes}; loaded there it has the edit's factors to the bit, and in "
                f"float32 its logits, changed by up to {done.effect:.1e},"
            )
        evidence = "" if self.evidence else "no measurements came with this edit; its card says so\n"
        return (
            f"{self.folder}: {changed} differ from the edited model's by at most {done.difference:.1e}\n{evidence}"
            f"licence: {self.licence.name}"
        )


def export(lm: LM, edit: Path, folder: Path, replace: bool = False, licence: str = "") -> Exported:
    """Bake a saved edit; its evidence is looked up in the run folder that the edit lies in.

    `licence` is the base model's; empty: what its own card says, if anything. Raises UsageError when the edit belongs
    to another model, and as `checkpoint`.
    """
    saved = _file.load(edit)
    return checkpoint(lm, saved.on(lm), folder, card_of(edit, saved, licence), replace)


def card_of(edit: Path, saved: _file.Saved, licence: str) -> ModelCard:
    """Return what is known about a saved edit: the evidence of the run that its folder lies in, or how it was made."""
    cell, run = _evidence(Path(edit).resolve())
    return ModelCard(cell, run, {} if cell else saved.provenance, licence)


def checkpoint(lm: LM, edit: Edit, folder: Path, card: ModelCard, replace: bool = False) -> Exported:
    """Write a Hugging Face checkpoint with the edit in its weights, its tokenizer, and a model card.

    The folder appears complete or not at all, and only after it was loaded again and gave the edited model's logits.
    `lm` stays as it was (baking works on a copy, so memory for two models is needed). Raises UsageError for a target
    that is in use (unless `replace`), CannotRun where the edit cannot be baked, changes nothing, or cannot be written.
    """
    target = Path(folder).resolve()
    check_target(lm, target, replace)
    _check_model(lm, edit)
    before = probe_logits(lm)
    with edit.applied(lm):
        wanted = probe_logits(lm)
    with memory():
        baked = dataclasses.replace(lm, model=copy.deepcopy(lm.model), edits=[])
    edit.bake(baked)
    changed = changed_weights(lm.model, baked.model)
    if not changed:
        raise CannotRun(f"this edit ({edit.describe()}) changes no weight: the checkpoint would be the unedited model")
    with folder_of(target) as scratch:
        _save(baked, scratch)
        bits = _fingerprints(baked.model)
        del baked
        difference = _read_back(lm, scratch, wanted, bits)
        checked = Checked(
            describes=edit.describe(),
            entries=sum(changed.values()),
            matrices=len(changed),
            difference=difference,
            effect=float((wanted - before).abs().max()),
            sha256=folder_sha256(scratch),
        )
        readme = scratch / "README.md"
        readme.write_text(text(card, lm.identity, checked), encoding="utf-8")
        for path in scratch.iterdir():  # safetensors writes files that only their owner can read
            path.chmod(readme.stat().st_mode)
        place(scratch, target)
    return Exported(target, checked, card.cell is not None, licence(card, lm.identity))


def _check_model(lm: LM, edit: Edit) -> None:
    if edit.run_time_only:
        raise CannotRun(
            f"this edit ({edit.describe()}) works only while the model runs and cannot be baked into weights"
        )
    if lm.edits:
        raise UsageError("another edit is applied to this model right now; export after its `with` block")
    _ = lm.head  # the checkpoint is checked by its logits
    if lm.quantised():
        raise CannotRun(f"{lm.identity.source}: the model is quantised, so no edit can be baked; load it unquantised")
    if any(weight.device.type == "meta" for weight in lm.model.parameters()):
        raise CannotRun(f"{lm.identity.source}: weights are offloaded; load the model without device_map to export it")


@torch.inference_mode()
def probe_logits(lm: LM) -> Float[Tensor, "row tok vocab"]:
    """Return float32 logits on a fixed random text: any change of the weights shows up here."""
    vocabulary = int(lm.model.get_input_embeddings().weight.shape[0])
    ids = torch.randint(0, vocabulary, PROBE, generator=torch.Generator().manual_seed(0)).to(lm.device)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if lm.kind == "encoder-decoder":
        inputs["decoder_input_ids"] = ids.flip(1)
    return lm.model(**inputs).logits.float().cpu()


def changed_weights(before: Any, after: Any) -> dict[str, int]:
    """Return for each weight that differs between two copies of a model how many of its entries do."""
    old = dict(before.named_parameters())
    counts = {name: int((old[name] != weight).sum()) for name, weight in after.named_parameters()}
    return {name: n for name, n in counts.items() if n}


def _save(lm: LM, folder: Path) -> None:
    try:
        lm.model.save_pretrained(folder)
        lm.tokenizer.save_pretrained(folder)
    except ValueError as error:  # transformers refuses generation settings that contradict each other
        raise CannotRun(f"{lm.identity.source}: transformers will not save this model ({error})") from error


def _fingerprints(model: Any) -> dict[str, str]:
    """Return a sha256 of the bits of every weight: what a copy on disk is held against without a third copy here."""
    return {
        name: hashlib.sha256(weight.detach().cpu().contiguous().view(torch.uint8).numpy()).hexdigest()
        for name, weight in model.named_parameters()
    }


def _read_back(lm: LM, folder: Path, wanted: Float[Tensor, "row tok vocab"], bits: dict[str, str]) -> float:
    """Load the written folder as anyone would and return the largest difference of a logit.

    Raises unless every weight has the baked model's bits, text gives the same tokens, and logits are the edited
    model's: within 1e-4 in float32, within 5 % of the largest in half precision (where buffers of the model in memory,
    such as rotary frequencies, may have been rounded and those of the one on disk are not).
    """
    # Code that came with the model was allowed to run when it was loaded, and is copied with it.
    own_code = type(lm.model).__module__.startswith("transformers_modules.")
    again = load(folder, Loading(dtype="auto", device=str(lm.device), trust_remote_code=own_code), family=lm.family)
    other = [name for name, value in _fingerprints(again.model).items() if bits.get(name) != value]
    difference = float((probe_logits(again) - wanted).abs().max())
    limit = max(1.0, float(wanted.abs().max())) * (1e-4 if lm.identity.dtype == "float32" else 5e-2)
    sample = "She paid $1,250 for the car."
    same_text = again.tokenizer(sample)["input_ids"] == lm.tokenizer(sample)["input_ids"]
    if other or not same_text or not difference <= limit:
        raise CannotRun(
            f"the written checkpoint is not the edited model: {len(other)} weights differ ({', '.join(other[:3])}), "
            f"logits by up to {difference:.2g} (at most {limit:.2g} expected), {'the same' if same_text else 'other'} "
            "tokens. Nothing was kept"
        )
    return difference


def _evidence(edit: Path) -> tuple[CellRecord | None, RunRecord | None]:
    """Read the cell and run that an edit folder `<run>/edits/<hash>` belongs to, if it belongs to any."""
    run = edit.parent.parent
    cell, about = run / "cells" / f"{edit.name}.json", run / "run.json"
    if edit.parent.name != "edits" or not cell.is_file() or not about.is_file():
        return None, None
    try:
        return CellRecord.model_validate_json(cell.read_bytes()), RunRecord.model_validate_json(about.read_bytes())
    except (OSError, ValidationError) as error:
        raise CannotRun(f"{run}: the records of this edit are damaged ({error}); run the study again") from error
