"""What a hidden state stands for, by putting it in place of a word in a question and reading the answer.

Patchscopes (Ghandeharioun et al. 2024) and the race-or-colour reading of Sun et al. (ACL 2025): the residual stream
after block l at a word of a source prompt overwrites the stream after block t at a placeholder of the question, and the
log-odds of two concepts in the answer move. A concept's probability is the sum over its surface forms, each scored with
all its tokens, so words of several tokens count in full; forms that would change the question's own tokens are left
out, and one that begins with another is contained in it.

The question is the same for every state, so its blocks up to t are computed once, and many states share a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.progress import Progress, silent
from evenhand.lm.batching import Cost, Work, in_batches
from evenhand.lm.generate import _roll
from evenhand.lm.logits import check_length, forward, log_softmax, padded, positions
from evenhand.lm.model import LM
from evenhand.lm.places import Place, place_of, single
from evenhand.lm.residual import Patch, check_layers, patched
from evenhand.lm.resume import keeping, resumed
from evenhand.lm.sampling import Sampling
from evenhand.lm.shared import Tokens, share
from evenhand.lm.tokens import encode_all
from evenhand.lm.variants import RowMasks
from evenhand.lm.vocabulary import vocabulary


@dataclass(frozen=True, slots=True)
class Form:
    """A surface form of a concept behind a question: its tokens, and why it is not counted (empty where it is)."""

    text: str
    tokens: Tokens
    left_out: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """A question with the place of its placeholder and the forms of either concept."""

    place: Place
    forms: tuple[tuple[Form, ...], tuple[Form, ...]]

    @property
    def counted(self) -> tuple[tuple[Tokens, ...], tuple[Tokens, ...]]:
        """The tokens of the forms that are counted, by concept."""
        first, second = (tuple(form.tokens for form in forms if not form.left_out) for forms in self.forms)
        return first, second


def check_causal(lm: LM) -> None:
    """Raise CannotRun unless the model goes on with a text, so that its answer can be read behind a question."""
    if lm.kind != "causal":
        raise CannotRun(
            f"{lm.identity.source} is {'a masked' if lm.kind == 'masked' else 'an encoder–decoder'} model: a state is "
            "read in place of a word of a question that the model itself goes on with, which needs a causal model"
        )


def question(
    lm: LM, case: Case, placeholder: str, occurrence: int, concepts: tuple[Sequence[str], Sequence[str]]
) -> Question:
    """Return a question ready to be asked.

    Raises UsageError where the placeholder is not one token of the prompt, where a concept has no form that can follow,
    and where forms of both begin with the same tokens as a whole form of the other.
    """
    check_causal(lm)
    place = single(lm, place_of(lm, case, placeholder, occurrence), placeholder)
    forms = tuple(_forms(lm, place, few) for few in concepts)
    asked = Question(place, (forms[0], forms[1]))
    first, second = asked.counted
    for few in forms:
        if all(form.left_out for form in few):
            why = "; ".join(form.left_out for form in few)
            raise UsageError(f"none of {', '.join(repr(form.text) for form in few)} can follow {place.text!r}: {why}")
    for one in first:
        for other in second:
            if one[: len(other)] == other or other[: len(one)] == one:
                raise UsageError(
                    f"for {lm.identity.source} a form of either concept begins with the same tokens "
                    f"({lm.tokenizer.decode(one)!r}, {lm.tokenizer.decode(other)!r}), so they cannot be told apart"
                )
    return asked


def _forms(lm: LM, place: Place, forms: Sequence[str]) -> tuple[Form, ...]:
    """Each form behind the question, as the tokenizer writes the two together."""
    found: list[Form] = []
    for form, joint in zip(forms, encode_all(lm, [place.text + form for form in forms]), strict=True):
        tail, why = joint.ids[len(place.ids) :], ""
        counted = [other.tokens for other in found if not other.left_out]
        if joint.ids[: len(place.ids)] != place.ids:
            tail, why = (), f"{form!r} would change the last tokens of the question"
        elif not tail:
            why = f"{form!r} adds no token"
        elif lm.tokenizer.unk_token_id in tail:
            why = f"{form!r} has characters that the tokenizer does not know"
        elif any(tail[: len(other)] == other for other in counted):
            why = f"{form!r} is contained in another form"
        found.append(Form(form, tail, why))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class _Rows:
    """The question with every beginning of a form behind it: one row where forms are single tokens."""

    tails: tuple[Tokens, ...]
    """Longest beginnings (a form without its last token); shorter ones are read on the way."""
    reads: tuple[tuple[tuple[int, int, int], ...], ...]
    """Of every form, (row, position in the row, token) of each of its tokens."""

    @classmethod
    def of(cls, start: int, forms: Sequence[Tokens]) -> _Rows:
        """`start` is the number of the question's tokens."""
        heads = {form[:-1] for form in forms}
        tails = sorted(head for head in heads if not any(o != head and o[: len(head)] == head for o in heads))
        row = {tail[:n]: i for i, tail in reversed([*enumerate(tails)]) for n in range(len(tail) + 1)}
        reads = [[(row[form[:n]], start - 1 + n, token) for n, token in enumerate(form)] for form in forms]
        return cls(tuple(tails), tuple(map(tuple, reads)))


def log_probabilities(
    lm: LM, asked: Question, target: int, states: Float[Tensor, "state d"] | None, progress: Progress = silent
) -> Float[Tensor, "state 2"]:
    """Return log p of each concept (nats, float32) with every state at the placeholder, after block `target`.

    Without states the one row of the question as it is. Raises UsageError for a layer that the model has not.
    """
    check_layers(lm, [target])
    first, second = asked.counted
    rows = _Rows.of(len(asked.place.ids), [*first, *second])
    ids, mask = padded(lm, [asked.place.ids + tail for tail in rows.tails])
    check_length(lm, ids.shape[1], "a question with its answer")
    given = {"input_ids": ids, "attention_mask": mask, **positions(lm, mask)}
    start = max(target, 0)  # the block that is patched is the first one to be computed again
    with keeping(lm, [start]) as begun:
        asis = _logp(lm, given, rows, 1)
    if states is None:
        return _summed(asis, len(first))
    out = torch.empty(len(states), len(first) + len(second))

    def run(batch: list[int]) -> None:
        index = torch.arange(len(rows.tails)).repeat(len(batch))
        mine = {name: value[index.to(value.device)] for name, value in given.items()}
        here = states[batch].repeat_interleave(len(rows.tails), dim=0)
        with resumed(lm, begun, start, index), patched(lm, [_patch(asked.place, target, here)]):
            out[batch] = _logp(lm, mine, rows, len(batch))

    cost = Cost(ids.shape[1], len(rows.tails), sum(map(len, rows.reads)))
    in_batches(lm, Work(range(len(states)), lambda _: cost, run, label="patching"), progress)
    return _summed(out, len(first))


def _summed(logp: Float[Tensor, "state form"], first: int) -> Float[Tensor, "state 2"]:
    return torch.stack([logp[:, :first].logsumexp(1), logp[:, first:].logsumexp(1)], dim=1)


def _patch(place: Place, target: int, states: Float[Tensor, "row d"]) -> Patch:
    rows = torch.arange(len(states))
    return Patch(target, states, torch.full_like(rows, place.position), rows)


def _logp(lm: LM, given: dict[str, Tensor], rows: _Rows, states: int) -> Float[Tensor, "state form"]:
    """Log p of every form, from one forward pass over states × rows."""
    places = sorted({(row, at) for form in rows.reads for row, at, _ in form})
    every = torch.tensor([(s * len(rows.tails) + row, at) for s in range(states) for row, at in places])
    logits, _ = forward(lm, {**given, "use_cache": False}, every[:, 0], every[:, 1])
    logp = log_softmax(logits).reshape(states, len(places), -1)
    order = {place: i for i, place in enumerate(places)}
    return torch.stack(
        [sum((logp[:, order[row, at], token] for row, at, token in form), torch.zeros(states, device=logp.device))
         for form in rows.reads], dim=1,
    ).cpu()  # fmt: skip


def written(
    lm: LM, place: Place, target: int, states: Float[Tensor, "state d"] | None, tokens: int,
    progress: Progress = silent,
) -> list[str]:  # fmt: skip
    """Return how the model goes on (greedily, at most so many tokens) with every state at the placeholder.

    The state stands there while the prompt is read; what is written later sees it through attention. Without states the
    prompt is gone on with as it is.
    """
    check_layers(lm, [target])
    check_length(lm, len(place.ids) + tokens, "the prompt of the free reading with its answer")
    known, masks = vocabulary(lm), RowMasks(lm, [None])
    sampling = Sampling(samples=1, temperature=0.0, max_new_tokens=tokens)
    count = 1 if states is None else len(states)
    out = [""] * count

    def run(batch: list[int]) -> None:
        prompts, which = [place.ids] * len(batch), [0] * len(batch)
        if states is None:
            shared = share(lm, prompts, masks, which)
        else:
            with patched(lm, [_patch(place, target, states[batch])]):
                shared = share(lm, prompts, masks, which)
        drawn = _roll(shared, torch.arange(len(batch)), torch.zeros(len(batch), tokens), sampling, known)
        for i, answer in zip(batch, drawn, strict=True):
            out[i] = known.text(answer[:-1] if answer and answer[-1] in known.ends else answer)

    cost = Cost(len(place.ids) + tokens)
    in_batches(lm, Work(range(count), lambda _: cost, run, label="writing"), progress)
    return out
