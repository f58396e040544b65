"""From text to tokens: prompts as the model sees them, and continuations encoded together with their prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress, takewhile
from typing import Any, ParamSpec, TypeVar

from evenhand.core.case import Case
from evenhand.core.errors import UsageError
from evenhand.lm.model import LM
from evenhand.lm.turns import as_asked, opening, written

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Unscorable(UsageError):
    """An option that has no score after its prompt: for this tokenizer it is no token of its own, or an unknown one."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids and, for each, the [start, end) characters it covers (start = end for special tokens)."""

    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]

    def covering(self, start: int, end: int) -> tuple[int, ...]:
        """Return the positions of tokens that overlap the characters [start, end)."""
        return tuple(i for i, (a, b) in enumerate(self.offsets) if a < end and b > start)


@dataclass(frozen=True, slots=True)
class Continuations:
    """Options of one prompt as tokens: a shared prefix, and per option the rest and where scoring starts in it.

    A token is scored when it reaches past the last character of the prompt; the rest of `tails` before `first` are
    tokens of the prompt that an option's first characters changed. Whole texts (`whole`) have no prompt: what they
    share is no more than where they begin alike.
    """

    prefix: tuple[int, ...]
    tails: tuple[tuple[int, ...], ...]
    first: tuple[int, ...]
    whole: bool = False


def render(lm: LM, case: Case) -> str:
    """Return the text a case puts before the model: as `render_all`."""
    return render_all(lm, [case])[0]


def render_all(lm: LM, cases: Sequence[Case]) -> list[str]:
    """Return the text each case puts before the model: chat template, system prompt if chosen, then answer prefix.

    Edits that change how things are asked (`lm.asking`) do so here and nowhere else.
    """
    turns = as_asked(lm, cases, [opening(case) for case in cases], lm.asking)
    return [f"{written(lm, each)}{case.answer_prefix}" for each, case in zip(turns, cases, strict=True)]


def encode(lm: LM, text: str, whole: bool = False, or_end: bool = False) -> Encoded:
    """Encode a text as the model was trained to see it: its own start token, no end token (except for T5's encoder).

    With a chat model the template has written the start token already, unless the text is `whole` (scored without it).
    A whole text for a causal model begins with the start token also where the tokenizer does not add it, or else its
    first word would never be scored; with `or_end` the end token stands in where there is none (docs/decisions/0006).
    """
    return encode_all(lm, [text], whole, or_end)[0]


def encode_all(lm: LM, texts: Sequence[str], whole: bool = False, or_end: bool = False) -> list[Encoded]:
    """Encode many texts at once, which is several times faster than one by one."""
    if not texts:
        return []
    out: Any = lm.tokenizer(
        list(texts), add_special_tokens=whole or not lm.chat, return_offsets_mapping=True, verbose=False
    )
    special = special_ids(lm) if lm.kind == "causal" else frozenset[int]()
    opening = start_id(lm, or_end) if whole else None
    encoded: list[Encoded] = []
    for ids, offsets in zip(out["input_ids"], out["offset_mapping"], strict=True):
        end = len(ids)
        while end and offsets[end - 1][0] == offsets[end - 1][1] and ids[end - 1] in special:
            if end == 1 and ids[0] == lm.tokenizer.bos_token_id:
                break
            end -= 1
        here, spans = tuple(ids[:end]), tuple((int(a), int(b)) for a, b in offsets[:end])
        if opening is not None and (not spans or spans[0][1] > spans[0][0]):
            here, spans = (opening, *here), ((0, 0), *spans)
        encoded.append(Encoded(here, spans))
    return encoded


def start_id(lm: LM, or_end: bool) -> int | None:
    """Return the token a causal model's text begins with: its start token, else none or the end token."""
    if lm.kind != "causal":
        return None
    declared = lm.tokenizer.bos_token_id
    declared = lm.tokenizer.eos_token_id if declared is None and or_end else declared
    return None if declared is None or declared >= lm.model.config.vocab_size else int(declared)


def special_ids(lm: LM) -> frozenset[int]:
    """Return the ids the tokenizer calls special."""
    return frozenset(int(i) for i in lm.tokenizer.all_special_ids)


def end_ids(lm: LM) -> frozenset[int]:
    """Return the ids that end a generation: those of the generation config and of the tokenizer."""
    config: Any = getattr(lm.model, "generation_config", None)
    declared: Any = getattr(config, "eos_token_id", None)
    ends: list[Any] = [*declared] if isinstance(declared, list) else [declared]
    return frozenset(int(i) for i in [*ends, lm.tokenizer.eos_token_id] if i is not None)


def pad_id(lm: LM) -> int:
    """Return an id to fill up rows with; it is always masked, so any valid id will do."""
    declared = lm.tokenizer.pad_token_id
    return int(declared) if declared is not None and declared < lm.model.config.vocab_size else 0


def continuations(lm: LM, prompt: str, options: Sequence[str]) -> Continuations:
    """Encode each option together with its prompt and return the longest common token prefix and the tails.

    Encoding the two apart would score other tokens than the model sees ("It costs " + "500" merges differently in most
    tokenizers). Raises UsageError for an empty option, Unscorable for one with characters the tokenizer does not know,
    or whose tokens cannot be told from the prompt's.
    """
    (found,) = continuations_all(lm, [prompt], [options])
    if isinstance(found, Unscorable):
        raise found
    return found


def continuations_all(
    lm: LM, prompts: Sequence[str], options: Sequence[Sequence[str]]
) -> list[Continuations | Unscorable]:
    """Return `continuations` of many prompts, encoded at once; for a prompt with an unscorable option, the error."""
    for prompt, few in zip(prompts, options, strict=True):
        if not few or not all(few):
            raise UsageError(f"an option is empty, after the prompt {prompt[-60:]!r}; every option needs text to score")
    pairs = [(prompt, option) for prompt, few in zip(prompts, options, strict=True) for option in few]
    joint = iter(encode_all(lm, [prompt + option for prompt, option in pairs]))
    encoded = [[next(joint) for _ in few] for few in options]
    gaps = [has_gaps(prompt + few[0], all_[0]) for prompt, few, all_ in zip(prompts, options, encoded, strict=True)]
    alone = iter(encode_all(lm, list(compress(prompts, gaps))))
    before = [next(alone).ids if gap else None for gap in gaps]
    return [tried(_common, lm, *each) for each in zip(prompts, options, encoded, before, strict=True)]


def tried(make: Callable[_P, _T], *args: _P.args, **more: _P.kwargs) -> _T | Unscorable:
    """Return what is made of a case, or why an option of it has no score."""
    try:
        return make(*args, **more)
    except Unscorable as error:
        return error


def scorable(lm: LM, found: Sequence[_T | Unscorable]) -> dict[int, _T]:
    """Return what was made of cases by their places, without the unscorable, of which `lm.notify` is told.

    Raises Unscorable where nothing else is left.
    """
    kept: dict[int, _T] = {}
    errors: list[Unscorable] = []
    for i, each in enumerate(found):
        if isinstance(each, Unscorable):
            errors.append(each)
        else:
            kept[i] = each
    if errors and not kept:
        raise Unscorable(f"every case has an option that cannot be scored ({len(errors)}); the first: {errors[0]}")
    if errors:
        lm.notify(
            f"{len(errors)} of {len(found)} cases have an option that cannot be scored, and stay undefined; the first: "
            f"{errors[0]}"
        )
    return kept


def has_gaps(text: str, encoded: Encoded) -> bool:
    """Whether the tokenizer dropped characters it does not know: places behind them are then off."""
    return max((end for _, end in encoded.offsets), default=0) < len(text.rstrip())


def _common(
    lm: LM, prompt: str, options: Sequence[str], joint: Sequence[Encoded], before: tuple[int, ...] | None
) -> Continuations:
    """`before` are the prompt's own tokens, where places cannot tell which of the joint ones are the option's."""
    scored = [_first_scored(lm, prompt, *each, before) for each in zip(options, joint, strict=True)]
    shared = min(_same(*(each.ids for each in joint)), *scored)
    return Continuations(
        prefix=joint[0].ids[:shared],
        tails=tuple(e.ids[shared:] for e in joint),
        first=tuple(first - shared for first in scored),
    )


def _same(*ids: Sequence[int]) -> int:
    """Return with how many tokens all of these begin."""
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*ids, strict=False)))


def _first_scored(lm: LM, prompt: str, option: str, joint: Encoded, before: tuple[int, ...] | None) -> int:
    """Return the place of the first token that reaches past the prompt."""
    if before is None:
        first = option_places(lm, prompt, option, joint)[0]
    else:
        first = _same(before, joint.ids)
        check_written(lm, option, joint.ids[first:])
    if first == 0:
        raise Unscorable(
            f"option {option!r} merges with its whole prompt {prompt!r} into one token, so nothing predicts it; "
            "use a longer prompt"
        )
    return first


def option_places(lm: LM, prompt: str, option: str, joint: Encoded) -> tuple[int, ...]:
    """Return the positions of the tokens of an option in prompt + option; raises Unscorable as `check_written`."""
    places = joint.covering(len(prompt), len(prompt) + len(option))
    check_written(lm, option, [joint.ids[i] for i in places])
    return places


def check_written(lm: LM, option: str, ids: Sequence[int]) -> None:
    """Raise Unscorable when the tokenizer writes the option with no token, or with its unknown token."""
    if not ids:
        raise Unscorable(f"option {option!r} adds no token to its prompt for this tokenizer")
    if lm.tokenizer.unk_token_id in ids:
        raise Unscorable(
            f"option {option!r} has characters that the tokenizer of {lm.identity.source} does not know, so its score "
            "would be that of the unknown token; write it with other characters"
        )
