"""What a hidden state stands for, by putting it in place of a word in a question and reading the answer.

Patchscopes (Ghandeharioun et al. 2024) and the race-or-colour reading of Sun et al. (ACL 2025): the residual stream
after block l at a word of a source prompt overwrites the stream after block t at a placeholder of the question, and the
log-odds of two concepts in the answer move. A placeholder of several tokens is overwritten at each of them, as in
SelfIE (Chen et al. 2024). A concept's probability is the sum over its surface forms, each scored with all its tokens,
so words of several tokens count in full; forms that would change the question's own tokens are left out, and one that
begins with another is contained in it.

The question is the same for every state, so many states share a batch, and where all forms are single tokens its blocks
up to t are computed once; longer forms branch off the question over the key–value cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.progress import Progress, silent
from evenhand.lm.batches.batching import HELD, Cost, Work, in_batches
from evenhand.lm.batches.logits import check_length, forward, log_likelihood, padded, positions
from evenhand.lm.batches.resume import keeping, resumed
from evenhand.lm.batches.shared import Tokens, share
from evenhand.lm.batches.variants import RowMasks
from evenhand.lm.generation.generate import roll
from evenhand.lm.generation.sampling import Sampling
from evenhand.lm.model import LM
from evenhand.lm.states.places import Place, place_of
from evenhand.lm.states.residual import Patch, check_layers, patched
from evenhand.lm.tokens import encode_all
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

    Raises UsageError where the placeholder is not in the prompt as tokens of its own, where a concept has no form that
    can follow, and where forms of both begin with the same tokens as a whole form of the other.
    """
    check_causal(lm)
    place = place_of(lm, case, placeholder, occurrence)
    forms = tuple(_forms(lm, place, few) for few in concepts)
    asked = Question(place, (forms[0], forms[1]))
    first, second = asked.counted
    for few in forms:
        if all(form.left_out for form in few):
            why = "; ".join(form.left_out for form in few)
            listed = ", ".join(repr(form.text) for form in few)
            raise UsageError(f"none of {listed} can follow {place.text!r}: {why}. Some tokenizers write a space behind "
                             "words: end the question with one then")  # fmt: skip
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
class _Reads:
    """Which logits behind the question the forms need: those right after it, and those after beginnings of forms."""

    tails: tuple[Tokens, ...]
    """Longest beginnings of forms of several tokens (without the last one); shorter ones are read on the way."""
    places: tuple[tuple[int, int], ...]
    """(tail, position in it) of every beginning, in the order in which logits are handed out behind the first."""
    forms: tuple[tuple[tuple[int, int], ...], ...]
    """Of every form, which logits (0: right after the question) and which token, for each of its tokens."""

    @classmethod
    def of(cls, forms: Sequence[Tokens]) -> _Reads:
        heads = sorted({form[:n] for form in forms for n in range(1, len(form))})
        tails = [head for head in heads if not any(o != head and o[: len(head)] == head for o in heads)]
        at = [next((i, len(head) - 1) for i, tail in enumerate(tails) if tail[: len(head)] == head) for head in heads]
        order = {(): 0} | {head: 1 + i for i, head in enumerate(heads)}
        reads = [tuple((order[form[:n]], token) for n, token in enumerate(form)) for form in forms]
        return cls(tuple(tails), tuple(at), tuple(reads))

    def cost(self, length: int) -> Cost:
        """What one state takes behind a question of so many tokens."""
        held = 1 + len(self.tails) / HELD
        return Cost(length + sum(map(len, self.tails)), held, 1 + len(self.places))

    def total(self, logits: Float[Tensor, "state_read vocab"]) -> Float[Tensor, "state form"]:
        """Return log p of every form (float32, on the CPU), from the logits of every state one after another."""
        width, device = 1 + len(self.places), logits.device
        read, token = torch.tensor([each for form in self.forms for each in form], device=device).T
        states = torch.arange(len(logits) // width, device=device)[:, None]
        terms = log_likelihood(logits, (states * width + read).flatten(), token.repeat(len(states)))
        of = torch.tensor([i for i, form in enumerate(self.forms) for _ in form], device=device)
        return (
            torch.zeros(len(states), len(self.forms), device=device).index_add(1, of, terms.reshape(-1, len(of))).cpu()
        )


def log_probabilities(
    lm: LM, asked: Question, target: int, states: Float[Tensor, "state d"] | None, progress: Progress = silent
) -> Float[Tensor, "state 2"]:
    """Return log p of each concept (nats, float32) with every state at the placeholder, after block `target`.

    Without states the one row of the question as it is. Raises UsageError for a layer that the model has not.
    """
    check_layers(lm, [target])
    first, second = asked.counted
    reads, place = _Reads.of([*first, *second]), asked.place
    check_length(lm, len(place.ids) + max(map(len, [*first, *second])), "a question with its answer")
    out = torch.empty(1 if states is None else len(states), len(first) + len(second))
    with keeping(lm, [max(target, 0)]) as begun:
        forward(lm, *_given(lm, place, 1))

    def run(batch: list[int]) -> None:
        with ExitStack() as stack:
            if states is not None:
                stack.enter_context(patched(lm, [_patch(place, target, states[batch])]))
            if reads.tails:
                out[batch] = reads.total(_branching(lm, place, reads, len(batch)))
                return
            # The block that is patched is the first one that has to be computed again.
            index = torch.zeros(len(batch), dtype=torch.long)
            stack.enter_context(resumed(lm, begun, max(target, 0), index))
            logits, _ = forward(lm, *_given(lm, place, len(batch)))
            out[batch] = reads.total(logits)

    in_batches(lm, Work(range(len(out)), lambda _: reads.cost(len(place.ids)), run, label="patching"), progress)
    return _summed(out, len(first))


def _given(lm: LM, place: Place, count: int) -> tuple[dict[str, Any], Tensor, Tensor]:
    """The question in so many rows, without cache, and where its answer begins."""
    ids, mask = padded(lm, [place.ids] * count)
    given = {"input_ids": ids, "attention_mask": mask, **positions(lm, mask), "use_cache": False}
    return given, torch.arange(count), torch.full((count,), len(place.ids) - 1)


def _branching(lm: LM, place: Place, reads: _Reads, count: int) -> Float[Tensor, "state_read vocab"]:
    """Logits after the question, read once per state, and after every beginning of a form behind it."""
    shared = share(lm, [place.ids] * count, RowMasks(lm, [None]), [0] * count)
    rows = [state for state in range(count) for _ in reads.tails]
    nodes = [state * len(reads.tails) + tail for state in range(count) for tail, _ in reads.places]
    further = shared.extend(rows, list(reads.tails) * count, nodes, [at for _, at in reads.places] * count)
    both = torch.cat([shared.logits[:, None], further.reshape(count, len(reads.places), -1)], dim=1)
    return both.flatten(0, 1)


def _summed(logp: Float[Tensor, "state form"], first: int) -> Float[Tensor, "state 2"]:
    return torch.stack([logp[:, :first].logsumexp(1), logp[:, first:].logsumexp(1)], dim=1)


def _patch(place: Place, target: int, states: Float[Tensor, "row d"]) -> Patch:
    """Every state at all tokens of the placeholder in its row."""
    rows = torch.arange(len(states)).repeat_interleave(len(place.positions))
    return Patch(target, states[rows], torch.tensor(place.positions).repeat(len(states)), rows)


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
        drawn = roll(shared, torch.arange(len(batch)), torch.zeros(len(batch), tokens), sampling, known)
        for i, answer in zip(batch, drawn, strict=True):
            out[i] = known.text(answer[:-1] if answer and answer[-1] in known.ends else answer)

    cost = Cost(len(place.ids) + tokens)
    in_batches(lm, Work(range(count), lambda _: cost, run, label="writing"), progress)
    return out
