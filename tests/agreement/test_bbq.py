"""BBQ against lm-eval on the same model: every option's score, and both tools' bias scores from the same choices."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import pytest
import torch

from agreement import tasks
from agreement.outside import OutsideItem, OutsideScores, Run, lm_eval_scores
from evenhand.core.case import Case
from evenhand.core.measuring import point
from evenhand.core.readout import Readout
from evenhand.core.scenario import Context, Scenario
from evenhand.lm.load import load
from evenhand.lm.model import LM
from evenhand.lm.read import read
from evenhand.measures.bbq_accuracy import BbqAccuracy
from evenhand.measures.bbq_bias import BbqBias
from evenhand.scenarios._shared import bbq
from evenhand.scenarios._shared.bbq_forms import by_text
from oracles.bbq import Answered
from oracles.bbq import lm_eval_scores as theirs_by_hand
from oracles.bbq import scores as ours_by_hand

pytestmark = [pytest.mark.data, pytest.mark.models]
CATEGORY, ROWS = "Religion", 40


@dataclass(frozen=True)
class Both:
    """The first rows of one category, read here and by lm-eval."""

    lm: LM
    ours: Readout
    theirs: OutsideScores


@pytest.fixture(scope="module", params=["stories260K", "tinystories-656k"])
def both(
    request: pytest.FixtureRequest, models_dir: Path, data_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Both:
    lm = load(str(models_dir / request.param))
    task = tasks.bbq(data_dir, CATEGORY)
    items = bbq.load_items(data_dir, f"data/{CATEGORY}.jsonl", CATEGORY)
    theirs = lm_eval_scores(lm.model, lm.tokenizer, task, tmp_path_factory.mktemp("bbq"), Run(limit=ROWS))
    cases = tuple(case for item in items[:ROWS] for case in by_text(item))
    (ours,) = read(lm, Scenario("bbq", cases, (Context(CATEGORY, "choice"),)))
    return Both(lm, ours, theirs)


def test_every_option_has_the_same_score(both: Both) -> None:
    """Unless a token crosses from the context into the option, as ":" and the space do in one of the two tokenizers.

    Then lm-eval feeds the context's own tokens and scores what the whole has beyond their number; here the tokens of
    the whole are fed, and those that reach past the context are scored.
    """
    assert len(both.ours) == len(both.theirs.items) == ROWS
    crossed: list[bool] = []
    for row, (case, item) in enumerate(zip(both.ours.cases, both.theirs.items, strict=True)):
        by_text = {text: logp for (_, text), logp in zip(item.requests, item.logp, strict=True)}
        assert {context for context, _ in item.requests} == {case.prompt}
        assert len(by_text) == 12
        before = _ids(both.lm, case.prompt)
        for option, ours in zip(case.options, both.ours.arrays["logp"][row].tolist(), strict=True):
            whole = _ids(both.lm, case.prompt + option)
            same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, whole, strict=False)))
            crossed.append(same < len(before))
            if crossed[-1]:
                assert by_text[option] == pytest.approx(_plain(both.lm, before, whole[len(before) :]), abs=1e-4)
                assert ours == pytest.approx(_plain(both.lm, whole[:same], whole[same:]), abs=1e-4)
            else:
                assert ours == pytest.approx(by_text[option], abs=1e-4)
    assert set(crossed) == {"tinystories" in both.lm.identity.source}


def _ids(lm: LM, text: str) -> list[int]:
    return lm.tokenizer(text)["input_ids"]


def _plain(lm: LM, before: list[int], after: list[int]) -> float:
    """Log-likelihood of these tokens after those, in one plain forward pass."""
    with torch.no_grad():
        table = lm.model(torch.tensor([before + after])).logits[0].log_softmax(-1)
    return sum(float(table[len(before) + i - 1, token]) for i, token in enumerate(after))


def _answered(case: Case, choice: str | None) -> Answered:
    pick = None if choice is None else case.options.index(choice)
    assert case.favourable is not None
    return Answered(case.fact("condition"), case.fact("polarity"), int(case.fact("target")), int(case.fact("unknown")),
                    case.favourable, pick)  # fmt: skip


def test_their_choices_give_their_scores_by_their_rule(both: Both) -> None:
    """From lm-eval's twelve scores: any of ten ways to say "unknown" is the row's; 0 where no answer is biased."""
    ours, theirs = both.ours, both.theirs
    answers: list[Answered] = []
    for case, item in zip(ours.cases, theirs.items, strict=True):
        best = item.requests[max(range(12), key=lambda i: item.logp[i])][1]
        answers.append(_answered(case, best if best in case.options else case.options[int(case.fact("unknown"))]))
    expected = theirs_by_hand(answers)
    assert theirs.metrics["amb_bias_score"] == pytest.approx(expected["ambiguous"], abs=1e-9)
    assert theirs.metrics["disamb_bias_score"] == pytest.approx(expected["disambiguated"], abs=1e-9)
    assert theirs.metrics["acc"] == pytest.approx(sum(a.pick == a.label for a in answers) / ROWS)


def _of_the_row(case: Case, item: OutsideItem) -> list[float]:
    """lm-eval's scores of the three answers of a row."""
    by_text = {text: logp for (_, text), logp in zip(item.requests, item.logp, strict=True)}
    return [by_text[option] for option in case.options]


def test_their_scores_give_our_numbers_when_only_the_rows_answers_count(both: Both) -> None:
    three = [_of_the_row(case, item) for case, item in zip(both.ours.cases, both.theirs.items, strict=True)]
    answers = [_answered(case, case.options[few.index(max(few))])
               for case, few in zip(both.ours.cases, three, strict=True)]  # fmt: skip
    scored = dataclasses.replace(both.ours, arrays={"logp": torch.tensor(three, dtype=torch.float64)})
    for name, value in ours_by_hand(answers).items():
        assert point(BbqBias(), scored)[name] == pytest.approx(value, abs=1e-12, nan_ok=True)
    right = sum(point(BbqAccuracy(), scored)[name] for name in ("ambiguous", "disambiguated"))
    assert right / 2 == pytest.approx(sum(a.pick == a.label for a in answers) / ROWS)


def test_where_no_answer_is_biased_the_definition_says_minus_one_and_they_say_zero() -> None:
    from lm_eval.tasks.bbq.utils import agg_amb_bias_scores, agg_disamb_bias_scores

    answers = [Answered(condition, "neg", 0, 2, 2 if condition == "ambig" else 1, 1)
               for condition in ("ambig", "disambig")]  # fmt: skip
    wrong, right = (0.0, 0.0, 1.0), (1.0, 0.0, 1.0)
    assert ours_by_hand(answers) == {"ambiguous": -1.0, "disambiguated": -1.0}
    assert theirs_by_hand(answers) == {"ambiguous": 0.0, "disambiguated": 0.0}
    assert agg_amb_bias_scores([(*wrong, False)]) == agg_disamb_bias_scores([(*right, True)]) == 0
    nobody = [Answered("disambig", "neg", 0, 2, 1, 2)]
    assert math.isnan(ours_by_hand(nobody)["disambiguated"])
    assert theirs_by_hand(nobody)["disambiguated"] == agg_disamb_bias_scores([(0.0, 0.0, 0.0, True)]) == 0


def test_ten_ways_to_say_unknown_score_higher_than_one(both: Both) -> None:
    higher: list[bool] = []
    for case, item in zip(both.ours.cases, both.theirs.items, strict=True):
        one = _of_the_row(case, item)[int(case.fact("unknown"))]
        assert max(item.logp[2:]) >= one
        higher.append(max(item.logp[2:]) > one)
    assert any(higher)
