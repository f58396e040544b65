"""Whole sentences set against each other: what they share is computed once, and masked models tell which part spoke."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from itertools import takewhile

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Case
from evenhand.core.progress import Progress
from evenhand.lm.batches.asked import Asked, Places
from evenhand.lm.batches.logits import context_length
from evenhand.lm.batches.scores import OptionScores
from evenhand.lm.batches.variants import Variant
from evenhand.lm.model import LM
from evenhand.lm.scoring.masked import mask_id, masked_lines
from evenhand.lm.scoring.options import branching
from evenhand.lm.scoring.texts import text_lines
from evenhand.lm.tokens import Continuations, Encoded, encode_all


def sentence_options(
    lm: LM, cases: Sequence[Case], variants: Sequence[Variant | None], progress: Progress
) -> list[list[OptionScores]]:
    """Return [variant][case] the scores of whole sentences, without chat template.

    Causal: what the sentences of a case begin with in common is forwarded once. Masked: pseudo-log-likelihood, with
    its parts: of two sentences over the tokens they share and those they do not (as difflib aligns the token ids); of
    sentences with `spans`, of the filling written from left to right. Lines that two sentences have in common are
    forwarded once.
    """
    encoded = iter(encode_all(lm, [option for case in cases for option in case.options], True, or_end=True))
    texts = [[next(encoded) for _ in case.options] for case in cases]
    if lm.kind == "masked":
        return _masked(lm, cases, texts, variants, progress)
    width = context_length(lm) or math.inf
    joined = [i for i, few in enumerate(texts)
              if lm.kind == "causal" and _alike(few) and max(len(each.ids) for each in few) <= width]  # fmt: skip
    together = branching(lm, [_branches(texts[i]) for i in joined], "sentence", variants, progress)
    apart = sorted({*range(len(cases))} - {*joined})
    lines = Asked()
    alone = [[lines.add_all(text_lines(lm, each)) for each in texts[i]] for i in apart]
    out: list[list[OptionScores]] = []
    for found, values in zip(together, lines.score(lm, variants, progress), strict=True):
        by_case = {i: OptionScores(each.logp, each.tokens) for i, each in zip(joined, found, strict=True)}
        by_case |= {i: OptionScores.of([[values[k] for k in each] for each in few])
                    for i, few in zip(apart, alone, strict=True)}  # fmt: skip
        out.append([by_case[i] for i in range(len(cases))])
    return out


def _alike(few: Sequence[Encoded]) -> bool:
    """Whether all begin with the same token, and go on."""
    return len({each.ids[:1] for each in few}) == 1 and all(len(each.ids) > 1 for each in few)


def _branches(few: Sequence[Encoded]) -> Continuations:
    """Return what sentences begin with in common and how each goes on, all tokens but the first scored."""
    same = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*(e.ids for e in few), strict=False)))
    same = min(same, *(len(each.ids) - 1 for each in few), len(few[0].ids) - 1)
    return Continuations(few[0].ids[:same], tuple(each.ids[same:] for each in few), (1 - same,) * len(few), True)


def _masked(
    lm: LM, cases: Sequence[Case], texts: Sequence[Sequence[Encoded]], variants: Sequence[Variant | None],
    progress: Progress,
) -> list[list[OptionScores]]:  # fmt: skip
    lines = Asked()
    real = [[[i for i, (a, b) in enumerate(each.offsets) if b > a] for each in few] for few in texts]
    every = [
        [lines.add_all(masked_lines(lm, each, at)) for each, at in zip(few, places, strict=True)]
        for few, places in zip(texts, real, strict=True)
    ]
    fills = [
        [_fill(lm, lines, each, span) for each, span in zip(few, case.spans, strict=True)] if case.spans else []
        for case, few in zip(cases, texts, strict=True)
    ]
    kept = [_kept(few, at) if len(few) == 2 and not case.spans else []
            for case, few, at in zip(cases, texts, real, strict=True)]  # fmt: skip
    out: list[list[OptionScores]] = []
    for values in lines.score(lm, variants, progress):
        out.append([])
        for targets, filled, shared in zip(every, fills, kept, strict=True):
            terms = [[values[k] for k in each] for each in targets]
            parts = _parts(terms, shared) if shared else {}
            if filled:
                parts |= _filled([[values[k] for k in each] for each in filled])
            out[-1].append(OptionScores.of(terms, parts))
    return out


def _kept(few: Sequence[Encoded], real: Sequence[Sequence[int]]) -> list[list[bool]]:
    """Return for each real token of two sentences whether the other one has it too, in the same order."""
    blocks = difflib.SequenceMatcher(None, few[0].ids, few[1].ids, autojunk=False).get_matching_blocks()
    first = {block.a + i for block in blocks for i in range(block.size)}
    second = {block.b + i for block in blocks for i in range(block.size)}
    return [[i in first for i in real[0]], [i in second for i in real[1]]]


def _parts(terms: Sequence[Sequence[float]], kept: Sequence[Sequence[bool]]) -> dict[str, Float[Tensor, " opt"]]:
    parts: dict[str, Tensor] = {}
    for wanted, name in ((True, "shared"), (False, "changed")):
        chosen = [
            [term for term, keep in zip(few, keeps, strict=True) if keep == wanted]
            for few, keeps in zip(terms, kept, strict=True)
        ]
        parts[f"logp_{name}"] = torch.tensor([math.fsum(each) for each in chosen], dtype=torch.float64)
        parts[name] = torch.tensor([float(len(each)) for each in chosen], dtype=torch.float64)
    return parts


def _fill(lm: LM, lines: Asked, text: Encoded, span: tuple[int, int]) -> Places:
    """Ask for each token of a filling, given what is left of it and, after one mask, what is right of the blank."""
    places = text.covering(*span)
    if not places:
        return []
    first, last = places[0], places[-1] + 1
    return [
        lines.add((*text.ids[:place], mask_id(lm), *text.ids[last:]), place, text.ids[place])
        for place in range(first, last)
    ]


def _filled(terms: Sequence[Sequence[float]]) -> dict[str, Float[Tensor, " opt"]]:
    rows = [torch.tensor(each or [math.nan], dtype=torch.float64) for each in terms]
    return {
        "fill": torch.stack([row.logsumexp(0) - math.log(len(row)) for row in rows]),
        "logp_fill": torch.stack([row.mean() for row in rows]),
    }
