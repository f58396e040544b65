"""Small things to train: the mean negative log-likelihood of the tokens of some texts, the writers of a model."""

import hashlib
from dataclasses import dataclass

import torch

from evenhand.testing.tiny import SENTENCES
from evenhand.train.schedule import drawn


@dataclass
class Likelihood:
    """`weight` −1 unlearns."""

    texts: tuple = SENTENCES[:4]
    size: int = 2
    seed: int = 0
    weight: float = 1.0

    def terms(self, lm, step, generator):
        rows = [lm.tokenizer(self.texts[i])["input_ids"] for i in drawn(len(self.texts), self.size, step, self.seed)]
        losses = []
        for row in rows:
            ids = torch.tensor([row])
            losses.append(torch.nn.functional.cross_entropy(lm.model(input_ids=ids).logits[0, :-1].float(), ids[0, 1:]))
        return {"nll": (self.weight, torch.stack(losses).mean())}

    def digest(self):
        return hashlib.sha256(repr(self).encode()).hexdigest()


def writers(lm):
    """The weights that write the neurons' outputs."""
    return {f"{s.path}.weight": lm.module(s.path).weight for s in lm.layout("neuron").sites}
