"""Answers to a large scenario, read and kept shard by shard: what is killed goes on with the shard it was at.

Where shards end depends on the cases and on how they are read, never on what is kept already, so the same numbers come
out of one run and of many. A shard is a run of consecutive cases of one kind of outcome that does not end within a run
of one cluster, whose cases begin alike and are forwarded together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from evenhand.core.case import Case, Outcome
from evenhand.core.errors import EvenhandError
from evenhand.core.progress import Progress
from evenhand.core.readout import Readout
from evenhand.core.scenario import Scenario
from evenhand.lm.batches.logits import NoneFits
from evenhand.lm.model import LM
from evenhand.lm.read import Reading
from evenhand.lm.tokens import Unscorable
from evenhand.study.store import Store

_CHARACTERS = 4
"""Of a token, about."""
_TIMES = 32
"""A shard has at least so many times the tokens with which the next one begins like it: they are forwarded again."""

Ask = Callable[[Scenario, Progress], list[Readout]]
"""Reads a scenario of one kind of outcome: one readout."""


def shard_size(lm: LM) -> int:
    """Return about how many tokens make a shard: minutes of a large model, in batches of which few are cut short."""
    return 1 << (15 if lm.device.type == "cpu" else 17)


def read_kept(
    store: Store, parts: Sequence[Sequence[Scenario]], ask: Ask, key: Callable[[Scenario], str], progress: Progress
) -> list[Readout]:
    """Return one readout per kind of outcome, of `shards` that are kept under their `key`, or else asked and kept.

    Raises what `ask` raises; what was read before that is kept. `progress` counts the cases of a kind, in all shards.
    """
    return [_of_kind(store, few, ask, key, progress) for few in parts]


def shards(scenario: Scenario, reading: Reading, size: int) -> list[list[Scenario]]:
    """Return for each kind of outcome the scenario in shards of about so many tokens or more, its cases in order."""
    outcomes: dict[str, Outcome] = {context.name: context.outcome for context in scenario.contexts}
    kinds: dict[Outcome, list[Case]] = {}
    for case in scenario.cases:
        kinds.setdefault(outcomes[case.context], []).append(case)
    return [
        [dataclasses.replace(scenario, cases=tuple(few)) for few in _cut(cases, kind, reading, size)]
        for kind, cases in kinds.items()
    ]


def _cut(cases: Sequence[Case], kind: Outcome, reading: Reading, size: int) -> list[list[Case]]:
    parts: list[list[Case]] = [[]]
    filled, before = 0.0, ""
    for case in cases:
        same = _common(before, case.prompt) / _CHARACTERS
        if filled >= max(size, _TIMES * same) and not _alike(parts[-1][-1], case):
            parts.append([])
            filled, same = 0.0, 0.0
        parts[-1].append(case)
        filled += _tokens(case, kind, reading) - same
        before = case.prompt
    return parts


def _alike(one: Case, other: Case) -> bool:
    return bool(one.cluster) and (one.context, one.cluster) == (other.context, other.cluster)


def _common(one: str, other: str) -> int:
    """Return with how many characters both begin."""
    low, high = 0, min(len(one), len(other))
    while low < high:  # halving compares long few-shot prompts as blocks of memory
        half = (low + high + 1) // 2
        low, high = (half, high) if one[low:half] == other[low:half] else (low, half - 1)
    return low


def _tokens(case: Case, kind: Outcome, reading: Reading) -> float:
    """Return about how many tokens are forwarded for a case by itself."""
    asked = (len(case.prompt) + sum(map(len, case.options))) / _CHARACTERS
    if kind == "text" or (kind == "number" and (reading.numeric == "sample" or reading.anywhere)):
        return asked + reading.samples * reading.max_new_tokens
    return asked + (reading.node_budget if kind == "number" else 0)


def _of_kind(
    store: Store, few: Sequence[Scenario], ask: Ask, key: Callable[[Scenario], str], progress: Progress
) -> Readout:
    """Return the shards' readouts joined; those that are missing are read in the order of their longest case.

    So memory runs out in the first shard if in any. Cases that the model cannot read (too long for it, an option that
    its tokenizer cannot write) are undefined; where it can read none at all, that is raised, and before any work.
    """
    keys = [key(shard) for shard in few]
    found = [store.cached(each, shard) for each, shard in zip(keys, few, strict=True)]
    total = sum(len(shard.cases) for shard in few)
    missing = sorted((i for i in range(len(few)) if found[i] is None), key=lambda i: -max(map(_length, few[i].cases)))
    done, unread = total - sum(len(few[i].cases) for i in missing), dict[int, EvenhandError]()
    while missing:
        i = missing.pop(0)
        told = _Told(progress, done, len(few[i].cases), total)
        readable = _readable(found)
        try:
            made = _beside(ask, few[i], readable, told) if i in unread and readable else ask(few[i], told)
        except (NoneFits, Unscorable) as error:
            if i in unread:
                raise unread[i] from error
            unread[i] = error
            missing.append(i)  # after the others, beside a case that could be read
            continue
        found[i] = store.keep(keys[i], made)
        done += len(few[i].cases)
        told.end()
    return Readout.joined([readout for each in found if each is not None for readout in each])


def _readable(found: Sequence[list[Readout] | None]) -> Case | None:
    """Return a case that the model could read."""
    for readout in (readout for each in found if each is not None for readout in each):
        logp = readout.arrays.get("logp")
        for i, case in enumerate(readout.cases):
            if bool(readout.defined[i]) and (logp is None or not bool(logp[i].isnan().all())):
                return case
    return None


def _beside(ask: Ask, shard: Scenario, readable: Case, progress: Progress) -> list[Readout]:
    """Ask a shard of which the model can read nothing together with a case it can read, whose answer is dropped."""
    found = ask(dataclasses.replace(shard, cases=(*shard.cases, readable)), progress)
    return [readout.where(lambda case: case.id != readable.id) for readout in found]


def _length(case: Case) -> int:
    """Characters of the longest text of a case."""
    return len(case.prompt) + max(map(len, case.options), default=0)


class _Told:
    """Progress of one shard as a part of all cases of its kind; it never goes back, and ends when the shard is kept."""

    def __init__(self, progress: Progress, before: int, size: int, total: int) -> None:
        self.progress, self.before, self.size, self.total = progress, before, size, total
        self.label, self.furthest = "", 0

    def __call__(self, label: str, done: int, total: int) -> None:
        self.label = self.label or label
        self.furthest = max(self.furthest, min(self.size * done // max(total, 1), self.size - 1))
        self.progress(self.label, self.before + self.furthest, self.total)

    def end(self) -> None:
        """Tell that the shard is read and kept."""
        if self.label:
            self.progress(self.label, self.before + self.size, self.total)
