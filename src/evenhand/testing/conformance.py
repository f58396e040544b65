"""The laws every locator, method and edit obeys, as functions that raise AssertionError; for plug-ins of any tree.

`check_locator("my/locator.py", lm, bias)` and `check_method("my/method.py", lm, bias, utility)` are what our own test
suite calls for every file in `locate/` and `methods/`. `check_beats_random("my/method.py")` asks for more: that it
finds units which carry a gap, on a toy made for that (`evenhand.testing.rigged`).
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evenhand import find
from evenhand.core.bootstrap import Bootstrap
from evenhand.core.case import Case
from evenhand.core.contracts import Method
from evenhand.core.edit import Edit
from evenhand.core.errors import CannotRun
from evenhand.core.measure import Subject
from evenhand.core.measuring import measure
from evenhand.core.progress import silent
from evenhand.core.readout import Readout
from evenhand.core.scenario import Scenario
from evenhand.edits import _file
from evenhand.edits.scale import Scale
from evenhand.lm.model import LM
from evenhand.lm.read import Reading, read
from evenhand.lm.scoring.forward import score_options
from evenhand.study.readings import read_edits
from evenhand.study.sweep import dose_of
from evenhand.testing.rigged import Rigged, rigged

_DRAWS = 19
"""Random edits a method must beat, every one of them: one that chooses blindly does so one time in 20 (of three draws
it beats all one time in 4)."""


def check_settings(kind: find.Kind, name: str) -> Any:
    """Build a plug-in without arguments and again from its own fields after a trip through JSON; return it."""
    built = find.build(kind, name)
    assert dataclasses.is_dataclass(built), f"{name}: must be a frozen dataclass"
    fields = json.loads(json.dumps(dataclasses.asdict(built)))  # type: ignore[call-overload]
    again = find.build(kind, name, {key: _tuples(value) for key, value in fields.items()})
    assert built == again, f"{name}: fields do not survive JSON"
    assert getattr(type(built), "__dataclass_params__").frozen, f"{name}: must be frozen"  # noqa: B009
    return built


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value  # pyright: ignore[reportUnknownVariableType]


def state(lm: LM) -> dict[str, Any]:
    """Return everything that fitting must leave as it was: bits, gradients, flags, hooks, random state."""
    return {
        "bits": {n: p.detach().contiguous().view(torch.uint8).clone() for n, p in lm.model.named_parameters()},
        "flags": {n: (p.requires_grad, p.grad is None) for n, p in lm.model.named_parameters()},
        "training": [m.training for m in lm.model.modules()],
        "attention": getattr(lm.model.config, "_attn_implementation", None),
        "hooks": [(len(m._forward_pre_hooks), len(m._forward_hooks)) for m in lm.model.modules()],
        # Python's own `random` is left out: run-time type checkers draw from it.
        "random": (torch.get_rng_state(), np.random.get_state()[1].tobytes()),  # type: ignore[index, union-attr]
        "edits": list(lm.edits),
        "asked": (lm.asking, lm.decoding),
    }


@contextmanager
def untouched(lm: LM, what: str) -> Generator[None]:
    """Raise when anything `state` records differs after the block."""
    before = state(lm)
    yield
    after = state(lm)
    for key, old in before.items():
        assert _same(old, after[key]), f"{what} changed the model's {key}"


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(v, b[k]) for k, v in a.items())  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(a, tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return a == b


def check_locator(name: str, lm: LM, bias: Scenario) -> None:
    """Check one locator: its settings, the shape and finiteness of its scores, same seed same scores, no traces.

    One that is for some kinds of model only names them in `models`, and has to refuse the others by CannotRun.
    """
    locator = check_settings("locate", name)
    if lm.kind not in getattr(locator, "models", (lm.kind,)):
        with untouched(lm, name):
            _check_refuses(lambda: locator.score(lm, bias), name)
        return
    with untouched(lm, name):
        first = locator.score(lm, bias)
        second = locator.score(lm, bias)
        one, other = torch.cat([*first.pieces()]), torch.cat([*second.pieces()])
    assert first.layout == lm.layout(locator.space), f"{name}: scores another layout than the model's {locator.space}"
    assert one.shape == (first.layout.size,), f"{name}: {len(one)} scores for {first.layout.size} units"
    assert torch.equal(one, other), f"{name}: two runs differ"
    assert bool(one.isfinite().all()), f"{name}: {int((~one.isfinite()).sum())} scores are not finite"
    assert float(one.std()) > 0, f"{name}: all units have the same score"


def _check_refuses(call: Callable[[], object], name: str) -> None:
    try:
        call()
    except CannotRun:
        return
    raise AssertionError(f"{name}: takes a kind of model that is not among its `models`")


def check_method(name: str, lm: LM, bias: Scenario, utility: Scenario) -> None:
    """Check one method: settings, no traces, same seed same edit, path of the asked sizes, and the laws of its edit.

    One that is for some kinds of model only names them in `models`, and has to refuse the others by CannotRun. One
    whose defaults train for long names settings in `quick` with which it is checked instead.
    """
    method = check_settings("methods", name)
    if lm.kind not in getattr(method, "models", (lm.kind,)):
        with untouched(lm, name):
            _check_refuses(lambda: method.fit(lm, bias, utility), name)
        return
    method = dataclasses.replace(method, **getattr(method, "quick", {}))
    sizes = [0, 1, 3, 8]
    with untouched(lm, name):
        edit, again = method.fit(lm, bias, utility), method.fit(lm, bias, utility)
        path = method.path(lm, bias, utility, sizes)
    assert _same(edit.tensors(), again.tensors()), f"{name}: the same seed gave another edit"
    assert len(path) == len(sizes), f"{name}: path returned {len(path)} edits for {len(sizes)} sizes"
    for size, candidate in zip(sizes, path, strict=True):
        if isinstance(candidate, Scale):
            assert len(candidate.selection) == size, f"{name}: asked for {size} units, got {len(candidate.selection)}"
    check_edit(path[-1], lm, bias.cases)
    nothing = path[0]
    before = _answers(lm, bias.cases)
    with nothing.applied(lm):
        assert torch.equal(_answers(lm, bias.cases), before), f"{name}: an empty selection is not the identity"


def check_beats_random(name: str | Method, toy: Rigged | None = None) -> None:
    """Check that a method lowers |gap| on names it has not seen, and by more than random units do.

    `name` is a method's name, its file, or the method itself where it needs settings; `toy` is by default that of
    `evenhand.testing.rigged`. The method is asked for as many units as carry the gap there, or for its own dose; beside
    it stand 19 random edits of the same size (`Edit.control`). |gap| is that of the standardised mean difference, mean
    over contexts and groups, and must be there to begin with.
    """
    method: Method = find.build("methods", name) if isinstance(name, str) else name
    toy = rigged() if toy is None else toy
    dose = dose_of(method)
    size = len(toy.carriers[method.space]) if method.space is not None else dose.own if dose is not None else 0
    (edit,) = method.path(toy.lm, toy.bias, toy.utility, [size])
    draws = [edit.control(seed) for seed in range(_DRAWS)]
    first = draws[0]
    assert not isinstance(first, Scale) or len(first.selection) == size, (
        f"{name}: asked for {size} units, got {edit.describe()}"
    )
    edits = [edit, *(draw for draw in draws if draw is not None)]
    before = _absolute_gap(read(toy.lm, toy.report))
    after, *others = (_absolute_gap(said) for said in read_edits(toy.lm, toy.report, edits, Reading(), silent))
    assert before > 0, f"{name}: there is no gap on the report names to lower (|gap| {before:.3f})"
    assert after < min([before, *others]), f"{name}: |gap| {before:.4f} became {after:.4f}" + (
        f"; random units make it {min(others):.4f} to {max(others):.4f}" if others else ""
    )


def _absolute_gap(readouts: list[Readout]) -> float:
    """Mean of |standardised mean difference| over contexts and groups; each is a mean over variations."""
    gap = {"gap": find.build("measures", "standardised_mean_difference")}
    rows = [row for r in readouts for row in measure(gap, Subject("model", r), Bootstrap(20))]
    found = [abs(row.estimate.value) for row in rows if row.key == "value" and not row.variation]
    return sum(found) / len(found) if found else float("nan")


def check_edit(edit: Edit, lm: LM, cases: tuple[Case, ...]) -> None:
    """Check an edit that selects something: it changes the model, reverts to the bit, survives its file."""
    before = _answers(lm, cases)
    with untouched(lm, edit.describe()):
        with edit.applied(lm):
            changed = _answers(lm, cases)
        try:
            with edit.applied(lm):
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass
    assert not torch.equal(changed, before), f"{edit.describe()}: the model is the same with and without it"
    with tempfile.TemporaryDirectory() as folder:
        _file.save(edit, Path(folder) / "edit", lm.identity.to_json(), {})
        loaded = _file.load_edit(Path(folder) / "edit", lm)
    with loaded.applied(lm):
        assert torch.equal(_answers(lm, cases), changed), f"{edit.describe()}: differs after saving and loading"


def _answers(lm: LM, cases: tuple[Case, ...]) -> Tensor:
    """Log-likelihood of two fixed continuations of some prompts: enough to see any edit."""
    some = [dataclasses.replace(case, options=(" 1", " yes"), favourable=0) for case in cases[:6]]
    return torch.cat(score_options(lm, some)[0])
