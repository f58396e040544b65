"""How fast WEAT's permutation test is as one matrix: against the same number of partitions one at a time.

Random vectors of 384 numbers, the set sizes of tests 6 (all 12,870 partitions) and 1 (10,000 random ones). *Loop*: s of
every word computed once, then partitions drawn and summed one by one, as sent-bias does; *afresh*: the cosines of every
word computed anew for every partition, as wefe does (timed on a few of them and scaled up). All in this run, in
processor time on one thread, from vectors to p. The last columns are a row of a table: value and interval from 1,000
replicates, each with its own permutation test, for which the loop would be run 1,001 times; that is where a matrix
pays. Exit code 1 if it does not beat the loop, by 50 times with replicates, or if p differs where all are looked at.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from evenhand.core.bootstrap import Bootstrap
from evenhand.core.case import Case
from evenhand.core.measure import Subject
from evenhand.core.measuring import measure, point
from evenhand.core.readout import Readout
from evenhand.measures.weat import SIDES, Weat, associations

SHAPES = {"test 6": (8, 8, 8, 8), "test 1": (25, 25, 25, 25)}
DIM, FEW, LEAST_RATIO, LEAST_WITH_REPLICATES = 384, 20, 1.0, 50.0


def words(sizes: tuple[int, ...]) -> Readout:
    """Random vectors; the first targets lean a little towards the first attributes."""
    draw = torch.Generator().manual_seed(0)
    cases = [
        Case(f"{side}{i}", "", "here", group=side, cluster=f"{side}{i}", facts=(("side", side), ("test", "t")))
        for side, size in zip(SIDES, sizes, strict=True)
        for i in range(size)
    ]
    vectors = torch.randn(len(cases), DIM, generator=draw)
    vectors += torch.tensor([[0.2 * (case.group in ("target_x", "attribute_a"))] for case in cases])
    none, one = torch.empty(0, dtype=torch.float64), torch.ones(len(cases), dtype=torch.float64)
    return Readout("embedding", tuple(cases), (), none, none, none.long(), {"valid": one}, one.bool(),
                   arrays={"vector": vectors, "tokens": one.long()})  # fmt: skip


def loop(s: np.ndarray, first: int, exact: int, samples: int) -> float:
    """One partition at a time, s known."""
    n, draw = len(s), np.random.default_rng(0)
    observed = s[:first].sum() - s[first:].sum()
    drawn = (
        combinations(range(n), first)
        if comb(n, first) <= exact
        else (draw.permutation(n)[:first] for _ in range(samples))
    )
    total, reached = s.sum(), []
    for chosen in drawn:
        in_x = s[np.array(chosen)].sum()
        reached.append(in_x - (total - in_x) >= observed - 1e-9)
    return sum(reached) / len(reached)


def afresh(sets: list[np.ndarray], partitions: np.ndarray) -> float:
    """One partition at a time, every cosine computed again."""

    def s(word: np.ndarray) -> float:
        cosines = [few @ word / np.linalg.norm(few, axis=1) / np.linalg.norm(word) for few in sets[2:]]
        return float(cosines[0].mean() - cosines[1].mean())

    every = np.concatenate(sets[:2])
    return sum(
        sum(s(word) for word in every[chosen]) - sum(s(word) for word in every[~chosen]) for chosen in partitions
    )


def seconds(call: Callable[[], Any], repeats: int = 3) -> tuple[float, Any]:
    """Shortest of some repeats in processor time, and what the last returned."""
    best, result = float("inf"), None
    for _ in range(repeats):
        start = time.process_time()
        result = call()
        best = min(best, time.process_time() - start)
    return best, result


def main() -> int:
    torch.set_num_threads(1)
    weat, missed = Weat(), []
    columns = ("sets", "partitions", "vectorised", "loop", "ratio", "afresh", "ratio", "p", "1,000 replicates", "ratio")
    table = Table(*columns, title="WEAT permutations, processor time on one thread")
    for shape, sizes in SHAPES.items():
        readout = words(sizes)
        s, _ = associations(readout)
        targets = sizes[0] + sizes[1]
        partitions = weat.partitions(torch.arange(targets) < sizes[0]).numpy()
        fast, found = seconds(lambda readout=readout: point(weat, readout))
        slow, p = seconds(lambda s=s[:targets], n=sizes[0]: loop(s.numpy(), n, weat.exact, weat.samples), 1)
        sets = [part.double().numpy() for part in torch.split(readout.arrays["vector"], list(sizes))]
        slowest = seconds(lambda sets=sets, parts=partitions: afresh(sets, parts[:FEW]), 1)[0] * len(partitions) / FEW
        rows, _ = seconds(lambda readout=readout: [*measure({"weat": weat}, Subject("base", readout), Bootstrap())], 1)
        table.add_row(shape, f"{len(partitions):,}", f"{fast * 1e3:.0f} ms", f"{slow * 1e3:.0f} ms",
                      f"{slow / fast:.0f}×", f"{slowest:.1f} s", f"{slowest / fast:.0f}×",
                      f"{found['permutation_p']:.4f}", f"{rows:.2f} s", f"{1001 * slow / rows:.0f}×")  # fmt: skip
        for ratio, least in ((slow / fast, LEAST_RATIO), (1001 * slow / rows, LEAST_WITH_REPLICATES)):
            if ratio < least:
                missed.append(f"{shape}: {ratio:.1f} times the loop, wanted {least:g}")
        if abs(found["permutation_p"] - p) > 1e-12 and comb(targets, sizes[0]) <= weat.exact:
            missed.append(f"{shape}: p is {found['permutation_p']}, one at a time {p}")
    Console(width=140).print(table, *missed, sep="\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
