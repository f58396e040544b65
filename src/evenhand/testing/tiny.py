"""Tiny random models of every family with a tokenizer made in memory: nothing is downloaded, nothing is zero.

Norm weights, biases and embeddings are all random, and sliding windows are a few tokens long, so that a wrong axis, a
forgotten bias or a hole in the padding changes a number that a test can see.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from evenhand.core.errors import UsageError, nearest
from evenhand.lm.load import wrap
from evenhand.lm.model import LM, Identity

FAMILY_NAMES: tuple[str, ...] = (
    "gpt2", "gpt_neo", "gpt_neox", "opt", "llama", "mistral", "qwen2", "qwen3", "gemma2", "phi3", "bert", "roberta",
    "t5", "t5_relu",
)  # fmt: skip
"""Dense families; `t5` has the gated MLP (as Flan-T5), `t5_relu` the plain one."""
MOE_NAMES: tuple[str, ...] = ("mixtral", "qwen3_moe")
CAUSAL_NAMES: tuple[str, ...] = FAMILY_NAMES[:10]
MASKED_NAMES: tuple[str, ...] = ("bert", "roberta")
SEQ2SEQ_NAMES: tuple[str, ...] = ("t5", "t5_relu")

SENTENCES: tuple[str, ...] = (
    "Maria sold her old bicycle for $120 and bought a lamp.",
    "How many dollars should I offer? I would offer $1,250 for the car.",
    "The teacher gave every child two apples and a yellow pencil.",
    "Jamal and Hunter waited for the bus, and she said that it was late.",
    "He asked the doctor a question; she answered it with a smile.",
    "Yes, the answer is 34. No, the answer is not 2,000 or 15%.",
)
WINDOW = 6
_POSITIONS = 512


def tiny_lm(name: str, *, dtype: torch.dtype = torch.float32, seed: int = 0, tokenizer: Any | None = None) -> LM:
    """Return a random model of a family (`FAMILY_NAMES`, `MOE_NAMES`); the same seed gives the same weights.

    2 to 4 blocks, 32 wide, 4 heads, 48 neurons per block. Global random state is left as it was.
    """
    known = (*FAMILY_NAMES, *MOE_NAMES)
    if name not in known:
        raise UsageError(f"there is no tiny model {name!r}{nearest(name, known)} (known: {', '.join(known)})")
    tokens = tokenizer if tokenizer is not None else tiny_tokenizer(name)
    with torch.random.fork_rng(devices=[]):
        model = _build(name, len(tokens), tokens)
    _randomise(model, torch.Generator().manual_seed(seed))
    identity = Identity(source=f"tiny:{name}:{seed}", dtype=str(dtype).removeprefix("torch."))
    return wrap(model.to(dtype), tokens, identity)


def tiny_tokenizer(name: str = "gpt2") -> Any:
    """Return a byte-level tokenizer with one token per digit; causal ones add no start token, T5's adds `</s>`."""
    from tokenizers import Tokenizer, processors
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer.from_str(_trained())
    special: dict[str, str] = {"pad_token": "<pad>", "eos_token": "</s>"}
    if name in MASKED_NAMES:
        special |= {"mask_token": "[MASK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
        _set_template(core, processors.TemplateProcessing, "[CLS] $A [SEP]")
    elif name in SEQ2SEQ_NAMES:
        _set_template(core, processors.TemplateProcessing, "$A </s>")
    fast: Any = PreTrainedTokenizerFast
    return fast(tokenizer_object=core, clean_up_tokenization_spaces=False, **special)


def _set_template(core: Any, template: Any, single: str) -> None:
    pieces = [piece for piece in single.split() if piece != "$A"]
    core.post_processor = template(single=single, special_tokens=[(p, core.token_to_id(p)) for p in pieces])


@cache
def _trained() -> str:
    """Train the byte-level BPE once per process; returns its JSON."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    core: Any = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    core.decoder = decoders.ByteLevel()
    trainer: Any = trainers.BpeTrainer(
        vocab_size=380,
        special_tokens=["<pad>", "</s>", "[MASK]", "[CLS]", "[SEP]"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(SENTENCES, trainer)
    return core.to_str()


def _build(name: str, vocabulary: int, tokens: Any) -> Any:
    import transformers

    model_type = "t5" if name == "t5_relu" else name
    ids = {"pad_token_id": tokens.pad_token_id, "eos_token_id": tokens.eos_token_id, "bos_token_id": None}
    settings: dict[str, Any] = {"vocab_size": vocabulary, **ids, **_sizes(name)}
    auto_config: Any = transformers.AutoConfig
    config = auto_config.for_model(model_type, **settings)
    auto: Any = transformers.AutoModelForCausalLM
    if name in MASKED_NAMES:
        auto = transformers.AutoModelForMaskedLM
    elif name in SEQ2SEQ_NAMES:
        auto = transformers.AutoModelForSeq2SeqLM
    return auto.from_config(config)


def _sizes(name: str) -> dict[str, Any]:
    """Configuration of one family: its own names for the same few sizes, and what sets it apart."""
    llama: dict[str, Any] = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": _POSITIONS,
    }  # fmt: skip
    bert = {k: v for k, v in llama.items() if k != "num_key_value_heads"}
    t5: dict[str, Any] = {
        "d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4,
        "relative_attention_num_buckets": 8, "relative_attention_max_distance": 16, "decoder_start_token_id": 0,
    }  # fmt: skip
    moe = {"num_experts_per_tok": 2, "router_jitter_noise": 0.0}
    special: dict[str, dict[str, Any]] = {
        "gpt2": {"n_embd": 32, "n_inner": 48, "n_layer": 3, "n_head": 4, "n_positions": _POSITIONS},
        "gpt_neo": {
            "hidden_size": 32, "intermediate_size": 48, "num_layers": 4, "num_heads": 4, "window_size": WINDOW,
            "attention_types": [[["global", "local"], 2]], "max_position_embeddings": _POSITIONS,
        },
        "gpt_neox": bert,
        "opt": {
            "hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
            "word_embed_proj_dim": 24, "max_position_embeddings": _POSITIONS,
        },
        "mistral": llama | {"sliding_window": WINDOW},
        "qwen3": llama | {"head_dim": 16},
        "gemma2": llama | {"head_dim": 16, "sliding_window": WINDOW, "query_pre_attn_scalar": 16},
        "phi3": llama | {"sliding_window": WINDOW, "original_max_position_embeddings": _POSITIONS},
        "bert": bert,
        "roberta": bert | {"max_position_embeddings": _POSITIONS + 2},
        "t5": t5 | {"feed_forward_proj": "gated-gelu"},
        "t5_relu": t5 | {"feed_forward_proj": "relu"},
        "mixtral": llama | moe | {"num_local_experts": 4},
        "qwen3_moe": llama | moe | {"head_dim": 16, "num_experts": 4, "moe_intermediate_size": 24},
    }  # fmt: skip
    return special.get(name, llama)


@torch.no_grad()
def _randomise(model: Any, generator: torch.Generator) -> None:
    """Fill every parameter: norms around 1, biases of 0.2, matrices scaled to keep activations near unit size."""
    for name, parameter in sorted(dict(model.named_parameters()).items()):
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim > 1:
            parameter.copy_(noise * parameter.shape[-1] ** -0.5)
        elif name.endswith("bias"):
            parameter.copy_(noise * 0.2)
        else:
            parameter.copy_(1 + noise * 0.2)
