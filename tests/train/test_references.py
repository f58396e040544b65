"""Kept references give the divergences and gradients that a reference model would give."""

import pytest
import torch

from evenhand.core.errors import UsageError
from evenhand.train import references
from evenhand.train.references import References, log_likelihood


@pytest.fixture(autouse=True)
def no_small_vocabulary(monkeypatch):
    monkeypatch.setattr(references, "_WHOLE", 0)


def _logits(seed, dtype=torch.float32, spread=3.0):
    return (torch.randn(11, 50, generator=torch.Generator().manual_seed(seed)) * spread).to(dtype)


def _coarse(logits, tokens):
    """Log-probabilities of the kept tokens and of all others together, written plainly."""
    p = torch.softmax(logits.double(), -1)
    kept = p.gather(1, tokens)
    return torch.cat([kept, 1 - kept.sum(-1, keepdim=True)], 1).log()


@pytest.mark.parametrize("top", [1, 7, 49, 50, 500])
@pytest.mark.parametrize("rows", [1, 1 << 20])
def test_divergence_and_gradient_are_those_of_the_distributions(top, rows, monkeypatch):
    monkeypatch.setattr(references, "_ROWS", rows * 50)
    before, now = _logits(0), _logits(1).requires_grad_()
    kept = References.of([before[:4], before[4:9], before[9:]], top)
    weights = torch.arange(1.0, 12.0)
    found = kept.divergence([0, 1, 2], now)
    (slope,) = torch.autograd.grad((found * weights).sum(), now)
    plain = now.detach().double().requires_grad_()
    if top < 50:
        one = _coarse(before, before.topk(top).indices)
        other = _coarse(plain, before.topk(top).indices)
    else:
        one, other = torch.log_softmax(before.double(), -1), torch.log_softmax(plain, -1)
    expected = (one.exp() * (one - other)).sum(-1)
    (slope_plain,) = torch.autograd.grad((expected * weights).sum(), plain)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(slope.double(), slope_plain, atol=1e-5, rtol=1e-5)


def test_the_more_is_kept_the_nearer_to_the_whole_divergence():
    before, now = _logits(0), _logits(1)
    found = torch.stack([References.of([before], top).divergence([0], now) for top in (1, 5, 20, 49, 50)])
    assert (found.diff(dim=0) >= -1e-5).all()
    torch.testing.assert_close(found[3], found[4])
    assert found[0].mean() < 0.9 * found[4].mean()


def test_texts_are_taken_in_any_order():
    before, now = _logits(0), _logits(1)
    kept = References.of([before[:4], before[4:9], before[9:]], 5)
    all_ = kept.divergence([0, 1, 2], now)
    torch.testing.assert_close(kept.divergence([2, 0], torch.cat([now[9:], now[:4]])), torch.cat([all_[9:], all_[:4]]))
    assert kept.divergence([0, 1, 2], before).abs().max() < 1e-6
    with pytest.raises(UsageError, match="logits of 11 places for texts that have 4"):
        kept.divergence([0], now)


def test_bytes_and_digest(monkeypatch):
    assert References.of([_logits(0)], 5).bytes == 11 * (5 * 8 + 4)
    assert References.of([_logits(0)], 5).digest() == References.of([_logits(0)], 5).digest()
    assert References.of([_logits(0)], 5).digest() != References.of([_logits(1)], 5).digest()
    monkeypatch.setattr(references, "_WHOLE", 50)
    assert References.of([_logits(0)], 5).bytes == 11 * (50 * 4 + 4)
    for top, texts in ((0, [_logits(0)]), (5, [])):
        with pytest.raises(UsageError):
            References.of(texts, top)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_log_likelihood_and_its_gradient(dtype):
    logits, tokens = _logits(2, dtype).requires_grad_(), torch.arange(11) * 3
    weights = torch.linspace(-2.0, 2.0, 11)
    found = log_likelihood(logits, tokens)
    (slope,) = torch.autograd.grad((found * weights).sum(), logits)
    plain = logits.detach().double().requires_grad_()
    expected = torch.log_softmax(plain, -1).gather(1, tokens[:, None])[:, 0]
    (slope_plain,) = torch.autograd.grad((expected * weights).sum(), plain)
    assert slope.dtype == dtype
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(slope.double(), slope_plain, atol=1e-2 if dtype is torch.bfloat16 else 1e-5, rtol=1e-5)
