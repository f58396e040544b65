"""The laws every measure obeys, as functions that raise AssertionError; for plug-ins of any tree.

`check_measure(MyMeasure())` runs them all on toys that this file makes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from evenhand.core.case import Case, Outcome
from evenhand.core.declared import Facts, facts_of
from evenhand.core.measure import Measure
from evenhand.core.measuring import point
from evenhand.core.readout import Readout

Toy = tuple[Readout, Readout | None]
"""A readout to measure and the unedited model's."""
_GROUPS = ("north", "south")
_NAMES = 6


def check_measure(measure: Measure, rigged: Sequence[Toy] = (), symmetric: Sequence[Toy] = ()) -> None:
    """Check one measure on every kind of outcome it declares.

    `rigged` adds toys that reach the ends of its range, `symmetric` ones that must give exactly its neutral value.
    """
    assert measure.kinds, "a measure must name the kinds of outcome it is defined for"
    for kind in measure.kinds:
        check_statistics(measure, kind)
        check_neutral(measure, kind, [each for each in symmetric if each[0].kind == kind])
        for law in (check_nothing, check_swap, check_weights, check_order, check_undefined):
            law(measure, kind)
    check_range(measure, rigged)


def toy(
    kind: Outcome, seed: int = 0, shift: float = 0.0, facts: Facts | None = None, examples: Sequence[str] = ()
) -> Readout:
    """Return random answers of two groups of six names, some invalid; `shift` is added for the first group.

    The cases carry every combination of the values of `facts` in turn, the first fact changing fastest; generated ones
    get two texts each, drawn from `examples`.
    """
    draw = torch.Generator().manual_seed(seed)
    cases = _cases(facts)
    n, each = len(cases), 5 if kind == "number" else 1
    row = torch.arange(n).repeat_interleave(each)
    value = torch.rand(n * each, generator=draw, dtype=torch.float64)
    if kind == "number":
        value = (10 * value + shift).round(decimals=1) + 1
    if kind == "text":
        value = (value > 0.5).double()
    valid = 0.5 + 0.5 * torch.rand(n, generator=draw, dtype=torch.float64)
    mass = valid[row] / each if kind == "number" else torch.ones(n, dtype=torch.float64)
    if kind == "embedding":
        value, mass, row = value[:0], mass[:0], row[:0]
    arrays = _arrays(kind, valid, draw)
    few = torch.rand(n, 2, generator=draw).mul(len(examples)).long() if kind == "text" and examples else torch.empty(0)
    return Readout(
        kind, cases, _GROUPS, value, mass, row, {"valid": valid, "refusal": (1 - valid) / 2, "open": (1 - valid) / 2},
        torch.ones(n, dtype=torch.bool), arrays=arrays,
        answers=tuple(tuple(examples[int(i)] for i in each) for each in few),
    )  # fmt: skip


def _cases(facts: Facts | None) -> tuple[Case, ...]:
    return tuple(
        Case(f"{group}{i}", "A text.", "here", "one", group, f"{group}{i}", options=("a", "b", "c"), favourable=i % 3,
             facts=_facts(facts, g * _NAMES + i))
        for g, group in enumerate(_GROUPS)
        for i in range(_NAMES)
    )  # fmt: skip


def _arrays(kind: Outcome, valid: Float[Tensor, " case"], draw: torch.Generator) -> dict[str, Tensor]:
    """Return what answers of this kind carry per case, random."""
    n = len(valid)
    logp = torch.rand(n, 3, generator=draw, dtype=torch.float64).mul(0.3).log()
    tokens = 3 + torch.arange(n)
    if kind == "sentence":
        return {"logp": -10 * valid, "tokens": tokens, "kl": valid, "agree": tokens - 1}
    if kind == "embedding":
        return {"vector": torch.randn(n, 8, generator=draw, dtype=torch.float64), "tokens": tokens}
    per_option = tokens[:, None] + torch.arange(3).double()
    arrays = {"logp": logp, "tokens": per_option}
    if kind == "choice":
        arrays["greedy"] = (logp > logp.median()).double()
    if kind == "pair":
        arrays |= {"logp_shared": 2 * logp, "shared": per_option - 1, "logp_changed": logp.flip(0)}
        arrays |= {"changed": torch.ones(n, 3).double(), "fill": logp.flip(1), "logp_fill": 1.1 * logp.flip(1)}
    return arrays


def _facts(facts: Facts | None, number: int) -> tuple[tuple[str, str], ...]:
    """Return the facts of one case: the digits of its number, each in the base of how many values a fact has."""
    found: list[tuple[str, str]] = []
    for name, values in (facts or {}).items():
        number, digit = divmod(number, len(values))
        found.append((name, values[digit]))
    return tuple(found)


def permuted(readout: Readout, order: Int[Tensor, " case"]) -> Readout:
    """Return the readout with its cases in another order."""
    place = order.argsort()
    atoms = place[readout.row].argsort(stable=True)
    return dataclasses.replace(
        readout,
        cases=tuple(readout.cases[int(i)] for i in order),
        value=readout.value[atoms],
        mass=readout.mass[atoms],
        row=place[readout.row][atoms],
        shares={name: share[order] for name, share in readout.shares.items()},
        defined=readout.defined[order],
        arrays={name: array[order] for name, array in readout.arrays.items()},
        answers=tuple(readout.answers[int(i)] for i in order) if readout.answers else (),
    )


def check_statistics(measure: Measure, kind: Outcome) -> None:
    """Statistics are float64, one row per case; values are named, one per weighting, in any batch shape."""
    readout = _toy(measure, kind)
    stats = measure.per_case(readout, readout)
    assert stats.dtype == torch.float64, f"statistics must be float64, not {stats.dtype}"
    assert stats.ndim == 2, f"statistics must be [case, stat], not {tuple(stats.shape)}"
    assert len(stats) == len(readout), f"{len(stats)} rows of statistics for {len(readout)} cases"
    weights = torch.ones(2, 3, len(readout), dtype=torch.float64)
    for key, value in measure.combine(stats.nan_to_num(), weights).items():
        assert value.shape == (2, 3), f"{key}: shape {tuple(value.shape)} for weights of batch shape (2, 3)"
    single = measure.combine(stats.nan_to_num(), weights[0, 0])
    assert all(value.ndim == 0 for value in single.values()), "one weighting must give one value"


def check_neutral(measure: Measure, kind: Outcome, symmetric: Sequence[Toy] = ()) -> None:
    """Where both groups (or both models) answer the same, or on toys of its own, the value is the neutral one."""
    if math.isnan(measure.neutral):
        return
    same = _symmetric(kind)
    for each in symmetric or [(same, same)]:
        values = point(measure, *each)
        got = _main(values)
        assert math.isclose(got, measure.neutral, abs_tol=1e-12), f"{got} on a symmetric toy, not {measure.neutral}"
        for key, neutral in getattr(measure, "neutrals", {}).items():
            assert math.isnan(values[key]) or math.isclose(values[key], neutral, abs_tol=1e-9), (
                f"{key}: {values[key]} on a symmetric toy, not {neutral}"
            )


def check_nothing(measure: Measure, kind: Outcome) -> None:
    """Without cases, or with only undefined ones, every value is NaN: never 0."""
    readout = _toy(measure, kind)
    empty = readout.where(lambda case: False)
    stats = measure.per_case(readout, readout)
    nothing = measure.combine(torch.zeros_like(stats), torch.zeros(1, len(readout), dtype=torch.float64))
    for values in (point(measure, empty, readout), {key: float(value) for key, value in nothing.items()}):
        assert all(math.isnan(value) for value in values.values()), f"no data gave {values}, not NaN"


def check_swap(measure: Measure, kind: Outcome) -> None:
    """When the two groups change places, the value does what `swap` says."""
    readout = _toy(measure, kind, shift=3.0)
    before, after = point(measure, readout, readout), point(measure, readout.between(*_GROUPS[::-1]), readout)
    for key, value in before.items():
        expected = {"negate": -value, "reciprocal": 1 / value if value else math.nan, "same": value}[measure.swap]
        assert _close(after[key], expected), (
            f"{key}: {value} became {after[key]} when groups swapped, expected {expected} ({measure.swap})"
        )


def check_weights(measure: Measure, kind: Outcome) -> None:
    """Integer weights give what writing out each case as often as its weight gives."""
    readout = _toy(measure, kind, shift=3.0)
    stats = measure.per_case(readout, readout)
    draw = torch.Generator().manual_seed(1)
    for _ in range(5):
        weights = torch.randint(0, 4, (len(readout),), generator=draw)
        weights[[0, 1, -2, -1]] += 1
        short = measure.combine(stats, weights.double())
        long = measure.combine(stats.repeat_interleave(weights, dim=0), torch.ones(int(weights.sum())).double())
        for key, value in short.items():
            assert _close(float(value), float(long[key])), f"{key}: weighted {value}, written out {long[key]}"


def check_order(measure: Measure, kind: Outcome) -> None:
    """The order of the cases does not matter."""
    readout = _toy(measure, kind, shift=3.0)
    before = point(measure, readout, readout)
    for seed in range(3):
        shuffled = permuted(readout, torch.randperm(len(readout), generator=torch.Generator().manual_seed(seed)))
        after = point(measure, shuffled, shuffled)
        assert all(_close(after[key], value) for key, value in before.items()), f"{before} became {after}, reordered"


def check_undefined(measure: Measure, kind: Outcome) -> None:
    """A case whose statistics are undefined weighs nothing: leaving it out of the readout gives the same values."""
    readout = _toy(measure, kind, shift=3.0)
    whole = point(measure, readout, readout)
    defined = readout.defined.clone()
    defined[[1, 7]] = False
    shares = {**readout.shares, "valid": readout.shares["valid"].clone(), "open": readout.shares["open"].clone()}
    shares["open"][[1, 7]] += shares["valid"][[1, 7]] - 0.1
    shares["valid"][[1, 7]] = 0.1
    arrays = dict(readout.arrays)
    arrays["tokens"] = torch.where(defined.reshape(-1, *[1] * (arrays["tokens"].ndim - 1)), arrays["tokens"], 0)
    broken = dataclasses.replace(readout, defined=defined, shares=shares, arrays=arrays)
    left_out = measure.per_case(broken, readout).isnan().any(dim=1)
    kept = {case.id for i, case in enumerate(broken.cases) if not bool(left_out[i])}
    with_it, without = point(measure, broken, readout), point(measure, broken.where(lambda c: c.id in kept), readout)
    for key, value in with_it.items():
        assert _close(value, without[key]), f"{key}: {value} with undefined cases, {without[key]} without them"
        known = not math.isnan(whole[key])
        assert not (known and math.isnan(value)), f"{key}: one undefined case made everything undefined"


def check_range(measure: Measure, rigged: Sequence[Toy] = ()) -> None:
    """Values stay inside the declared range on random toys and reach both its ends on rigged ones."""
    if measure.range is None:
        return
    low, high = measure.range
    for kind in measure.kinds:
        free = [
            point(measure, _toy(measure, kind, seed, shift), _toy(measure, kind))
            for seed in range(5)
            for shift in (-50.0, 0.0, 50.0)
        ]
        ends = [point(measure, *each) for each in (*_rigged(measure, kind), *rigged) if each[0].kind == kind]
        values = [_main(each) for each in [*free, *ends]]
        known = [value for value in values if not math.isnan(value)]
        assert all(low - 1e-9 <= value <= high + 1e-9 for value in known), f"{kind}: values leave [{low}, {high}]"
        assert _close(min(known), low), f"{kind}: the toys reach {min(known)}, not the lower end {low}; give `rigged`"
        assert _close(max(known), high), f"{kind}: the toys reach {max(known)}, not the upper end {high}; give `rigged`"


def _toy(measure: Measure, kind: Outcome, seed: int = 0, shift: float = 0.0) -> Readout:
    return toy(kind, seed, shift, facts_of(measure), getattr(measure, "examples", ()))


def _symmetric(kind: Outcome) -> Readout:
    """Return a toy where each name of one group has a twin with the same answers in the other; nothing was edited."""
    one = toy(kind)
    half, each = _NAMES, len(one.value) // len(one)

    def twice(tensor: Tensor, size: int) -> Tensor:
        return torch.cat([tensor[:size], tensor[:size]])

    arrays = {name: twice(array, half) for name, array in one.arrays.items()}
    return dataclasses.replace(
        one,
        value=twice(one.value, half * each),
        mass=twice(one.mass, half * each),
        shares={name: twice(share, half) for name, share in one.shares.items()},
        arrays=arrays | {"kl": torch.zeros(len(one), dtype=torch.float64)},
    )


def _rigged(measure: Measure, kind: Outcome) -> list[Toy]:
    """Return toys at the ends: all or no answers valid, right, offered, usual; one group gets everything."""
    base = _toy(measure, kind)
    toys: list[Toy] = []
    for share, right in ((1.0, True), (0.0, False)):
        valid = torch.full((len(base),), share, dtype=torch.float64)
        lift = 0.0 if right else 1e6
        first = torch.tensor([case.group == _GROUPS[0] for case in base.cases])
        value = torch.where(first[base.row] == right, 1.0, 0.0).double() + lift
        arrays = base.arrays | ({"logp": _logp(base, right)} if kind == "choice" else {})
        everyone = torch.full_like(value, 0.5) if right else value
        for answers in (value, everyone):
            readout = dataclasses.replace(
                base, value=answers, shares={"valid": valid, "other": 1 - valid}, arrays=arrays,
                defined=torch.ones(len(base), dtype=torch.bool),
            )  # fmt: skip
            toys += [(readout, readout), (readout, base)]
    return toys


def _logp(readout: Readout, right: bool) -> Float[Tensor, "case opt"]:
    """All mass on the favourable option, or next to none on any and least on that one."""
    favourable = torch.tensor([case.favourable for case in readout.cases])[:, None]
    out = torch.full((len(readout), 3), -800.0 if right else -750.0, dtype=torch.float64)
    return out.scatter(1, favourable, 0.0 if right else -800.0)


def _main(values: dict[str, float]) -> float:
    """The main value: `value`, or the first where several stand side by side."""
    return values.get("value", next(iter(values.values())))


def _close(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)
