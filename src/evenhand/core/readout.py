"""What a model said, case by case: numbers with their mass, log-probabilities, and what was no valid answer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from evenhand.core.case import Case, Outcome

_COUNTS = ("undecided",)
"""Notes that count cases; all others say how a readout was read."""


@dataclass(frozen=True, eq=False)
class Readout:
    """Answers of one model to the cases of a scenario, in the scenario's order.

    Every answer that can be compared is an *atom*: a value, its mass, and the case it answers.
    `number`, exact: each number and its probability. `number`, sampled: each parsed answer with mass 1.
    `choice`: 1 with the share of the favourable option among the options as its mass, 0 with the rest. `pair`:
    log-likelihood of the first sentence minus that of the second (nats), mass 1. `text`: 1 for a favourable answer, 0
    for an unfavourable one, mass 1. `sentence`: log-likelihood per token (nats), mass 1. `embedding`: none.
    """

    kind: Outcome
    cases: tuple[Case, ...]
    groups: tuple[str, ...]
    """Groups in the scenario's order; the first is the reference."""
    value: Float[Tensor, " atom"]
    mass: Float[Tensor, " atom"]
    row: Int[Tensor, " atom"]
    """Index into `cases`, ascending."""
    shares: dict[str, Float[Tensor, " case"]]
    """What became of all the mass of a case; sums to 1. `valid` is always there; others: `refusal`, `no_number`,
    `range`, `truncated`, `open` (not searched), `not_number`, `other`."""
    defined: Bool[Tensor, " case"]
    """Whether the distribution of a case is known well enough for a mean (no: no valid answer, or mass left open)."""
    ddof: int = 0
    """1 where atoms are draws (their variance is a sample variance), 0 where they are a distribution."""
    arrays: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    """More per case, first axis `case`; [case, opt] is NaN-padded, log-likelihoods are in nats.

    `sentence`: `logp` and `tokens` (scored) [case], and, beside an unedited model, `kl` (sums over tokens) and `agree`
    (tokens in whose place both models find the same one most likely) [case].
    `embedding`: `vector` [case, dim] and `tokens` [case].
    `choice`, `pair`: `logp` and `tokens` [case, opt]. `choice` of a model that is not masked also `greedy` [case, opt]:
    1 where every token of the option is the most likely one.
    `pair` of two sentences from a masked model also `logp_shared`,
    `shared`, `logp_changed`, `changed` [case, opt]: sums over the tokens both sentences have and over the rest, and how
    many these are. With `Case.spans`, `fill` and `logp_fill` [case, opt]: log of the arithmetic and mean of the log of
    the probabilities of the filling's tokens, each given the text left of it, one mask and the text right of the
    blank. `text` with options: `picked` [case, opt], the share of a case's answers that picks each option."""
    answers: tuple[tuple[str, ...], ...] = ()
    """Raw text of every sampled answer, so that another parser needs no new run."""
    notes: dict[str, Any] = field(default_factory=dict[str, Any])
    """How it was read: mode, temperature, top_p, seed, node budget, chat template."""

    def __post_init__(self) -> None:
        n, atoms = len(self.cases), len(self.value)
        if len(self.mass) != atoms or len(self.row) != atoms:
            raise ValueError(f"value, mass and row have {atoms}, {len(self.mass)} and {len(self.row)} atoms")
        if atoms and (bool((self.row.diff() < 0).any()) or int(self.row[0]) < 0 or int(self.row[-1]) >= n):
            raise ValueError(f"row must ascend and lie in [0, {n})")
        if not bool((self.value.isfinite() & (self.mass >= 0)).all()):
            raise ValueError("every atom needs a finite value and a mass that is not negative")
        if "valid" not in self.shares:
            raise ValueError(f"shares must name 'valid', not only {sorted(self.shares)}")
        for name, per_case in [*self.shares.items(), *self.arrays.items(), ("defined", self.defined)]:
            if len(per_case) != n:
                raise ValueError(f"{name!r} has {len(per_case)} rows for {n} cases")
        total = torch.stack([share.double() for share in self.shares.values()]).sum(0)
        if n and float((total - 1).abs().max()) > 1e-4:
            raise ValueError(f"shares sum to {float(total.min()):.4g} to {float(total.max()):.4g}, not to 1")

    def __len__(self) -> int:
        return len(self.cases)

    def where(self, keep: Callable[[Case], bool]) -> Readout:
        """Return the readout of the cases for which `keep` is true, order kept."""
        kept = [keep(case) for case in self.cases]
        mask = torch.tensor(kept, dtype=torch.bool)
        place = mask.cumsum(0) - 1
        atoms = mask[self.row]
        return dataclasses.replace(
            self,
            cases=tuple(case for case, k in zip(self.cases, kept, strict=True) if k),
            value=self.value[atoms],
            mass=self.mass[atoms],
            row=place[self.row[atoms]],
            shares={name: share[mask] for name, share in self.shares.items()},
            defined=self.defined[mask],
            arrays={name: array[mask] for name, array in self.arrays.items()},
            answers=tuple(a for a, k in zip(self.answers, kept, strict=True) if k) if self.answers else (),
        )

    @staticmethod
    def joined(parts: Sequence[Readout]) -> Readout:
        """Return the readout of the cases of all parts, one part after another, as if they had been read at once.

        Arrays of fewer options are padded with NaN; of what a part does not have, its shares are 0 and its arrays NaN.
        Raises ValueError without parts, and for parts of another kind, of other groups or read in another way.
        """
        if not parts:
            raise ValueError("joined: expected one readout or more")
        first, sizes = parts[0], [len(part) for part in parts]
        if any(part._way != first._way for part in parts):
            raise ValueError("joined: the parts are of different kinds or groups, or were read in different ways")
        starts = [sum(sizes[:i]) for i in range(len(sizes))]
        shares = {name: None for part in parts for name in part.shares}
        arrays = {name: None for part in parts for name in part.arrays}
        return dataclasses.replace(
            first,
            cases=tuple(case for part in parts for case in part.cases),
            value=torch.cat([part.value for part in parts]),
            mass=torch.cat([part.mass for part in parts]),
            row=torch.cat([part.row + start for part, start in zip(parts, starts, strict=True)]),
            shares={name: torch.cat([part.shares.get(name, torch.zeros_like(part.shares["valid"])) for part in parts])
                    for name in shares},
            defined=torch.cat([part.defined for part in parts]),
            arrays={name: _stacked([part.arrays.get(name) for part in parts], sizes) for name in arrays},
            answers=tuple(few for part in parts for few in part.answers),
            notes=first.notes | {name: sum(part.notes[name] for part in parts) for name in _COUNTS
                                 if name in first.notes},
        )  # fmt: skip

    @property
    def _way(self) -> tuple[Any, ...]:
        """What parts of one readout have in common."""
        return self.kind, self.groups, self.ddof, {k: v for k, v in self.notes.items() if k not in _COUNTS}

    def answered(self) -> Readout:
        """Return the same cases without the atoms of those whose distribution is not known well enough."""
        known = self.defined[self.row]
        return dataclasses.replace(self, value=self.value[known], mass=self.mass[known], row=self.row[known])

    def between(self, *groups: str) -> Readout:
        """Return the readout of these groups only, in this order."""
        wanted = set(groups)
        return dataclasses.replace(self.where(lambda case: case.group in wanted), groups=groups)

    def sides(self) -> Int[Tensor, " case"]:
        """Return for each case the index of its group in `groups`."""
        place = {group: i for i, group in enumerate(self.groups)}
        return torch.tensor([place[case.group] for case in self.cases], dtype=torch.long)

    def sums(self, per_atom: Float[Tensor, " atom"]) -> Float[Tensor, " case"]:
        """Return Σ over the atoms of each case of `per_atom · mass` in float64."""
        out = torch.zeros(len(self.cases), dtype=torch.float64)
        return out.index_add(0, self.row, per_atom.double() * self.mass.double())

    def quantile(self, q: float) -> float:
        """Return the mass-weighted `q` quantile over all atoms (NaN without atoms)."""
        if not len(self.value):
            return float("nan")
        order = self.value.argsort()
        reached = self.mass[order].double().cumsum(0)
        index = int((reached < q * reached[-1] - 1e-12).sum())
        return float(self.value[order][min(index, len(order) - 1)])


def _stacked(arrays: Sequence[Tensor | None], sizes: Sequence[int]) -> Tensor:
    """Return arrays of so many cases one after another, NaN where one is narrower than others or is not there."""
    known = next(array for array in arrays if array is not None)
    filled = [known.new_full((n, *(0,) * (known.dim() - 1)), math.nan) if array is None else array
              for array, n in zip(arrays, sizes, strict=True)]  # fmt: skip
    if known.dim() == 2:
        width = max(array.shape[1] for array in filled)
        filled = [pad(array, (0, width - array.shape[1]), value=math.nan) for array in filled]
    return torch.cat(filled)
