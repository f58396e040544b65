"""A unit's promoted tokens are those whose logits really rise when it is made to fire in the last block."""

import pytest
import torch
from accelerate import cpu_offload

from evenhand.core.component import Selection
from evenhand.lm.attribution.promote import promoted
from evenhand.testing.tiny import CAUSAL_NAMES, tiny_lm


def _logits_when_fired(lm, site, unit, strength, space="neuron"):
    """Logits with one unit driven so hard that it drowns the residual stream; a post-norm is made as loud."""
    ids = torch.tensor([[7, 8, 9]])
    extra = {"decoder_input_ids": ids} if lm.kind == "encoder-decoder" else {}

    def driven(like):
        made = torch.zeros_like(like)
        made[..., unit] = strength
        return made

    module = lm.module(site.path)
    if space == "row":
        handles = [module.register_forward_hook(lambda module, args, out: driven(out))]
    else:
        handles = [module.register_forward_pre_hook(lambda module, args: (driven(args[0]), *args[1:]))]
    block = lm.module(site.path.split(f".{site.layer}.")[0] + f".{site.layer}")
    after = getattr(block, "post_feedforward_layernorm", None)
    if after is not None and "attn" in site.path:
        after = block.post_attention_layernorm
    if after is not None:
        handles.append(after.register_forward_hook(lambda module, args, out: out * 1e4))
    with torch.no_grad():
        logits = lm.model(input_ids=ids, attention_mask=torch.ones_like(ids), **extra).logits[0, -1].float()
    for handle in handles:
        handle.remove()
    return logits


@pytest.mark.parametrize("name", [*CAUSAL_NAMES, "t5"])
def test_promoted_tokens_rise_when_the_unit_fires_hard(name):
    """Fired so hard that it drowns the rest, a last-layer neuron orders the logits as its lists say."""
    lm = tiny_lm(name)
    layout = lm.layout("neuron")
    last = [i for i, site in enumerate(layout.sites) if site.stack == "decoder"][-1]
    start = sum(site.units for site in layout.sites[:last])
    site, unit = layout.sites[last], 5
    found = next(promoted(lm, Selection.of(layout, [start + unit]), top=3))
    assert (found.site, found.unit) == (site, unit)

    logits = _logits_when_fired(lm, site, unit, 1e4) - _logits_when_fired(lm, site, unit, -1e4)
    top, bottom = logits.topk(3).indices, (-logits).topk(3).indices
    anchor = lm.tokenizer("a")["input_ids"][:1]
    text = lm.tokenizer.decode(anchor)
    assert found.promotes == tuple(lm.tokenizer.decode([*anchor, int(i)]).removeprefix(text) for i in top)
    assert found.suppresses == tuple(lm.tokenizer.decode([*anchor, int(i)]).removeprefix(text) for i in bottom)


@pytest.mark.parametrize(
    ("name", "space"), [("llama", "value"), ("gemma2", "value"), ("gpt2", "value"), ("gemma2", "row"), ("gpt2", "row")]
)
def test_attention_values_and_rows_of_writers_have_words_too(name, space):
    lm = tiny_lm(name)
    layout = lm.layout(space)
    writers = {each.path for each in lm.layout("value").sites}
    last = [i for i, site in enumerate(layout.sites) if site.path in writers][-1]
    site, unit = layout.sites[last], 5
    found = next(promoted(lm, Selection.of(layout, [layout.starts()[last] + unit]), top=3))
    logits = [_logits_when_fired(lm, site, unit, strength, space) for strength in (1e4, -1e4)]
    top = (logits[0] - logits[1]).topk(3).indices
    anchor = lm.tokenizer("a")["input_ids"][:1]
    text = lm.tokenizer.decode(anchor)
    assert found.promotes == tuple(lm.tokenizer.decode([*anchor, int(i)]).removeprefix(text) for i in top)


def test_rows_that_do_not_write_into_the_stream_and_single_weights_have_no_words():
    lm = tiny_lm("llama")
    rows, weights = lm.layout("row"), lm.layout("weight")
    query = next(i for i, site in enumerate(rows.sites) if site.path.endswith("q_proj"))
    for selection in (Selection.of(rows, [rows.starts()[query]]), Selection.of(weights, [0])):
        assert next(promoted(lm, selection)).promotes == ()


@pytest.mark.parametrize("part", ["lm_head", "model.norm", "model.layers.1.post_feedforward_layernorm"])
def test_where_weights_on_the_way_are_offloaded_nothing_is_claimed(part):
    lm = tiny_lm("gemma2")
    layout = lm.layout("neuron")
    unit = Selection.of(layout, [layout.starts()[1]])
    assert next(promoted(lm, unit)).promotes
    cpu_offload(lm.module(part), execution_device=torch.device("cpu"))
    assert next(promoted(lm, unit)).promotes == ()


def test_heads_masked_models_and_encoders_have_no_lists():
    """Where no single direction leads to the logits, nothing is claimed."""
    for name, space in (("llama", "head"), ("bert", "neuron"), ("t5", "neuron")):
        lm = tiny_lm(name)
        found = next(promoted(lm, Selection.of(lm.layout(space), [0])))
        assert found.promotes == ()
        assert found.suppresses == ()
