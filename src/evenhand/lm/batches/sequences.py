"""Whole token sequences with the places where a prediction is wanted, run in right-padded batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.errors import CannotRun
from evenhand.core.progress import Progress
from evenhand.lm.batches.batching import Cost, Work, in_batches
from evenhand.lm.batches.logits import divergence, forward, log_norm, none_likelier, padded, positions
from evenhand.lm.batches.resume import begun_once
from evenhand.lm.batches.shared import Tokens
from evenhand.lm.batches.variants import RowMasks, Variant
from evenhand.lm.model import LM
from evenhand.lm.tokens import encode


@dataclass(frozen=True, slots=True)
class Line:
    """One sequence for one forward pass: `targets[i]` is what should be predicted at position `at[i]`."""

    ids: Tokens
    at: Tokens
    targets: Tokens
    said: Tokens = ()
    """Positions of an option that is scored within a prompt; of a whole text none: it is read."""


@dataclass(frozen=True, eq=False)
class LineScores:
    """Per variant and line, one number per target.

    Its log-likelihood, KL(base ‖ variant) where it is predicted, and there 1 where the base's most likely token is the
    variant's too, else 0.
    """

    logp: list[list[Float[Tensor, " _target"]]]
    kl: list[list[Float[Tensor, " _target"]]]
    agree: list[list[Float[Tensor, " _target"]]]


@dataclass(frozen=True, slots=True)
class _Unit:
    """A line as the model stands (`base`) and as these variants, which share a batch so that they can be compared."""

    line: int
    base: bool
    variants: Tokens

    @property
    def rows(self) -> int:
        return self.base + len(self.variants)

    def split(self) -> list[_Unit]:
        half = len(self.variants) // 2
        if not half:
            return [self]
        return [_Unit(self.line, self.base, v) for v in (self.variants[:half], self.variants[half:])]


class _Run:
    """Scores being collected; variant −1 is the model as it stands."""

    def __init__(self, lm: LM, lines: Sequence[Line], variants: Sequence[Variant | None]) -> None:
        self.lm, self.lines = lm, lines
        self.masks = RowMasks(lm, [*variants, None])
        self.source = encode(lm, "", whole=True).ids if lm.kind == "encoder-decoder" else ()
        if lm.kind == "encoder-decoder" and not self.source:
            raise CannotRun(
                f"{lm.identity.source}: its tokenizer adds no end token, so its encoder cannot read nothing"
            )
        self.logp: dict[tuple[int, int], Float[Tensor, " _target"]] = {}
        self.kl: dict[tuple[int, int], Float[Tensor, " _target"]] = {}
        self.agree: dict[tuple[int, int], Float[Tensor, " _target"]] = {}

    def cost(self, unit: _Unit) -> Cost:
        line = self.lines[unit.line]
        return Cost(len(line.ids), float(unit.rows), len(line.at) * unit.rows)

    def batch(self, units: list[_Unit]) -> None:
        rows = [(unit.line, variant) for unit in units for variant in (*((-1,) if unit.base else ()), *unit.variants)]
        counts = [len(self.lines[line].at) for line, _ in rows]
        where = torch.arange(len(rows)).repeat_interleave(torch.tensor(counts))
        at = torch.tensor([i for line, _ in rows for i in self.lines[line].at])
        targets = torch.tensor([t for line, _ in rows for t in self.lines[line].targets], device=self.lm.device)
        which = torch.tensor([variant % len(self.masks.variants) for _, variant in rows])
        inputs = self.inputs([self.lines[line] for line, _ in rows])
        begun = begun_once(self.lm, inputs, [line for line, _ in rows], self.masks.start(which))
        with begun, self.masks.rows(which):
            logits = forward(self.lm, inputs, where, at)[0]
        likelihood = logits.gather(1, targets.to(logits.device)[:, None])[:, 0].float() - log_norm(logits)
        self.logp.update(zip(rows, torch.split(likelihood.cpu(), counts), strict=True))
        ends = [0, *accumulate(counts)]
        first = 0
        for unit in units:
            if unit.base and unit.variants:
                block = logits[ends[first] : ends[first + unit.rows]]
                block = block.reshape(unit.rows, -1, logits.shape[-1])
                kl = divergence(block[0], block[1:]).cpu()
                top = none_likelier(block[1:], torch.arange(block.shape[1]), block[0].argmax(-1)).float().cpu()
                self.kl.update({(unit.line, variant): kl[i] for i, variant in enumerate(unit.variants)})
                self.agree.update({(unit.line, variant): top[i] for i, variant in enumerate(unit.variants)})
            first += unit.rows

    def inputs(self, lines: Sequence[Line]) -> dict[str, Any]:
        tokens, mask = padded(self.lm, [line.ids for line in lines])
        if self.lm.kind != "encoder-decoder":
            places = positions(self.lm, mask)
            cache = {"use_cache": False} if self.lm.kind == "causal" else {}
            if any(line.said for line in lines):
                places["said"] = torch.zeros_like(mask, dtype=torch.bool)
                for row, line in zip(places["said"], lines, strict=True):
                    row[list(line.said)] = True
            return {"input_ids": tokens, "attention_mask": mask, **places, **cache}
        source, source_mask = padded(self.lm, [self.source] * len(lines))
        return {"input_ids": source, "attention_mask": source_mask, "decoder_input_ids": tokens,
                "decoder_attention_mask": mask, "use_cache": False}  # fmt: skip


def score_lines(
    lm: LM, lines: Sequence[Line], variants: Sequence[Variant | None], compare: bool, progress: Progress
) -> LineScores:
    """Score every line as every variant; with `compare`, beside the model as it stands and in the same batch.

    Encoder–decoder models read an empty text and are scored on what the decoder predicts. Without `compare`, `kl` and
    `agree` are empty. A batch holds logits only where a line wants them.
    """
    run = _Run(lm, lines, variants)
    edited = tuple(i for i, variant in enumerate(variants) if variant is not None)
    plain = len(edited) < len(variants)
    units: list[_Unit] = []
    for i, line in enumerate(lines):
        if not line.at:
            run.logp |= {(i, variant): torch.empty(0) for variant in (-1, *edited)}
            run.kl |= {(i, variant): torch.empty(0) for variant in edited}
            run.agree |= {(i, variant): torch.empty(0) for variant in edited}
        elif compare:
            units.append(_Unit(i, True, edited))
        else:
            units.extend(_Unit(i, False, (variant,)) for variant in ((-1,) if plain else ()) + edited)
    in_batches(lm, Work(units, run.cost, run.batch, _Unit.split), progress)
    keys = [-1 if variant is None else i for i, variant in enumerate(variants)]
    logp = [[run.logp[i, key] for i in range(len(lines))] for key in keys]
    if not compare:
        return LineScores(logp, [], [])
    kl = [[run.kl[i, key] if key >= 0 else torch.zeros(len(line.at)) for i, line in enumerate(lines)] for key in keys]
    agree = [[run.agree[i, key] if key >= 0 else torch.ones(len(e.at)) for i, e in enumerate(lines)] for key in keys]
    return LineScores(logp, kl, agree)


def compare_lines(
    lm: LM, lines: Sequence[Line], applied: Callable[[], AbstractContextManager[None]], progress: Progress
) -> tuple[list[Float[Tensor, " _target"]], list[Float[Tensor, " _target"]]]:
    """Return `kl` and `agree` of each line (see `LineScores`) under an edit that no mask stands for.

    Every batch is run as the model stands and again within `applied()`.
    """
    run = _Run(lm, lines, ())
    kl, agree = ([torch.empty(0) for _ in lines] for _ in range(2))

    def batch(few: list[int]) -> None:
        counts = [len(lines[i].at) for i in few]
        where = torch.arange(len(few)).repeat_interleave(torch.tensor(counts))
        at = torch.tensor([place for i in few for place in lines[i].at])
        inputs = run.inputs([lines[i] for i in few])
        before = forward(lm, inputs, where, at)[0]
        with applied():
            after = forward(lm, inputs, where, at)[0]
        top = none_likelier(after, torch.arange(len(after)), before.argmax(-1)).float().cpu()
        apart = divergence(before, after[None])[0].cpu()
        for i, far, same in zip(few, torch.split(apart, counts), torch.split(top, counts), strict=True):
            kl[i], agree[i] = far, same

    wanted = [i for i, line in enumerate(lines) if line.at]
    in_batches(lm, Work(wanted, lambda i: Cost(len(lines[i].ids), 2, 2 * len(lines[i].at)), batch), progress)
    return kl, agree
