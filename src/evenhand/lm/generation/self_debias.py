r"""Self-debiasing (Schick et al. 2021) as a logits processor for transformers' own `generate`.

    texts = tokenizer(prompts, return_tensors="pt", padding=True)              # padded on the left
    less = evenhand.SelfDebias(model, tokenizer, ["The following text contains a threat:\n"], texts["attention_mask"])
    model.generate(**texts, logits_processor=[less], max_new_tokens=40)

Formula: `evenhand.lm.generation.decoding`. Works with greedy decoding, sampling, several answers per prompt and beams:
the rows behind the prefixes are the processor's own, so what `generate` does to its rows need not be done to them too.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache, LogitsProcessor

from evenhand.core.errors import CannotRun, UsageError
from evenhand.lm.generation.behind import Tokens, behind
from evenhand.lm.generation.decoding import debiased


class SelfDebias(LogitsProcessor):
    """Make rarer, at every step, the tokens that would be likelier if a prefix stood before the text.

    Per step the model runs once more, on one row for each prefix and row of the batch, over a key–value cache of its
    own; with K prefixes that is K + 1 times the work. The cache is read anew where the rows of the batch are not the
    ones it ended with, by one token more: another prompt, or beams that changed places. One processor is for prompts of
    one `attention_mask`. A context holds the longest prefix too: `room` is how many new tokens are left (None: nothing
    limits them). Raises CannotRun for an encoder–decoder model and where the context is too short, also while tokens
    are generated; UsageError for prefixes that add no token.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        prefixes: Sequence[str],
        attention_mask: Int[Tensor, "row prompt"],
        decay: float = 50.0,
        epsilon: float = 0.01,
    ) -> None:
        if getattr(model.config, "is_encoder_decoder", False):
            raise CannotRun("self-debiasing by decoding needs a causal model; this one is an encoder–decoder model")
        if not decay >= 0 or not 0 < epsilon <= 1:
            raise UsageError(f"decay ({decay}) is 0 or more, epsilon ({epsilon}) lies above 0 and up to 1")
        self.prefixes: list[Tokens] = [tuple(tokenizer(text, add_special_tokens=False).input_ids) for text in prefixes]
        if not self.prefixes or not all(self.prefixes):
            raise UsageError("self-debiasing needs prefixes, and one of them adds no token for this tokenizer")
        self.model, self.decay, self.epsilon = model, decay, epsilon
        self.starts = frozenset(i for i in (tokenizer.bos_token_id, tokenizer.cls_token_id) if i is not None)
        self.prompts = attention_mask.bool()
        self.room = self._room()
        self._places = "position_ids" in inspect.signature(model.forward).parameters
        self._read: Tensor | None = None
        self._cache: Any = None
        self._mask = attention_mask

    @torch.no_grad()
    def __call__(
        self, input_ids: Int[Tensor, "row pos"], scores: Float[Tensor, "row vocab"]
    ) -> Float[Tensor, "row vocab"]:
        """Return log p′ of the next token of each row, where `scores` are the logits of p."""
        if self.room is not None and input_ids.shape[1] - self.prompts.shape[1] >= self.room:
            raise CannotRun(
                f"{self._widths()}: there is room for {self.room} new tokens, and generate asks for more; give it "
                f"max_new_tokens={self.room}, or shorten prompt or prefixes"
            )
        read = self._read
        if read is not None and input_ids.shape[1] > 1 and torch.equal(input_ids[:, :-1], read):
            self._mask = torch.cat([self._mask, torch.ones_like(self._mask[:, :1])], dim=1)
            logits = self._run(input_ids[:, -1:].repeat(len(self.prefixes), 1))
        else:
            logits = self._begin(input_ids)
        self._read = input_ids.clone()
        biased = logits.softmax(-1, dtype=torch.float32).reshape(len(self.prefixes), *scores.shape).amax(0)
        return debiased(scores, biased, self.decay, self.epsilon).to(scores.dtype)

    def _room(self) -> int | None:
        """New tokens that fit beside prompt and prefix (the last one is never read); raises CannotRun for none."""
        context: int | None = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if context is None:
            return None
        room = context + 1 - max(map(len, self.prefixes)) - int(self.prompts.sum(1).max())
        if room < 1:
            raise CannotRun(
                f"{self._widths()}: shorten prompt or prefixes by {1 - room} tokens at least, or use a model with a "
                "longer context"
            )
        return room

    def _widths(self) -> str:
        context = self.model.config.get_text_config().max_position_embeddings
        return (
            f"the longest prompt has {int(self.prompts.sum(1).max())} tokens, the longest prefix before it "
            f"{max(map(len, self.prefixes))}, and the model sees {context} at once"
        )

    def _begin(self, input_ids: Int[Tensor, "row pos"]) -> Float[Tensor, "behind vocab"]:
        """Read each row behind each prefix, prefix by prefix, padded on the left."""
        rows, (prompts, length) = len(input_ids), self.prompts.shape
        if rows % prompts or input_ids.shape[1] < length:
            raise UsageError(
                f"{rows} rows of {input_ids.shape[1]} tokens do not go on from the {prompts} prompts of {length} whose "
                "attention mask this processor was given; make a new one for other prompts"
            )
        real = torch.ones_like(input_ids, dtype=torch.bool)
        real[:, :length] = self.prompts.to(real.device).repeat_interleave(rows // prompts, dim=0)
        texts = [tuple(int(i) for i in ids[here]) for ids, here in zip(input_ids, real, strict=True)]
        lines = [behind(prefix, text, self.starts) for prefix in self.prefixes for text in texts]
        longest = max(map(len, lines))
        padded = [[0] * (longest - len(line)) + list(line) for line in lines]
        mask = [[0] * (longest - len(line)) + [1] * len(line) for line in lines]
        self._mask = torch.tensor(mask, device=input_ids.device)
        self._cache = DynamicCache(config=self.model.config)
        return self._run(torch.tensor(padded, device=input_ids.device))

    def _run(self, ids: Int[Tensor, "behind new"]) -> Float[Tensor, "behind vocab"]:
        places = (self._mask.cumsum(1) - 1).clamp_min(0)[:, -ids.shape[1] :]
        output = self.model(
            input_ids=ids,
            attention_mask=self._mask,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
            **({"position_ids": places} if self._places else {}),
        )
        self._cache = output.past_key_values
        return output.logits[:, -1]
