"""Masked models: pseudo-log-likelihood, each token masked in turn given all others (Salazar et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

from evenhand.core.errors import CannotRun
from evenhand.core.progress import Progress
from evenhand.lm.batches.asked import Asked, Places
from evenhand.lm.batches.logits import context_length, fitting
from evenhand.lm.batches.scores import OptionScores, spread
from evenhand.lm.batches.sequences import Line
from evenhand.lm.batches.variants import Variant
from evenhand.lm.model import LM
from evenhand.lm.tokens import Encoded, encode_all, option_places, scorable, tried


def masked_options(
    lm: LM, texts: Sequence[str], options: Sequence[Sequence[str]], variants: Sequence[Variant | None],
    progress: Progress, endings: Sequence[str] = (),
) -> list[list[OptionScores]]:  # fmt: skip
    """Pseudo-log-likelihood [variant][case] of the tokens of every option, prompt and option around them, float64.

    What follows the options of a case (`endings`) is read, not scored. A text with one token masked is forwarded once,
    whichever options of one token are asked for there. NaN where an option of the case has no score, or does not fit
    the context with its text.
    """
    after = endings or [""] * len(texts)
    whole = [text + option + end for text, few, end in zip(texts, options, after, strict=True) for option in few]
    encoded = iter(encode_all(lm, whole))
    joint = [[next(encoded) for _ in few] for few in options]
    kept = scorable(lm, [tried(_places, lm, *each) for each in zip(texts, options, joint, strict=True)])
    longest = [max(len(each.ids) for each in joint[i]) for i in kept]
    short = [*compress(kept, fitting(lm, longest, "prompt with its longest option"))]
    asked = Asked()
    wanted: list[list[Places]] = [
        [asked.add_all(masked_lines(lm, each, at, at)) for each, at in zip(joint[i], kept[i], strict=True)]
        for i in short
    ]
    scores = [
        [OptionScores.of([[values[k] for k in each] for each in few]) for few in wanted]
        for values in asked.score(lm, variants, progress)
    ]
    return spread(short, scores, options)


def _places(lm: LM, text: str, options: Sequence[str], joint: Sequence[Encoded]) -> list[tuple[int, ...]]:
    """Return the places of each option's tokens; raises Unscorable."""
    return [option_places(lm, text, *each) for each in zip(options, joint, strict=True)]


def masked_lines(lm: LM, text: Encoded, wanted: Sequence[int], said: Sequence[int] = ()) -> list[Line]:
    """Return one sequence per wanted position with the token there masked, within a window of the context's length.

    The window is centred on the position, and keeps the start and end tokens. Of a text that is a prompt with an option
    `said` are the option's positions.
    """
    if not wanted:  # of a text without tokens, too
        return []
    mask = mask_id(lm)
    real = [i for i, (start, end) in enumerate(text.offsets) if end > start]
    first, last = real[0], real[-1] + 1
    head, tail = text.ids[:first], text.ids[last:]
    width = (context_length(lm) or len(text.ids)) - len(head) - len(tail)
    lines: list[Line] = []
    for i in wanted:
        start = max(first, min(i - width // 2, last - width))
        before, after = text.ids[start:i], text.ids[i + 1 : min(start + width, last)]
        ids = (*head, *before, mask, *after, *tail)
        inside = tuple(len(head) + j - start for j in said if start <= j < start + width)
        lines.append(Line(ids, (len(head) + len(before),), (text.ids[i],), inside))
    return lines


def mask_id(lm: LM) -> int:
    """Return the token that hides another; raises CannotRun where the tokenizer has none."""
    mask = lm.tokenizer.mask_token_id
    if mask is None:
        raise CannotRun(f"{lm.identity.source}: its tokenizer has no mask token, so nothing can be masked and scored")
    return int(mask)
