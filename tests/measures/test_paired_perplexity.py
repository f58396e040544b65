"""Paired perplexities against scipy, the removal of outliers against a loop, and the authors' own perplexities."""

from __future__ import annotations

import csv
import math
import random
from pathlib import Path

import pytest
import torch
from scipy import stats

from evenhand import find
from evenhand.core.bootstrap import Bootstrap
from evenhand.core.case import Case
from evenhand.core.errors import UsageError
from evenhand.core.measure import Subject
from evenhand.core.measuring import measure, point
from evenhand.core.readout import Readout
from evenhand.measures.paired_perplexity import PairedPerplexity
from evenhand.scenarios._shared.redditbias import TYPES
from evenhand.testing.measures import Toy, check_measure

TOKENS = 5


def _readout(pairs: list[tuple[float, float]]) -> Readout:
    """Pairs of sentences of five tokens with these perplexities."""
    logp = -TOKENS * torch.tensor(pairs, dtype=torch.float64).log()
    one = torch.ones(len(pairs), dtype=torch.float64)
    cases = tuple(Case(str(i), "", "c", cluster=str(i), options=("a", "b")) for i in range(len(pairs)))
    return Readout("pair", cases, (), logp[:, 0] - logp[:, 1], one, torch.arange(len(pairs)), {"valid": one},
                   one.bool(), arrays={"logp": logp, "tokens": torch.full_like(logp, TOKENS)})  # fmt: skip


def symmetric() -> list[Toy]:
    return [(_readout([(10.0, 30.0), (30.0, 10.0), (5.0, 5.0)]), None)]


def _drawn(seed: int, n: int = 40) -> list[tuple[float, float]]:
    draw = random.Random(seed)
    return [(draw.lognormvariate(5, 1.5), draw.lognormvariate(5, 1.5)) for _ in range(n)]


@pytest.mark.parametrize("seed", range(5))
def test_t_and_p_are_those_of_scipy_on_perplexities_and_on_their_logarithms(seed: int) -> None:
    pairs = _drawn(seed)
    first, second = zip(*pairs, strict=True)
    values = point(PairedPerplexity(), _readout(pairs))
    published = stats.ttest_rel(first, second)
    assert (values["t"], values["p"]) == pytest.approx((published.statistic, published.pvalue), rel=1e-9)
    logs = stats.ttest_rel([math.log(x) for x in first], [math.log(x) for x in second])
    assert (values["log.t"], values["log.p"]) == pytest.approx((logs.statistic, logs.pvalue), rel=1e-9)
    assert values["value"] == pytest.approx(sum(a - b for a, b in pairs) / len(pairs), rel=1e-9)
    assert values["effect"] == pytest.approx(published.statistic / math.sqrt(len(pairs)), rel=1e-9)
    assert values["preferred"] == pytest.approx(100 * sum((a < b) - (a > b) for a, b in pairs) / len(pairs))
    assert values["value.kept"] == 100.0


@pytest.mark.parametrize("seed", range(5))
def test_outliers_are_left_out_pair_by_pair_with_the_limits_of_each_side(seed: int) -> None:
    pairs = _drawn(seed)
    limits = []
    for side in zip(*pairs, strict=True):
        mean = sum(side) / len(side)
        limits.append((mean, math.sqrt(sum((x - mean) ** 2 for x in side) / len(side))))
    kept = [pair for pair in pairs if all(abs(x - m) <= 2 * s for x, (m, s) in zip(pair, limits, strict=True))]
    assert 0 < len(kept) < len(pairs)
    values = point(PairedPerplexity(outliers=2.0), _readout(pairs))
    alone = point(PairedPerplexity(), _readout(kept))
    assert values.pop("value.kept") == pytest.approx(100 * len(kept) / len(pairs))
    assert values == pytest.approx({key: value for key, value in alone.items() if key != "value.kept"}, rel=1e-9)


def test_the_laws_hold_with_outliers_left_out() -> None:
    check_measure(find.build("measures", "paired_perplexity", {"outliers": 1.2}), symmetric=symmetric())
    with pytest.raises(UsageError, match="outliers"):
        find.build("measures", "paired_perplexity", {"outliers": 0})


def test_a_tie_is_on_neither_side_and_what_does_not_vary_has_no_test() -> None:
    values = point(PairedPerplexity(), _readout([(8.0, 8.0), (2.0, 4.0), (4.0, 4.0)]))
    assert values["preferred"] == pytest.approx(100 / 3)
    same = point(PairedPerplexity(), _readout([(8.0, 8.0)] * 4))
    assert same["value"] == 0.0
    assert math.isnan(same["t"])
    assert math.isnan(same["p"])


def test_the_interval_is_a_bootstrap_over_pairs() -> None:
    pairs = [(a, a + 10 + 0.1 * i) for i, (a, _) in enumerate(_drawn(0))]
    rows = measure({"ppl": PairedPerplexity()}, Subject("base", _readout(pairs)), Bootstrap(300))
    (found,) = [row.estimate for row in rows if row.key == "value"]
    assert -14 < found.low < found.value < found.high < -10
    assert found.value == pytest.approx(-10 - 0.1 * 39 / 2, rel=1e-9)


@pytest.mark.data
def test_the_authors_perplexities_show_the_bias_they_report(data_dir: Path) -> None:
    """Their files hold a perplexity for every sentence, and the paper finds DialoGPT biased about religions only."""
    significant = []
    for kind, groups in TYPES.items():
        files = [f"reddit_comments_{kind}_{group}_biased_test_reduced.csv" for group in groups]
        sides = []
        for file in files:
            with (data_dir / "redditbias" / file).open(encoding="utf-8", newline="") as stream:
                sides.append([float(row["perplexity"]) for row in csv.DictReader(stream)])
        values = point(PairedPerplexity(), _readout(list(zip(*sides, strict=True))))
        expected = stats.ttest_rel(*sides)
        assert (values["t"], values["p"]) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-6)
        if values["p"] < 0.05:
            significant.append(kind)
            assert values["value"] < 0
    assert significant == ["religion1", "religion2"]
