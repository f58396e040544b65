"""The right and the most probable wrong answer of each question, as rows that a model is run on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun, UsageError
from evenhand.lm.attribution.rows import Row, continuation_rows
from evenhand.lm.batches.logits import check_length
from evenhand.lm.model import LM
from evenhand.lm.scoring.forward import check_scored, score_options
from evenhand.lm.tokens import Unscorable, render


@dataclass(frozen=True)
class Pair:
    """The rows of one case: those of each answer that may be the most probable wrong one, and of the right one."""

    wrong: list[list[Row]]
    right: list[Row]


def candidates(lm: LM, cases: Sequence[Case]) -> list[list[int]]:
    """Return the wrong options of each case that may be its most probable one: that one alone where it is known here.

    It is where there are two options. Beside an encoder the others wait for `chosen`, when the prompt has been read.
    """
    wrong = [[option for option in range(len(case.options)) if option != case.favourable] for case in cases]
    if lm.kind == "encoder-decoder":
        return wrong
    several = [i for i, options in enumerate(wrong) if len(options) > 1]
    asked = [cases[i] for i in several]
    for i, scores in zip(several, check_scored(asked, score_options(lm, asked)[0]) if asked else [], strict=True):
        likeliest = max(wrong[i], key=lambda option, scores=scores: float(scores[option]))
        wrong[i] = [likeliest]
    return wrong


def pair(lm: LM, index: int, case: Case, wrong: Sequence[int], end: bool) -> Pair:
    """Return the rows of a case; `end`: with the end token, beside an encoder.

    Raises UsageError for an option that no tokens can write, CannotRun where prompt and option are too long.
    """
    ends = [int(lm.tokenizer.eos_token_id)] if end and lm.kind == "encoder-decoder" else []

    def rows(option: int) -> list[Row]:
        try:
            found = continuation_rows(lm, index, render(lm, case), [case.options[option]], [1.0], ends)
        except Unscorable as error:
            raise UsageError(f"case {case.id!r}: an option has no score ({error}); leave the case out") from error
        check_length(lm, max(row.length for row in found), f"case {case.id!r}: the prompt with an option")
        return found

    return Pair([rows(option) for option in wrong], rows(int(case.favourable or 0)))


def chosen(pairs: Sequence[Pair], objective: Float[Tensor, " row"]) -> list[int]:
    """Return the row of each case's most probable wrong answer, then of each right one; each answer has one row."""
    if objective.isnan().any():
        raise CannotRun("crispr: an answer's probability is no number, so the model is broken; load it in float32")
    wrong: list[int] = []
    right: list[int] = []
    start = 0
    for each in pairs:
        end = start + len(each.wrong)
        wrong.append(start + int(objective[start:end].argmax()))
        right.append(end)
        start = end + 1
    return wrong + right
