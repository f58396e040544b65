"""Exact causal scores against switching units off one at a time, at all positions and at the last."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from evenhand.core.component import Selection
from evenhand.core.errors import CannotRun, UsageError
from evenhand.lm.attribution.held import exact
from evenhand.lm.attribution.knockouts import knockouts
from evenhand.lm.attribution.objective import favourable_rows
from evenhand.lm.batches.logits import NoneFits
from evenhand.locate.ablation import Ablation
from evenhand.locate.contrast import Contrast
from evenhand.testing.conformance import untouched
from evenhand.testing.tiny import CAUSAL_NAMES, MOE_NAMES, tiny_lm
from oracles.knockouts import gap, without, without_at_last
from oracles.people import use_case

FEW = {"a": ["Hunter", "Jo"], "b": ["DaShawn", "Mary Ann"]}
SHORT = use_case(people=FEW).only(variations=["car"])
SPACES = [(name, "neuron") for name in ("gpt2", "opt", "gpt_neo", "gemma2", "bert", "t5")]
SPACES += [("qwen3", "head"), ("gpt_neox", "value"), ("t5", "row"), ("mixtral", "head")]


def _some(lm: Any, space: Any) -> Selection:
    """The first and last unit of every site, at most 24."""
    layout = lm.layout(space)
    ends = [start + i for start, site in zip(layout.starts(), layout.sites, strict=True) for i in (0, site.units - 1)]
    return Selection.of(layout, ends[:: max(1, len(ends) // 24)])


@pytest.mark.parametrize(("name", "space"), SPACES)
def test_what_a_unit_holds_equals_editing_the_weights_one_unit_at_a_time(name: str, space: Any) -> None:
    lm = tiny_lm(name)
    units = _some(lm, space)
    with untouched(lm, "ablation"):
        (found,) = exact(lm, SHORT, units)
    before = gap(lm, SHORT)
    assert found.gap == pytest.approx(before, abs=1e-4)
    changes = [before - without(lm, SHORT, Selection.of(units.layout, [int(unit)])) for unit in units.units]
    assert found.held.tolist() == pytest.approx(changes, abs=1e-4)
    assert max(map(abs, changes)) > 1e-3


@pytest.mark.parametrize("name", [*CAUSAL_NAMES, *MOE_NAMES])
def test_one_token_decode_equals_a_full_forward_with_the_unit_off_at_the_last_position(name: str) -> None:
    lm = tiny_lm(name)
    units = _some(lm, "head" if name in MOE_NAMES else "neuron")
    with untouched(lm, "ablation"):
        (found,) = exact(lm, SHORT, units, "last")
    before = gap(lm, SHORT)
    changes = [before - without_at_last(lm, SHORT, Selection.of(units.layout, [int(unit)])) for unit in units.units]
    assert found.held.tolist() == pytest.approx(changes, abs=1e-4)
    assert max(map(abs, changes)) > 1e-3


def test_scores_weigh_what_is_held_by_the_size_of_the_gaps() -> None:
    lm, scenario = tiny_lm("qwen3"), use_case(people=FEW)
    found = Ablation("head", candidates=0).score(lm, scenario)
    parts = [scenario.only(variations=[item]) for item in ("car", "lamp")]
    gaps = [gap(lm, part) for part in parts]
    assert list(found.notes["gaps"].values()) == pytest.approx(gaps, abs=1e-4)
    for unit in (0, 5, 11):
        units = Selection.of(found.layout, [unit])
        held = [before - without(lm, part, units) for before, part in zip(gaps, parts, strict=True)]
        expected = sum(one * other for one, other in zip(gaps, held, strict=True)) / sum(map(abs, gaps))
        assert float(found.scores[unit]) == pytest.approx(expected, abs=1e-4)
    assert found.notes["measured"] == found.layout.size


def test_batches_of_any_size_give_the_same_scores() -> None:
    lm = tiny_lm("gemma2")
    part = use_case().only(variations=["car"])
    for positions in ("all", "last"):
        lm.budget = 8192
        whole = Ablation("head", positions, candidates=0).score(lm, part).scores
        lm.budget = 48
        torch.testing.assert_close(
            Ablation("head", positions, candidates=0).score(lm, part).scores, whole, atol=1e-5, rtol=1e-4
        )


def test_units_that_are_not_measured_keep_their_place_behind_those_that_carry_the_gap() -> None:
    lm = tiny_lm("gpt2")
    guessed = Contrast().score(lm, SHORT).scores
    found = Ablation(candidates=20).score(lm, SHORT)
    best = Selection.of(found.layout, guessed.argsort(descending=True)[:20])
    (part,) = exact(lm, SHORT, best)
    torch.testing.assert_close(
        found.scores[best.units], (part.held * part.gap / abs(part.gap)).float(), atol=1e-5, rtol=1e-4
    )
    others = ~best.mask
    carriers = found.scores[best.units][found.scores[best.units] > 0]
    assert 0 < float(found.scores[others].max()) <= float(carriers.min())
    assert torch.equal(found.scores[others].argsort(), guessed[others].argsort())
    assert torch.equal(found.scores[others & (guessed < 0)], guessed[others & (guessed < 0)])
    assert found.notes["measured"] == 20
    assert 0.5 < found.notes["rank_correlation"] <= 1


def test_the_first_order_score_at_the_last_position_predicts_what_is_measured_there() -> None:
    lm = tiny_lm("llama")
    notes = Ablation("value", "last", candidates=96).score(lm, SHORT).notes
    assert notes["measured"] == 96
    assert notes["rank_correlation"] > 0.9


def test_a_model_or_prompt_without_a_last_position_is_refused() -> None:
    for name in ("bert", "t5"):
        with pytest.raises(CannotRun, match="positions = 'all'"):
            Ablation(positions="last").score(tiny_lm(name), SHORT)
    with pytest.raises(UsageError, match="fewer than two tokens"):
        Ablation(positions="last").score(tiny_lm("llama"), use_case("pair"))


def test_rows_longer_than_the_context_are_refused_before_anything_runs() -> None:
    lm = tiny_lm("gpt2")
    rows = favourable_rows(lm, SHORT)
    lm.model.config.n_positions = 5
    try:
        with pytest.raises((CannotRun, NoneFits), match="sees at most 5"):
            knockouts(lm, rows, Selection.of(lm.layout("neuron"), [0]))
    finally:
        lm.model.config.n_positions = 512


def test_no_unit_leaves_the_outcome_alone() -> None:
    lm = tiny_lm("gpt2")
    base, without_any = knockouts(lm, favourable_rows(lm, SHORT), Selection.of(lm.layout("neuron"), []))
    assert without_any.shape == (0, len(SHORT.cases))
    assert base.shape == (len(SHORT.cases),)
    assert bool(base.isfinite().all())


@pytest.mark.parametrize("positions", ["all", "last"])
def test_nothing_is_left_behind_when_it_is_interrupted(positions: Any) -> None:
    lm = tiny_lm("gpt2")
    runs: list[int] = []

    def interrupt(module: Any, args: Any) -> None:
        runs.append(1)
        if len(runs) == 4:  # the model as it stands came before: units are being switched off
            raise KeyboardInterrupt

    handle = lm.module(lm.layout("neuron").sites[-1].path).register_forward_pre_hook(interrupt)
    with untouched(lm, "an interrupted ablation"), pytest.raises(KeyboardInterrupt):
        Ablation("head", positions, candidates=0).score(lm, SHORT)
    handle.remove()
    assert not any("forward" in vars(module) for module in lm.model.modules())
