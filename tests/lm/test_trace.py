"""Writer inputs and their gradients against one plain pass at a time; what tracing leaves behind; lack of memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from evenhand.core.errors import CannotRun, UsageError
from evenhand.lm.attribution import trace as tracing
from evenhand.lm.attribution.objective import favourable_rows
from evenhand.lm.attribution.rows import Row, Target, prompt_rows
from evenhand.lm.attribution.trace import Batch, trace
from evenhand.lm.tokens import encode
from evenhand.testing.conformance import state
from evenhand.testing.tiny import FAMILY_NAMES, MOE_NAMES, tiny_lm
from oracles.gates import gate_gradient, option_logp, writer_inputs
from oracles.people import use_case

SPACES = [("neuron", name) for name in FAMILY_NAMES] + [("head", name) for name in (*FAMILY_NAMES, *MOE_NAMES)]
SPACES += [("row", name) for name in FAMILY_NAMES] + [("value", name) for name in ("llama", "mixtral", "t5")]


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_captured_inputs_are_those_of_each_sequence_alone(name: str) -> None:
    lm = tiny_lm(name)
    layout, cases = lm.layout("neuron"), use_case().cases
    seen = 0
    for batch in trace(lm, prompt_rows(lm, cases), layout):
        assert len({len(row.ids) for row in batch.rows}) > 1, "rows must differ in length for this to test padding"
        for r, row in enumerate(batch.rows):
            inputs: dict[str, Any] = {"input_ids": torch.tensor([row.ids])}
            if row.decoder:
                inputs["decoder_input_ids"] = torch.tensor([row.decoder])
            for path, alone in writer_inputs(lm, layout, **inputs).items():
                torch.testing.assert_close(batch.captured[path][r, : len(alone)], alone, atol=2e-5, rtol=1e-4)
                seen += 1
    assert seen == len(cases) * len(layout.sites)


@pytest.mark.parametrize(("space", "name"), SPACES)
def test_effects_are_the_derivatives_of_gates(space: Any, name: str) -> None:
    lm = tiny_lm(name)
    part = use_case().only(variations=["car"])
    layout = lm.layout(space)
    for batch in trace(lm, favourable_rows(lm, part), layout, gradients=True):
        effects = torch.cat([batch.effect(site) for site in layout.sites], dim=1)
        values = batch.per_case(batch.objective)
        for case, effect, value in list(zip(batch.cases, effects, values, strict=True))[:3]:
            each = part.cases[case]

            def outcome(each: Any = each) -> torch.Tensor:
                first, *others = (option_logp(lm, each.prompt, option) for option in each.options)
                return first - sum(others, torch.tensor(0.0)) / len(others)

            expected, gradient = gate_gradient(lm, layout, outcome)
            assert float(value) == pytest.approx(expected, abs=1e-4)
            torch.testing.assert_close(effect.double(), gradient, atol=2e-4, rtol=1e-3)
            assert float(gradient.abs().max()) > 1e-3


@pytest.mark.parametrize("name", ["llama", "gpt2", "t5", "bert"])
def test_tracing_leaves_the_model_as_it_was(name: str) -> None:
    lm = tiny_lm(name)
    parameters = list(lm.model.parameters())
    parameters[0].grad = torch.ones_like(parameters[0])
    parameters[1].requires_grad_(False)
    next(iter(lm.model.children())).train()
    before = state(lm)
    rows = favourable_rows(lm, use_case().only(variations=["car"]))
    generator = trace(lm, rows, lm.layout("neuron"), gradients=True)
    next(generator)
    during = state(lm)  # suspended in the middle, as when the consumer raises
    for key in before:
        if key != "random":
            assert str(before[key]) == str(during[key]), key
    assert torch.equal(before["random"][0], during["random"][0])
    assert all(p.grad is None for p in parameters[1:])
    assert torch.equal(parameters[0].grad, torch.ones_like(parameters[0]))


def test_prompt_answer_and_name_are_told_apart() -> None:
    lm = tiny_lm("llama")
    case = replace(use_case().cases[0], name="DaShawn", prompt="Ask DaShawn, not DaShawna: is DaShawn well?")
    (row,) = prompt_rows(lm, [case], names=True)
    offsets = encode(lm, case.prompt).offsets
    text = "".join(case.prompt[offsets[i][0] : offsets[i][1]] for i in row.name)
    assert text.replace(" ", "") == "DaShawnDaShawn"
    assert len(row.name) > 2, "the name must be several tokens for this to test anything"
    assert list(row.places("decoder", "prompt")) == list(range(len(row.ids)))
    assert list(row.places("decoder", "answer")) == []
    answered = replace(row, ids=(*row.ids, 7, 8))
    assert list(answered.places("decoder", "answer")) == [len(row.ids), len(row.ids) + 1]
    assert len(answered.places("decoder", "all")) == len(row.ids) + 2


def test_a_decoder_beside_an_encoder_has_places_of_its_own() -> None:
    row = Row(0, (1, 2, 3), 3, (1,), (0, 5, 6))
    assert [list(row.places("encoder", t)) for t in ("all", "prompt", "answer", "name")] == [[0, 1, 2]] * 2 + [[], [1]]
    assert [list(row.places("decoder", t)) for t in ("all", "prompt", "answer", "name")] == [[0, 1, 2], [0], [1, 2], []]


def test_a_name_that_is_not_there_is_named_with_its_case() -> None:
    lm = tiny_lm("llama")
    case = replace(use_case().cases[0], id="shop/7", name="Ann")
    with pytest.raises(UsageError, match=r"'shop/7'.*'Ann'"):
        prompt_rows(lm, [replace(case, prompt="Anna sells.")], names=True)
    with pytest.raises(UsageError, match="has no name"):
        prompt_rows(lm, [replace(case, name="")], names=True)


def test_padding_is_never_masked_in() -> None:
    lm = tiny_lm("opt")
    (batch,) = trace(lm, prompt_rows(lm, use_case().cases), lm.layout("neuron"))
    counts = batch.mask(batch.layout.sites[0]).sum(1).tolist()
    assert counts == [len(row.ids) for row in batch.rows]


def test_rows_of_one_case_stay_together_and_small_budgets_change_nothing() -> None:
    lm = tiny_lm("llama")
    rows = favourable_rows(lm, use_case().only(variations=["car"]))
    layout = lm.layout("neuron")

    def effects(batches: list[Batch]) -> dict[int, torch.Tensor]:
        return {c: e for b in batches for c, e in zip(b.cases, b.effect(layout.sites[1]), strict=True)}

    whole = list(trace(lm, rows, layout, gradients=True))
    lm.budget = 4 * 40
    parts = list(trace(lm, rows, layout, gradients=True))
    assert len(whole) == 1
    assert len(parts) > 2
    for batch in parts:
        assert sum(row.case in batch.cases for row in rows) == len(batch.rows)
    small, large = effects(parts), effects(whole)
    assert small.keys() == large.keys()
    for case, effect in large.items():
        torch.testing.assert_close(small[case], effect, atol=1e-5, rtol=1e-4)


def test_when_memory_runs_out_the_budget_is_halved_and_the_user_told(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_lm("llama")
    told: list[str] = []
    lm.notify = told.append
    rows, layout = prompt_rows(lm, use_case().cases), lm.layout("neuron")
    plain = tracing._run

    def greedy(lm: Any, rows: Any, layout: Any, gradients: bool) -> Batch:
        if len(rows) > 3:
            raise torch.OutOfMemoryError("no more")
        return plain(lm, rows, layout, gradients)

    monkeypatch.setattr(tracing, "_run", greedy)
    batches = list(trace(lm, rows, layout))
    assert sorted(case for batch in batches for case in batch.cases) == list(range(len(rows)))
    assert lm.budget < 8192
    assert told
    monkeypatch.setattr(tracing, "_run", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("no more")))
    with pytest.raises(CannotRun, match="single case"):
        list(trace(lm, rows, layout))


def test_no_target_means_no_gradient() -> None:
    lm = tiny_lm("llama")
    with pytest.raises(ValueError, match="target"):
        list(trace(lm, prompt_rows(lm, use_case().cases[:1]), lm.layout("neuron"), gradients=True))


def test_a_writer_without_a_gradient_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_lm("t5")
    encoder = lm.model.get_encoder()

    def only_encoder() -> None:  # what freezing all but the encoder's embeddings does: decoder block 0 goes silent
        embeddings = encoder.get_input_embeddings()
        hook = embeddings.register_forward_hook(lambda m, i, o: o.requires_grad_(len(o[0]) > 1))
        lm.model._require_grads_hooks = [hook]

    monkeypatch.setattr(lm.model, "enable_input_require_grads", only_encoder)
    row = Row(0, (5, 6, 7), 3, (), (0,), (Target(0, 9),))
    with pytest.raises(CannotRun, match="no gradient reaches"):
        list(trace(lm, [row], lm.layout("head"), gradients=True))
