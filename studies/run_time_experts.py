"""Make the two experts that `run_time.toml` names: one small model trained on biased comments, one on their swaps.

The recipe of Tong et al. 2024 (arXiv 2412.01711) on a small scale: the 1,200 or so comments of RedditBias's validation
split teach the anti-expert, the same comments with another group in their place the expert. Both start from `MODEL` and
see their texts `--epochs` times (AdamW, 8 at once). Prints the perplexity of the test split before and after.

Run `python studies/run_time_experts.py MODEL OUT` (about a minute on one core for 260,000 parameters), then
`EVENHAND_EXPERTS=OUT evenhand run studies/run_time.toml`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from rich.console import Console

from evenhand.lm.load import load
from evenhand.lm.model import LM
from evenhand.lm.scoring.texts import perplexity
from evenhand.scenarios._load import load_scenario

BATCH, LONGEST = 8, 128


def texts(split: str, side: int) -> list[str]:
    """Return one side of every pair that is not known to be bad: 0 the biased comment, 1 its swap."""
    return [case.options[side] for case in load_scenario(split).cases if not case.flaw]


def train(lm: LM, said: list[str], epochs: int, rate: float) -> None:
    """Fine-tune all weights on some texts, in an order drawn anew each time."""
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(lm.model.parameters(), lr=rate)
    rows = [lm.tokenizer(text).input_ids[:LONGEST] for text in said]
    for _ in range(epochs):
        order = torch.randperm(len(rows), generator=generator).tolist()
        for start in range(0, len(order), BATCH):
            batch = [torch.tensor(rows[i]) for i in order[start : start + BATCH]]
            ids = torch.nn.utils.rnn.pad_sequence(batch, batch_first=True)
            real = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in batch], batch_first=True)
            loss = lm.model(ids, attention_mask=real, labels=ids.masked_fill(real == 0, -100)).loss
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()


def main() -> None:
    """Train and save both."""
    asked = argparse.ArgumentParser(description="Make the experts of run_time.toml.")
    asked.add_argument("model")
    asked.add_argument("out", type=Path)
    asked.add_argument("--epochs", type=int, default=3)
    asked.add_argument("--rate", type=float, default=5e-4)
    chosen = asked.parse_args()
    torch.manual_seed(0)
    for name, side in (("biased", 0), ("fair", 1)):
        lm = load(chosen.model)
        before = [perplexity(lm, texts("redditbias", each)) for each in (0, 1)]
        train(lm, texts("redditbias_valid", side), chosen.epochs, chosen.rate)
        after = [perplexity(lm, texts("redditbias", each)) for each in (0, 1)]
        lm.model.save_pretrained(chosen.out / name)
        lm.tokenizer.save_pretrained(chosen.out / name)
        told = (f"{what} {a:.0f} → {b:.0f}" for what, a, b in zip(("biased", "swapped"), before, after, strict=True))
        Console(soft_wrap=True).print(f"{chosen.out / name}: perplexity of unseen comments: {', '.join(told)}")


if __name__ == "__main__":
    main()
