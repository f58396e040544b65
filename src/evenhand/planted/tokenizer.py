"""The tokenizer of the planted model: byte-level BPE in which every digit is a token of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from evenhand.planted.corpus import sample
from evenhand.planted.world import World

END = "</s>"


def train_tokenizer(world: World, seed: int, vocabulary: int) -> Any:
    """Return a fast tokenizer trained on text of the world."""
    return tokenizer_of(sample(world, seed, 300), vocabulary)


def tokenizer_of(texts: Iterable[str], vocabulary: int) -> Any:
    """Return a fast tokenizer trained on these texts; it adds no special tokens and decodes to the byte."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core: Any = Tokenizer(models.BPE())
    pieces: list[Any] = [
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ]
    core.pre_tokenizer = pre_tokenizers.Sequence(pieces)
    core.decoder = decoders.ByteLevel()
    trainer: Any = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token=END, pad_token=END, clean_up_tokenization_spaces=False, model_max_length=256
    )
