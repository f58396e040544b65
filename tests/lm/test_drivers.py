"""What drives a unit: sums, shares and peaks against a slow reading of the writer's input, one text at a time."""

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.component import Selection
from evenhand.core.errors import UsageError
from evenhand.lm.attribution.drivers import activity, text_rows
from evenhand.lm.attribution.rows import prompt_rows
from evenhand.testing.tiny import tiny_lm

TEXTS = ["the cat sat. the dog", "a b c", "the cat, the cat!"]


def _slowly(lm, site, unit, ids, decoder):
    """What one unit says at each token of one text."""
    kept = []
    module = lm.module(site.path)
    handle = module.register_forward_hook(lambda m, args, out: kept.append((args[0], out)))
    more = {"decoder_input_ids": torch.tensor([decoder])} if decoder else {}
    with torch.no_grad():
        lm.model(input_ids=torch.tensor([ids]), **more)
    handle.remove()
    return kept[0]


@pytest.mark.parametrize(
    ("family", "space"),
    [("llama", "neuron"), ("gpt2", "head"), ("opt", "neuron"), ("gemma2", "value"), ("gpt2", "row"), ("t5", "neuron"),
     ("bert", "head")],
)  # fmt: skip
def test_means_shares_and_peaks_are_those_of_one_text_at_a_time(family: str, space: str) -> None:
    lm = tiny_lm(family)
    layout = lm.layout(space)  # type: ignore[arg-type]
    units = [start + 3 % site.units for start, site in zip(layout.starts(), layout.sites, strict=True)][:4]
    chosen = Selection.of(layout, units)
    rows = text_rows(lm, TEXTS)
    found = activity(lm, rows, chosen, top=2)
    for k, (site, (unit,)) in enumerate(chosen.by_site()):
        said, tokens = [], []
        for row in rows:
            before, after = _slowly(lm, site, unit, row.ids, row.decoder)
            x = (after if space == "row" else before).reshape(-1, site.units, site.width)[:, unit].float()
            said.append(x.norm(dim=-1) if site.width > 1 else x[:, 0])
            tokens += row.decoder if row.decoder and site.stack == "decoder" else row.ids
        assert torch.allclose(found.mean[:, k].float(), torch.stack([x.mean() for x in said]), atol=1e-5)
        size = sum(x.abs().sum() for x in said)
        assert found.size[k].item() == pytest.approx(size.item(), rel=1e-4)
        assert found.first[k].item() == pytest.approx((sum(x[0].abs() for x in said) / size).item(), rel=1e-4)
        whole = torch.cat(said)
        best = found.peaks[k][0]
        assert abs(best.value) == pytest.approx(whole.abs().max().item(), rel=1e-4)
        assert best.token == tokens[int(whole.abs().argmax())]
        assert len({peak.token for peak in found.peaks[k]}) == len(found.peaks[k]) <= 2
        if space == "head":
            assert found.positive[k].isnan()
        else:
            share = (whole.clamp(min=0).sum() / size).item()
            assert found.positive[k].item() == pytest.approx(share, rel=1e-3, abs=1e-5)


def test_delimiters_are_tokens_without_a_letter_or_digit_and_never_the_first() -> None:
    lm = tiny_lm("llama")
    chosen = Selection.of(lm.layout("neuron"), [2])
    rows = text_rows(lm, ["the cat sat"])
    words, marks = (activity(lm, text_rows(lm, [text]), chosen) for text in ("the cat sat", "the . , !"))
    assert words.tokens[:2] == (len(rows[0].ids), 1)
    assert words.delimiters.item() == pytest.approx(0.0) or words.tokens[2] > 0
    assert marks.tokens[2] > words.tokens[2]
    assert marks.delimiters.item() + marks.first.item() > words.delimiters.item() + words.first.item()
    assert all(0 <= part.item() <= 1 for part in (marks.delimiters, marks.first, marks.positive))


def test_the_surroundings_of_a_peak_are_those_of_its_text() -> None:
    lm = tiny_lm("llama")
    cases = [Case(str(i), text, "c") for i, text in enumerate(TEXTS)]
    rows = prompt_rows(lm, cases)
    for peak in activity(lm, rows, Selection.of(lm.layout("neuron"), [5]), top=3, around=2).peaks[0]:
        ids = rows[peak.case].ids
        around = (*peak.before, peak.token, *peak.after)
        assert any(ids[i : i + len(around)] == around for i in range(len(ids)))
        assert len(peak.before) <= 2


def test_single_weights_have_no_activation() -> None:
    lm = tiny_lm("llama")
    with pytest.raises(UsageError, match="no activation of their own"):
        activity(lm, text_rows(lm, TEXTS), Selection.of(lm.layout("weight"), [0]))


def test_long_texts_are_cut_and_empty_ones_refused() -> None:
    lm = tiny_lm("llama")
    (row,) = text_rows(lm, ["the cat sat on the mat " * 20], longest=7)
    assert len(row.ids) == 7
    with pytest.raises(UsageError, match="a text to read is empty"):
        text_rows(lm, [""])
