"""An adapter trained the usual way: peft, torch's AdamW, transformers' schedule, one text at a time."""

import torch
from peft import LoraConfig, get_peft_model
from transformers import get_cosine_schedule_with_warmup


def loss_of(model, tokenizer, prompt, says, whole):
    """Mean of −log p over the tokens that count, summed by hand; and how many they are."""
    out = tokenizer(f"{prompt} {says}", return_offsets_mapping=True)
    ids = torch.tensor([out["input_ids"]])
    start = 0 if whole else len(prompt)
    logits = torch.log_softmax(model(input_ids=ids).logits[0], -1)
    counted = [i for i in range(1, ids.shape[1]) if out["offset_mapping"][i][1] > start]
    return -sum(logits[i - 1, ids[0, i]] for i in counted), len(counted)


def trained(model, tokenizer, batches, maps, whole, start, conv1d):
    """`batches`: per step a list of batches of (prompt, completion). Returns path → (A, B); `start` are the first A."""
    config = LoraConfig(r=4, lora_alpha=32, lora_dropout=0.0, target_modules=maps, fan_in_fan_out=conv1d)
    adapted = get_peft_model(model, config)
    layers = {path: adapted.base_model.model.get_submodule(path) for path in maps}
    with torch.no_grad():
        for path, layer in layers.items():
            layer.lora_A["default"].weight.copy_(start[path])
    parameters = [p for p in adapted.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=2e-4, weight_decay=0.01)
    warm = -(-len(batches) * 6 // 100)
    schedule = get_cosine_schedule_with_warmup(optimiser, warm, len(batches))
    for step in batches:
        for batch in step:
            parts = [loss_of(adapted, tokenizer, *pair, whole) for pair in batch]
            (sum(p[0] for p in parts) / sum(p[1] for p in parts) / len(step)).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
    return {
        path: (layer.lora_A["default"].weight.detach(), layer.lora_B["default"].weight.detach())
        for path, layer in layers.items()
    }
