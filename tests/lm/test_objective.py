"""The favourable outcome as a sum over rows, against full logits; the numbers that stand for a distribution."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.numeral import START, Ended, advance
from evenhand.core.scenario import Scenario
from evenhand.lm.attribution.number_answers import MOST_ANSWERS, _bins, number_answers
from evenhand.lm.attribution.objective import cells, favourable_rows
from evenhand.lm.attribution.rows import Row, Target, continuation_rows, merged
from evenhand.lm.attribution.trace import trace
from evenhand.lm.model import LM
from evenhand.lm.scoring.forward import score_options
from evenhand.testing.tiny import CAUSAL_NAMES, FAMILY_NAMES, tiny_lm
from oracles.gates import option_logp
from oracles.people import use_case


def _values(lm: LM, rows: Sequence[Row], cases: int) -> list[float]:
    found = [0.0] * cases
    for batch in trace(lm, rows, lm.layout("head")):
        for case, value in zip(batch.cases, batch.per_case(batch.objective), strict=True):
            found[case] += float(value)
    return found


@pytest.mark.parametrize("name", FAMILY_NAMES)
@pytest.mark.parametrize("kind", ["choice", "pair"])
def test_choice_and_pair_are_differences_of_log_likelihoods(kind: str, name: str) -> None:
    lm = tiny_lm(name)
    part = next(cells(use_case(kind)))  # type: ignore[arg-type]
    values = _values(lm, favourable_rows(lm, part), len(part.cases))
    for value, scores in zip(values, score_options(lm, part.cases)[0], strict=True):
        assert value == pytest.approx(float(scores[0] - scores[1:].mean()), abs=2e-4)


@pytest.mark.parametrize("name", [*CAUSAL_NAMES, "t5"])
def test_number_is_the_weighted_log_likelihood_of_the_answers(name: str) -> None:
    lm = tiny_lm(name)
    part = next(cells(use_case("number")))
    answers = number_answers(lm, part.cases)
    values = _values(lm, favourable_rows(lm, part), len(part.cases))
    for value, case in list(zip(values, part.cases, strict=True))[::3]:
        with torch.no_grad():
            expected = sum(
                share * z * float(option_logp(lm, case.prompt, text, end))
                for text, share, z, end in zip(answers.texts, answers.share, answers.z, answers.ends, strict=True)
            )
        assert value == pytest.approx(expected, abs=1e-3)


def test_favourable_low_turns_the_number_round() -> None:
    lm = tiny_lm("llama")
    high, low = (
        _values(lm, favourable_rows(lm, next(cells(use_case("number", favourable=way)))), 6) for way in ("high", "low")
    )
    assert high == pytest.approx([-value for value in low], abs=1e-6)


def test_answers_stand_for_the_pooled_distribution() -> None:
    lm = tiny_lm("gpt2")
    answers = number_answers(lm, next(cells(use_case("number"))).cases)
    assert 2 <= len(answers.texts) <= MOST_ANSWERS
    assert sum(answers.share) == pytest.approx(1)
    assert sum(s * z for s, z in zip(answers.share, answers.z, strict=True)) == pytest.approx(0, abs=1e-9)
    read = [advance(START, text + "\n") for text in answers.texts]
    values = [state.value for state in read if isinstance(state, Ended)]
    assert len(values) == len(answers.texts)
    assert values == sorted(values)
    assert list(answers.z) == sorted(answers.z)


def test_bins_hold_equal_mass_and_keep_the_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    share = torch.rand(200, generator=generator, dtype=torch.float64)
    share = share / share.sum()
    values = torch.randn(200, generator=generator, dtype=torch.float64).sort().values
    z = (values - (share * values).sum()) / (share * (values - (share * values).sum()).square()).sum().sqrt()
    chosen, masses, means = _bins(share, z)
    assert len(chosen) == MOST_ANSWERS
    assert all(abs(mass - 1 / MOST_ANSWERS) < float(share.max()) * 2 for mass in masses)
    assert sum(m * v for m, v in zip(masses, means, strict=True)) == pytest.approx(0, abs=1e-12)
    edges = torch.tensor(masses).cumsum(0)
    for i, unit in enumerate(chosen):
        below = float(share[:unit].sum())
        assert (edges[i - 1] if i else 0) - 0.01 <= below <= edges[i]


def test_the_gap_of_two_normals_is_their_standardised_difference() -> None:
    delta, values = 0.8, torch.linspace(-8, 8, 4001, dtype=torch.float64)

    def density(mean: float) -> torch.Tensor:
        p = (-0.5 * (values - mean).square()).exp()
        return p / p.sum()

    ours, theirs = density(delta / 2), density(-delta / 2)
    pooled = (ours + theirs) / 2
    z = (values - (pooled * values).sum()) / (pooled * (values - (pooled * values).sum()).square()).sum().sqrt()
    sd = (1 + delta**2 / 4) ** 0.5  # of the pooled distribution, in units of one group's
    gap = float((pooled * z * (ours.log() - theirs.log())).sum())
    assert gap == pytest.approx(delta * sd, rel=1e-6)


def test_rows_share_what_they_can() -> None:
    lm = tiny_lm("gpt2")
    single = continuation_rows(lm, 0, "Should I sell? The answer is", [" 1", " 2", " 3"], [1.0, -0.5, -0.5])
    assert len(single) == 1
    assert {t.weight for t in single[0].targets} == {1.0, -0.5}
    rows = [Row(0, (1, 2), 2, (), (), (Target(1, 5),)), Row(0, (1, 2, 3), 2, (), (), (Target(2, 6),)),
            Row(1, (1, 2), 2, (), (), (Target(1, 7),))]  # fmt: skip
    kept = merged(rows)
    assert [(row.case, row.ids, {t.token for t in row.targets}) for row in kept] == [
        (0, (1, 2, 3), {5, 6}),
        (1, (1, 2), {7}),
    ]


def test_masked_rows_are_never_merged_into_each_other() -> None:
    lm = tiny_lm("bert")
    rows = continuation_rows(lm, 0, "The answer is", [" yes", " no, it is late"], [1.0, -1.0])
    assert len(rows) == sum(len(row.targets) for row in rows)


@pytest.mark.parametrize("kind", ["text", "sentence"])
def test_outcomes_without_a_favourable_side_are_refused(kind: str) -> None:
    with pytest.raises(UsageError, match="no favourable outcome"):
        favourable_rows(tiny_lm("llama"), next(cells(use_case(kind))))  # type: ignore[arg-type]


def test_a_group_without_cases_is_an_error() -> None:
    scenario: Scenario = use_case().where(lambda case: case.group == "a")
    with pytest.raises(UsageError, match="at least one other"):
        next(cells(scenario))


def test_numbers_of_a_masked_model_are_refused() -> None:
    with pytest.raises(CannotRun):
        favourable_rows(tiny_lm("bert"), next(cells(use_case("number"))))
