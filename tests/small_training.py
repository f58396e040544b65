"""Small things to train: the mean negative log-likelihood of some texts, the writers of a model, texts to unlearn."""

import hashlib
from dataclasses import dataclass

import torch

from evenhand.core.case import Case
from evenhand.core.scenario import Context, Scenario
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


ITEMS = ("lamps", "bicycles")
HATE = ("The {} are dull.", "So many dull {} here.", "Take your {} to the dump.")


def hate():
    """Sentences about two kinds of things, hateful with spans and neutral without."""
    cases = [
        Case(f"{side}{t}/{item}", text.format(item), "templates", group=item, cluster=f"{side}{t}", name=item,
             facts=(("side", side), ("template", str(t))),
             spans=tuple((i, i + 4) for word in ("dull", "dump") if (i := text.format(item).find(word)) >= 0))
        for side, texts in (("hateful", HATE), ("neutral", ("I own two {}.", "The {} are new.")))
        for t, text in enumerate(texts) for item in ITEMS
    ]  # fmt: skip
    return Scenario("hate", tuple(cases), (Context("templates", "sentence"),), ITEMS)


def pairs():
    """A stereotypical sentence and another one, with the words that fill the blank."""
    options = ("The lamps are very dull.", "The lamps are quite new.")
    case = Case("0", "", "pairs", options=options, spans=((19, 23), (20, 23)))
    return Scenario("pairs", (case,), (Context("pairs", "pair"),))


def utility():
    """Four running texts."""
    texts = ("She said that it was late.", "He bought apples.", "The teacher waited.", "A yellow pencil.")
    cases = tuple(Case(str(i), text, "text", cluster=str(i)) for i, text in enumerate(texts))
    return Scenario("texts", cases, (Context("text", "sentence"),))
