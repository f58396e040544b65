"""Integrated gradients of neurons are captum's (0.9), by both rules, at all places and at the last one alone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path as Folder
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from torch import Tensor

from evenhand.lm.attribution.integrated import integrate
from evenhand.lm.attribution.paths import Path
from evenhand.lm.attribution.rows import Row, Target
from evenhand.lm.model import LM
from evenhand.lm.tokens import encode
from evenhand.testing.tiny import tiny_lm

RULES = {"riemann": "riemann_left", "gauss": "gausslegendre"}
_DRAWING = ("matplotlib", "matplotlib.axes", "matplotlib.collections", "matplotlib.colors", "matplotlib.figure",
            "matplotlib.image", "mpl_toolkits", "mpl_toolkits.axes_grid1", "PIL", "PIL.Image")  # fmt: skip


@pytest.fixture(scope="module")
def attr(captum: Folder) -> Any:
    """`captum.attr`, which imports what it draws with: not installed, and nothing is drawn."""
    with pytest.MonkeyPatch.context() as patch:
        for name in _DRAWING:
            patch.setitem(sys.modules, name, MagicMock())
        return import_module("captum.attr")


def _rows(lm: LM) -> list[Row]:
    """Two sequences of one length, because captum knows nothing of padding; one token is predicted at the end."""
    texts = ("Maria sold her old bicycle", "Hunter sold her old bicycle")
    ids = [encode(lm, text).ids[:6] for text in texts]
    assert len({len(each) for each in ids}) == 1
    assert ids[0] != ids[1]
    return [Row(i, each, len(each), targets=(Target(len(each) - 1, 300 + i),)) for i, each in enumerate(ids)]


def _probability(lm: LM, rows: list[Row]) -> Callable[[Tensor], Tensor]:
    """p(target) of each row; captum repeats the rows for every step."""

    def forward(ids: Tensor) -> Tensor:
        logits = lm.model(input_ids=ids).logits[:, -1].softmax(-1)
        tokens = torch.tensor([row.targets[0].token for row in rows]).repeat(len(ids) // len(rows))
        return logits[torch.arange(len(ids)), tokens]

    return forward


def _moved(lm: LM, path: str, forward: Callable[[Tensor], Tensor], ids: Tensor) -> Callable[[Tensor], Tensor]:
    """The same outcome as a function of what goes into the writer at the last so many places, [row, place, in].

    Captum's own layer attribution cannot start from zero, only from what another text puts into the layer.
    """

    def outcome(moved: Tensor) -> Tensor:
        def hook(module: Any, args: Any) -> Any:
            rows = args[0].reshape(len(moved), -1, moved.shape[-1])
            return (torch.cat([rows[:, : -moved.shape[1]], moved], 1).reshape(args[0].shape), *args[1:])

        handle = lm.module(path).register_forward_pre_hook(hook)
        try:
            return forward(ids.repeat(len(moved) // len(ids), 1))
        finally:
            handle.remove()

    return outcome


def _close(name: str, found: Tensor, theirs: Tensor) -> None:
    largest = float(theirs.abs().max())
    difference = float((found - theirs).abs().max())
    print(f"{name}: largest difference {difference:.1e} of {largest:.1e}")  # noqa: T201 - seen with -s
    assert largest > 1e-4
    assert difference < 1e-5 * largest


@pytest.mark.parametrize(("rule", "steps"), [("riemann", 20), ("gauss", 8)])
@pytest.mark.parametrize(("name", "tokens"), [("llama", "last"), ("gpt2", "all"), ("bert", "last"), ("bert", "all")])
def test_attributions_and_completeness_errors_are_captums(
    attr: Any, name: str, tokens: Any, rule: Any, steps: int
) -> None:
    lm = tiny_lm(name)
    rows, layout = _rows(lm), lm.layout("neuron")
    ids = torch.tensor([row.ids for row in rows])
    generator = torch.Generator().manual_seed(0)
    begin = {site.path: torch.randn(site.units, generator=generator) / 4 for site in layout.sites[1:]}
    found = integrate(lm, rows, layout, Path(rule, steps, tokens, "probability", begin))
    for s, (site, ours) in enumerate(zip(layout.sites, found.scores.split(48, 1), strict=True)):
        inputs: list[Tensor] = []
        handle = lm.module(site.path).register_forward_pre_hook(lambda m, args, keep=inputs: keep.append(args[0]))
        outcome = _probability(lm, rows)
        with torch.no_grad():
            outcome(ids)
        handle.remove()
        whole = inputs[0].detach()[:, -1:] if tokens == "last" else inputs[0].detach()
        theirs, delta = attr.IntegratedGradients(_moved(lm, site.path, outcome, ids)).attribute(
            whole, begin.get(site.path, torch.zeros(1)).expand_as(whole), n_steps=steps, method=RULES[rule],
            return_convergence_delta=True,
        )  # fmt: skip
        _close(f"{name} {site.path} {tokens} {rule}", ours, theirs.detach().float().sum(1))
        torch.testing.assert_close(found.error[:, s].float(), delta.abs().float(), atol=1e-7, rtol=1e-2)
