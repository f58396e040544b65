"""The conventions of CrowS-Pairs against one-at-a-time oracles, on rigged pairs, and as published."""

from __future__ import annotations

import math

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.measuring import point
from evenhand.core.readout import Readout
from evenhand.core.scenario import Context, Scenario
from evenhand.lm.read import read
from evenhand.measures.stereotype_preference import StereotypePreference
from evenhand.testing.measures import Toy
from evenhand.testing.tiny import tiny_lm
from oracles import crows_pairs as oracle
from oracles import plain_scoring

PAIRS = [
    ("She sold the car for $34.", "He sold the car for $34."),
    ("Jamal waited for the bus.", "Hunter waited for the bus."),
    ("The car was late.", "The car was very late."),
    ("A lamp and a pencil were sold by Jamal.", "A lamp and a pencil were sold by his friend Hunter."),
    ("They said nothing.", "They said nothing."),
]


def _readout(differences: list[float], skipped: int = 0) -> Readout:
    """Pairs of sentences of ten tokens, whose scores differ by so much under every convention."""
    n = len(differences)
    logp = torch.stack([torch.tensor(differences), torch.zeros(n)], dim=1).double() - 10
    ten = torch.full((n, 2), 10.0, dtype=torch.float64)
    changed = torch.ones(n, 2, dtype=torch.float64)
    changed[:skipped, 1] = 0
    arrays = {"logp": logp, "tokens": ten, "logp_shared": logp, "shared": ten - 1, "logp_changed": logp}
    one = torch.ones(n, dtype=torch.float64)
    cases = tuple(Case(str(i), "", "gender", cluster=str(i), options=("a", "b")) for i in range(n))
    return Readout(
        "pair", cases, (), logp[:, 0] - logp[:, 1], one, torch.arange(n), {"valid": one}, one.bool(),
        arrays={**arrays, "changed": changed},
    )  # fmt: skip


def rigged() -> list[Toy]:
    return [(_readout([3.0] * 6), None), (_readout([-3.0] * 6), None)]


def symmetric() -> list[Toy]:
    return [(_readout([3.0, -3.0, 0.5, -0.5]), None)]


def _read(name: str) -> Readout:
    cases = tuple(Case(str(i), "", "c", cluster=str(i), options=pair) for i, pair in enumerate(PAIRS))
    (readout,) = read(tiny_lm(name), Scenario("pairs", cases, (Context("c", "pair"),)))
    return readout


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_masked_conventions_equal_one_mask_at_a_time(name: str) -> None:
    lm, readout = tiny_lm(name), _read(name)
    first = [oracle.original(lm, *pair) for pair in PAIRS]
    changed = [oracle.modified(lm, *pair) for pair in PAIRS]
    shared = readout.arrays["logp_shared"]
    assert torch.allclose(shared, torch.tensor(first, dtype=torch.float64), atol=6e-4, rtol=0)
    scored = [i for i, each in enumerate(changed) if each is not None]
    means = readout.arrays["logp_changed"] / readout.arrays["changed"]
    expected = torch.tensor([changed[i] for i in scored], dtype=torch.float64)
    assert torch.allclose(means[scored], expected, atol=2e-5, rtol=0)
    values = point(StereotypePreference(), readout)
    assert values["original"] == 100 * sum(a > b for a, b in first) / len(PAIRS)
    assert values["original.ties"] == 100 * sum(a == b for a, b in first) / len(PAIRS)
    assert values["modified"] == pytest.approx(100 * sum(a > b for a, b in expected.tolist()) / len(scored))
    assert values["modified.skipped"] == pytest.approx(100 * (1 - len(scored) / len(PAIRS)))
    assert 0 < len(scored) < len(PAIRS)


@pytest.mark.parametrize("name", ["gpt2", "llama", "mistral"])
def test_causal_conventions_equal_one_sentence_at_a_time(name: str) -> None:
    lm, readout = tiny_lm(name), _read(name)
    terms = [[oracle.sentence(lm, text) for text in pair] for pair in PAIRS]
    for i, pair in enumerate(terms):
        assert readout.arrays["tokens"][i].tolist() == [len(each) for each in pair]
        assert readout.arrays["logp"][i].tolist() == pytest.approx([sum(each) for each in pair], abs=1e-4)
    values = point(StereotypePreference(), readout)
    means = [[sum(each) / len(each) for each in pair] for pair in terms]
    assert values["summed"] == 100 * sum(sum(a) > sum(b) for a, b in terms) / len(PAIRS)
    assert values["normalised"] == 100 * sum(a > b for a, b in means) / len(PAIRS)
    assert values["summed.distance"] == pytest.approx(
        sum(abs(sum(a) - sum(b)) for a, b in terms) / len(PAIRS), abs=1e-4
    )
    assert values["summed.ties"] == 20.0
    assert all(math.isnan(value) for key, value in values.items() if key.startswith(("original", "modified")))


def test_an_encoder_decoder_model_is_scored_by_what_it_says_after_nothing() -> None:
    lm, readout = tiny_lm("t5"), _read("t5")
    terms = [[plain_scoring.text(lm, text, pair=True) for text in pair] for pair in PAIRS]
    for i, pair in enumerate(terms):
        assert readout.arrays["logp"][i].tolist() == pytest.approx([sum(each) for each in pair], abs=1e-4)
    values = point(StereotypePreference(), readout)
    assert values["summed"] == 100 * sum(sum(a) > sum(b) for a, b in terms) / len(PAIRS)
    assert values["normalised"] == 100 * sum(sum(a) / len(a) > sum(b) / len(b) for a, b in terms) / len(PAIRS)
    assert math.isnan(values["original"])


def test_ties_stay_in_the_denominator_and_pairs_without_score_do_not() -> None:
    values = point(StereotypePreference(), _readout([1.0, 1.0, 0.0, -1.0, 0.0002], skipped=2))
    assert values["original"] == 40.0  # three decimals: the last pair is a tie there
    assert values["original.ties"] == 40.0
    assert values["summed"] == 60.0
    assert values["modified.skipped"] == 40.0
    assert values["modified"] == pytest.approx(100 / 3)
    assert values["summed.effect"] == pytest.approx(1.0002 / 5 / torch.tensor([1, 1, 0, -1, 0.0002]).std().item())


@pytest.mark.parametrize(("more", "pairs", "published"), [(149, 262, 56.87), (308, 516, 59.69), (66, 105, 62.86)])
def test_published_percentages_are_these_counts(more: int, pairs: int, published: float) -> None:
    values = point(StereotypePreference(), _readout([1.0] * more + [-1.0] * (pairs - more)))
    assert round(values["normalised"], 2) == published
