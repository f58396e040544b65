"""Places of a batch whose logits are computed, once each, and the tokens looked up in them."""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.lm.batches.logits import log_likelihood, none_likelier
from evenhand.lm.batches.scores import Term


class Wanted:
    """Places whose logits are computed, once each, and the tokens looked up in them."""

    def __init__(self) -> None:
        self.places: dict[tuple[int, int], int] = {}
        self.tokens: list[tuple[int, int, int, int]] = []

    def add(self, place: tuple[int, int], unit: int, target: int, token: int) -> None:
        """Ask for the logit of a token at a place."""
        self.tokens.append((unit, target, self.places.setdefault(place, len(self.places)), token))

    def fill(self, found: list[list[Term]], logits: Float[Tensor, "k vocab"]) -> None:
        """Put what is found of each token into its (unit, target)."""
        if not self.tokens:
            return
        _, _, row, token = (torch.tensor(column) for column in zip(*self.tokens, strict=True))
        values = cast("list[float]", log_likelihood(logits, row, token).tolist())
        top = cast("list[bool]", none_likelier(logits, row, token).tolist())
        for (unit, target, _, _), term in zip(self.tokens, zip(values, top, strict=True), strict=True):
            found[unit][target] = term
