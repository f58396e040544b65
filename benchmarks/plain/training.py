"""Training as it is usually written: transformers' Trainer with peft, and an objective beside a reference model."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from evenhand.lm.model import LM
from evenhand.train.contracts import Recipe
from evenhand.train.objectives import FORGET, KL, Passage, Terms, Unlearning, _logits, _means, forgetting
from evenhand.train.schedule import drawn, seed_of

MAPS = ["q_proj", "v_proj"]


def trainer(lm: LM, texts: list[list[int]], recipe: Recipe, clock: Callable[[], float]) -> tuple[float, list[float]]:
    """LoRA of rank 4 on query and value maps: seconds from the first step to the end, and the loss of every step."""
    from peft import LoraConfig, get_peft_model
    from transformers import Trainer, TrainerCallback, TrainingArguments

    times: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **more: Any) -> None:
            times.append(clock())

        on_train_end = on_step_begin

    class InOrder(Trainer):
        def _get_train_sampler(self, *_: Any) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)  # type: ignore[arg-type]

    torch.manual_seed(recipe.seed)
    config = LoraConfig(r=4, lora_alpha=32, lora_dropout=0.0, target_modules=MAPS, bias="none")
    model: Any = get_peft_model(lm.model, config)
    order = [i for step in range(recipe.steps) for i in drawn(len(texts), recipe.batch_size, step, recipe.seed)]
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            output_dir=folder, max_steps=recipe.steps, per_device_train_batch_size=recipe.batch_size,
            learning_rate=recipe.lr, lr_scheduler_type=recipe.schedule, weight_decay=recipe.weight_decay,
            warmup_steps=recipe.warmup, max_grad_norm=recipe.clip, seed=recipe.seed,
            use_cpu=True, report_to=[], save_strategy="no", logging_steps=1, disable_tqdm=True,
            dataloader_pin_memory=False,
        )  # fmt: skip
        data: Any = [texts[i] for i in order]
        run = InOrder(model, settings, _collated, data, callbacks=[Clock()])
        run.pop_callback(__import__("transformers").PrinterCallback)
        run.train()
        losses = [float(line["loss"]) for line in run.state.log_history if "loss" in line]
    model.unload()
    return times[-1] - times[0], losses


def _collated(rows: list[list[int]]) -> dict[str, Tensor]:
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)}


class BesideModel(Unlearning):
    """NPO and KL against a second model in memory, which is run at every step."""

    def __init__(self, lm: LM, forget: Sequence[Passage], retain: Sequence[Passage], terms: Terms, size: int) -> None:
        super().__init__(lm, forget, retain, replace(terms, kl=0.0), size, 0)
        self.weights = terms
        self.reference = replace(lm, model=copy.deepcopy(lm.model))

    def terms(self, lm: LM, step: int, generator: torch.Generator) -> dict[str, tuple[float, Tensor]]:
        """Run both models on a batch."""
        texts = [self.forget[i] for i in drawn(len(self.forget), self.size, step, self.seed)]
        kept = drawn(len(self.retain), self.size, step, seed_of(self.seed, "retain", 0))
        lines = [line for i in kept for line in self.retain[i]]
        with torch.no_grad():
            before = _means(self.reference, texts)[1]
            said = torch.log_softmax(_logits(self.reference, lines), -1)
        weighted, mean = _means(lm, texts, self.weights)
        now = torch.log_softmax(_logits(lm, lines), -1)
        apart = (said.exp() * (said - now)).sum(-1).mean()
        forget = forgetting(self.weights, weighted, mean, before)
        return {FORGET: (self.weights.forget, forget), KL: (self.weights.kl, apart)}
