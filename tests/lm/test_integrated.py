"""Integrated gradients of a layer against one step, one sequence, one full forward at a time; and its completeness."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.scenario import Scenario
from evenhand.lm.attribution import begun
from evenhand.lm.attribution import integrated as engine
from evenhand.lm.attribution.integrated import integrate
from evenhand.lm.attribution.objective import favourable_rows
from evenhand.lm.attribution.paths import Path, mean_inputs
from evenhand.lm.attribution.rows import Row, Target, continuation_rows
from evenhand.lm.model import LM
from evenhand.testing.conformance import state
from evenhand.testing.tiny import tiny_lm
from oracles import integrated_gradients as oracle
from oracles.gates import writer_inputs
from oracles.people import use_case


def _few() -> Scenario:
    """Two cases with names of different length."""
    return use_case(people={"a": ["Jo"], "b": ["DaShawn"]}).only(variations=["car"])


def _answers(lm: LM) -> list[Row]:
    """An option of several tokens after the shortest and the longest prompt."""
    by_length = sorted(use_case().cases, key=lambda case: len(lm.tokenizer(case.prompt)["input_ids"]))
    cases = [by_length[0], by_length[-1]]
    rows = [row for i, c in enumerate(cases) for row in continuation_rows(lm, i, c.prompt, [c.options[2]], [1.0])]
    assert len({len(row.ids) for row in rows}) > 1, "rows must differ in length for this to test padding"
    assert sum(len(row.targets) for row in rows) > 2, "answers must be of several tokens"
    return rows


@pytest.mark.parametrize("name", ["llama", "gpt2", "opt", "gemma2", "bert", "t5"])
@pytest.mark.parametrize(
    ("rule", "steps", "tokens", "outcome"),
    [("riemann", 5, "last", "probability"), ("gauss", 3, "all", "log")],
)
def test_attributions_are_those_of_the_loop(name: str, rule: Any, steps: int, tokens: Any, outcome: Any) -> None:
    lm = tiny_lm(name)
    layout = lm.layout("neuron")
    rows = _answers(lm) if outcome == "probability" else favourable_rows(lm, _few())
    path = Path(rule, steps, tokens, outcome)
    if rule == "gauss":
        path = replace(path, baseline=mean_inputs(lm, rows, layout, path))
    found = integrate(lm, rows, layout, path)
    starts = layout.starts()
    for i, case in enumerate(found.cases):
        mine = [row for row in rows if row.case == case]
        value = float(oracle.case_outcome(lm, mine, outcome == "probability").detach())
        assert float(found.value[i]) == pytest.approx(value, rel=1e-4)
        for s, site in enumerate(layout.sites):
            begin = path.baseline.get(site.path, torch.zeros(site.units))
            expected, start = oracle.attribution(
                lm, site.path, site.stack, mine, (rule, steps), tokens, begin, outcome == "probability"
            )
            scores = found.scores[i, starts[s] : starts[s] + site.units].double()
            largest = float(expected.abs().max())
            assert largest > 1e-3 * abs(value)
            difference = float((scores - expected).abs().max()) / largest  # a probability of many tokens is tiny
            print(f"{name} {site.path}: {difference:.1e} of the largest attribution")  # noqa: T201 - seen with -s
            assert difference < 2e-5
            assert float(found.start[i, s]) == pytest.approx(start, rel=1e-4)


def test_completeness_error_falls_with_the_nodes_and_eight_beat_twenty_steps() -> None:
    for name in ("llama", "bert"):
        lm = tiny_lm(name)
        rows = favourable_rows(lm, _few())[:2]
        errors = {
            rule: float(integrate(lm, rows, lm.layout("neuron"), Path(*rule)).error.mean())
            for rule in [("gauss", 1), ("gauss", 2), ("gauss", 4), ("gauss", 8), ("riemann", 5), ("riemann", 20)]
        }
        print(name, {f"{rule} {n}": f"{error:.1e}" for (rule, n), error in errors.items()})  # noqa: T201 - seen with -s
        assert errors["gauss", 1] > errors["gauss", 2] > 2 * errors["gauss", 4] > 4 * errors["gauss", 8]
        assert errors["riemann", 5] > 2 * errors["riemann", 20] > 20 * errors["gauss", 8]


def test_the_error_is_that_of_a_sum_over_the_layer() -> None:
    lm = tiny_lm("gpt2")
    found = integrate(lm, _answers(lm), lm.layout("neuron"), Path("riemann", 3, outcome="probability"))
    for s, start in enumerate(found.layout.starts()):
        sums = found.scores[:, start : start + 48].double().sum(1)
        torch.testing.assert_close(found.error[:, s], (sums - (found.value - found.start[:, s])).abs())
    assert bool((found.error > 1e-3 * found.value[:, None]).any())


def test_heads_and_attention_values_are_walked_as_well() -> None:
    lm = tiny_lm("gpt2")
    rows = favourable_rows(lm, _few())
    heads, values = (integrate(lm, rows, lm.layout(space), Path()) for space in ("head", "value"))
    width = heads.layout.sites[0].width
    torch.testing.assert_close(values.scores.reshape(len(heads.cases), -1, width).sum(2), heads.scores)
    assert float((heads.error / heads.moved.abs()).max()) < 1e-2
    with pytest.raises(UsageError, match="not of rows"):
        integrate(lm, rows, lm.layout("row"), Path())


@pytest.mark.parametrize("name", ["llama", "t5"])
def test_the_model_is_left_as_it_was(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_lm(name)
    next(iter(lm.model.parameters())).requires_grad_(False)
    next(iter(lm.model.children())).train()
    before = state(lm)
    found = integrate(lm, _answers(lm), lm.layout("neuron"), Path())
    assert not found.scores.requires_grad
    monkeypatch.setattr(engine, "_gradient", lambda *_: 1 // 0)  # stopped in the middle, as by an interrupt
    with pytest.raises(ZeroDivisionError):
        integrate(lm, _answers(lm), lm.layout("neuron"), Path())
    assert str(before) == str(state(lm))


def test_small_budgets_and_lack_of_memory_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_lm("llama")
    rows = favourable_rows(lm, _few())
    whole = integrate(lm, rows, lm.layout("neuron"), Path(tokens="all"))
    plain, seen = begun.target_scores, list[int]()

    def scores(lm: LM, rows: Any, given: Any) -> torch.Tensor:
        seen.append(len(rows))
        if len(rows) > 4:
            raise torch.OutOfMemoryError("no more")
        return plain(lm, rows, given)

    monkeypatch.setattr(begun, "target_scores", scores)
    tight = integrate(lm, rows, lm.layout("neuron"), Path(tokens="all"))
    assert max(seen) > 4
    lm.budget, least = 4 * 26, len(seen)
    small = integrate(lm, rows, lm.layout("neuron"), Path(tokens="all"))
    assert max(seen[least:]) <= 4, "a budget must be enough to stay within the memory"
    for found in (tight, small):
        assert found.cases == whole.cases
        torch.testing.assert_close(found.scores, whole.scores, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found.start, whole.start, atol=1e-5, rtol=1e-4)
    monkeypatch.setattr(begun, "target_scores", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("no more")))
    with pytest.raises(CannotRun, match="out of memory with a single row"):
        integrate(lm, rows, lm.layout("neuron"), Path(tokens="all"))


@pytest.mark.parametrize("name", ["gpt_neo", "mistral", "qwen3"])
def test_prompts_read_once_are_prompts_read_every_time(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lm, layout = tiny_lm(name), tiny_lm(name).layout("neuron")
    rows = favourable_rows(lm, _few())
    assert engine._at_the_end(lm, rows)
    once = integrate(lm, rows, layout, Path())
    monkeypatch.setattr(engine, "_at_the_end", lambda *_: False)
    every = integrate(lm, rows, layout, Path())
    torch.testing.assert_close(once.scores, every.scores, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(once.start, every.start, atol=1e-5, rtol=1e-5)


def test_sentences_are_predicted_from_their_start_so_nothing_is_read_once() -> None:
    lm = tiny_lm("gpt2")
    rows = favourable_rows(lm, use_case("pair", people={"a": ["Jo"], "b": ["Al"]}).only(variations=["car"]))
    assert not engine._at_the_end(lm, rows)
    found = integrate(lm, rows, lm.layout("neuron"), Path())
    for i, case in enumerate(found.cases):
        mine = [row for row in rows if row.case == case]
        assert float(found.value[i]) == pytest.approx(float(oracle.case_outcome(lm, mine, False).detach()), abs=1e-4)


def test_a_writer_without_a_gradient_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_lm("llama")
    lm.module("model.layers.1.mlp.down_proj").register_forward_hook(lambda module, args, output: output.detach())
    with pytest.raises(CannotRun, match=r"layers\.1\.mlp\.down_proj: no gradient reaches"):
        integrate(lm, _answers(lm), lm.layout("neuron"), Path())


def test_the_published_grid_is_the_left_one_and_nodes_lie_inside() -> None:
    alpha, weight = Path("riemann", 20).nodes()
    assert alpha.tolist() == pytest.approx([k / 20 for k in range(20)])
    assert weight.tolist() == pytest.approx([1 / 20] * 20)
    alpha, weight = Path("gauss", 5).nodes()
    assert (float(alpha[0]), float(weight[0])) == (0, 0)
    assert float((weight * alpha**9).sum()) == pytest.approx(0.1)
    assert abs(float((weight * alpha**10).sum()) - 1 / 11) > 1e-7


def test_mean_inputs_are_over_the_places_of_the_path() -> None:
    lm = tiny_lm("t5")
    rows = [Row(0, (5, 6, 7), 3, (), (0, 9, 8), (Target(0, 9), Target(2, 11))), Row(1, (4,), 1, (), (0,), ())]
    rows[1] = replace(rows[1], targets=(Target(0, 12),))
    layout = lm.layout("neuron")
    alone = [writer_inputs(lm, layout, input_ids=torch.tensor([r.ids]), decoder_input_ids=torch.tensor([r.decoder]))
             for r in rows]  # fmt: skip
    for tokens in ("last", "all"):
        found = mean_inputs(lm, rows, layout, Path(tokens=tokens))  # type: ignore[arg-type]
        for site in layout.sites:
            places = [oracle.places(row, site.stack, tokens) for row in rows]
            inputs = [each[site.path][at] for each, at in zip(alone, places, strict=True)]
            torch.testing.assert_close(found[site.path], torch.cat(inputs).mean(0), atol=1e-5, rtol=1e-4)
