"""A unit's promoted tokens are those whose logits really rise when it is made to fire in the last block."""

import pytest
import torch

from evenhand.core.component import Selection
from evenhand.lm.promote import promoted
from evenhand.testing.tiny import CAUSAL_NAMES, tiny_lm


def _logits_when_fired(lm, site, unit, strength):
    """Logits with one neuron driven so hard that it drowns the residual stream; a post-norm is made as loud."""
    ids = torch.tensor([[7, 8, 9]])
    extra = {"decoder_input_ids": ids} if lm.kind == "encoder-decoder" else {}

    def fire(module, args):
        driven = torch.zeros_like(args[0])
        driven[..., unit] = strength
        return (driven, *args[1:])

    handles = [lm.module(site.path).register_forward_pre_hook(fire)]
    after = getattr(lm.module(site.path.rsplit(".", 2)[0]), "post_feedforward_layernorm", None)
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


def test_heads_masked_models_and_encoders_have_no_lists():
    """Where no single direction leads to the logits, nothing is claimed."""
    for name, space in (("llama", "head"), ("bert", "neuron"), ("t5", "neuron")):
        lm = tiny_lm(name)
        found = next(promoted(lm, Selection.of(lm.layout(space), [0])))
        assert found.promotes == ()
        assert found.suppresses == ()
