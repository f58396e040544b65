"""Prompts that an encoder reads once, with its graph, for all the rows of a decoder beside it that answer them.

Each row has a copy of what its prompt was encoded to, so that one backward pass through the decoder brings each a
gradient of its own. These go back through the encoder in turns: those of the prompts' first rows, of their second, …
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.lm.attribution.rows import Row
from evenhand.lm.batches.shared import encoder_output
from evenhand.lm.model import LM


class Prompts:
    """What rows read: the same for rows of one case with the same ids."""

    def __init__(self, rows: Sequence[Row]) -> None:
        alike: dict[tuple[int, tuple[int, ...]], list[int]] = {}
        for r, row in enumerate(rows):
            alike.setdefault((row.case, row.ids), []).append(r)
        self.first = torch.tensor([same[0] for same in alike.values()])
        self.turns = max(len(same) for same in alike.values())
        """How often gradients go back through the encoder."""
        self.prompt, self.turn = torch.zeros(2, len(rows), dtype=torch.long)
        for prompt, same in enumerate(alike.values()):
            self.prompt[same], self.turn[same] = prompt, torch.arange(len(same))
        self._slopes: dict[str, list[Tensor]] = {}

    def read(self, lm: LM, given: dict[str, Any]) -> Float[Tensor, "prompt pos d"]:
        """Run the encoder and return what it made of the prompts.

        Nothing of it is kept here: hooks in its graph refer to this object, so that the graph would never be freed.
        """
        first = self.first.to(lm.device)
        output: Any = lm.model.get_encoder()(**{name: given[name][first] for name in ("input_ids", "attention_mask")})
        return output.last_hidden_state

    def handed(self, once: Float[Tensor, "prompt pos d"], given: dict[str, Any]) -> dict[str, Any]:
        """Return the model's arguments for the rows, with a copy of what was made of its prompt for each."""
        copies = once.detach()[self.prompt.to(once.device)].requires_grad_(True)
        rest = {name: x for name, x in given.items() if name != "input_ids"}
        return rest | {"encoder_outputs": encoder_output(copies)}

    def back(self, once: Float[Tensor, "prompt pos d"], given: dict[str, Any]) -> None:
        """Take the gradients that the copies received back through the encoder, in turns."""
        slopes: Tensor = given["encoder_outputs"].last_hidden_state.grad
        for turn in range(self.turns):
            rows = (self.turn == turn).nonzero()[:, 0]
            slope = torch.zeros_like(once)
            slope[self.prompt[rows].to(slope.device)] = slopes[rows.to(slope.device)]
            once.backward(slope, retain_graph=turn + 1 < self.turns)

    def products(
        self, path: str, said: Float[Tensor, "prompt pos d"], slope: Float[Tensor, "prompt pos d"]
    ) -> Float[Tensor, "row pos d"] | None:
        """Take a turn's gradient at a map in the encoder; return activation · gradient of all rows (fp32) at the last.

        Nothing before, because what is made of them may need the rows of a case side by side.
        """
        slopes = self._slopes.setdefault(path, [])
        slopes.append(slope)
        if len(slopes) < self.turns:
            return None
        del self._slopes[path]
        found = torch.empty(self.turns, *said.shape, dtype=torch.float32, device=said.device)
        for one, each in zip(found, slopes, strict=True):
            torch.mul(said.float(), each.float(), out=one)
        place = self.turn * len(self.first) + self.prompt
        in_order = place.equal(torch.arange(found.shape[0] * found.shape[1]))  # spares a copy of all of it
        return found.flatten(0, 1) if in_order else found.flatten(0, 1)[place.to(said.device)]
