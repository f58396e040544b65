from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from evenhand.core.case import Case, Outcome
from evenhand.core.component import Selection
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.readout import Readout
from evenhand.core.scenario import Context, Scenario
from evenhand.edits.scale import Scale
from evenhand.lm import readouts
from evenhand.lm.batches.variants import Variant
from evenhand.lm.generation.generate import Answer
from evenhand.lm.load import load
from evenhand.lm.model import LM
from evenhand.lm.read import Reading, read, read_variants
from evenhand.testing.tiny import tiny_lm
from oracles import plain_scoring

NAMES = {"a": ("Maria", "Anna Maria van Dyke"), "b": ("Jamal", "She")}
ITEMS = ("bicycle", "car")


def scenario(*outcomes: Outcome) -> Scenario:
    """Return two groups of two names (one of several words) asked about two items, one context per outcome."""
    cases: list[Case] = []
    for outcome in outcomes:
        for item in ITEMS:
            for group, names in NAMES.items():
                cases.extend(_case(outcome, item, group, name) for name in names)
    contexts = tuple(Context(o, o, favourable_words=("Yes", "good deal"), unfavourable_words=("no",)) for o in outcomes)
    return Scenario("test", tuple(cases), contexts, tuple(NAMES))


def _case(outcome: Outcome, item: str, group: str, name: str) -> Case:
    options = {"choice": (" Yes", " No, the answer"), "pair": (f"{name} sold the {item}.", f"{name} lost it.")}
    return Case(
        id=f"{outcome}/{item}/{name}",
        prompt="" if outcome == "pair" else f"{name} sold a {item} for $",
        context=outcome,
        variation=item,
        group=group,
        cluster=name,
        name=name,
        options=options.get(outcome, ()),
        favourable=0 if outcome == "choice" else None,
    )


def digits(lm: LM, weight: float = 2.5) -> Callable[[], None]:
    """Make digits likelier, so that random models give numbers; returns how to undo it."""
    bias = torch.zeros(lm.model.get_output_embeddings().weight.shape[0])
    bias[lm.tokenizer.convert_tokens_to_ids(list("0123456789"))] = weight
    return lm.model.get_output_embeddings().register_forward_hook(lambda module, args, out: out + bias).remove


def one(lm: LM, about: Scenario, reading: Reading = Reading()) -> Readout:
    (readout,) = read(lm, about, reading)
    return readout


def canned(monkeypatch: pytest.MonkeyPatch, *answers: tuple[str, bool]) -> None:
    """Let every case be answered with these texts."""

    def answer(lm: LM, cases: list[Case], *rest: object) -> list[list[Answer]]:
        ids = [tuple(lm.tokenizer(text, add_special_tokens=False)["input_ids"]) for text, _ in answers]
        return [[Answer(t, i, ended) for (t, ended), i in zip(answers, ids, strict=True)] for _ in cases]

    monkeypatch.setattr(readouts, "generate", answer)


def shares(readout: Readout) -> dict[str, float]:
    return {name: round(float(share[0]), 6) for name, share in readout.shares.items() if float(share[0])}


def test_one_readout_per_kind_in_order() -> None:
    about = scenario("choice", "number", "sentence", "pair", "text")
    found = read(tiny_lm("llama"), about, Reading(samples=3, node_budget=5, max_new_tokens=4))
    assert [readout.kind for readout in found] == ["choice", "number", "sentence", "pair", "text"]
    for readout in found:
        assert readout.cases == tuple(case for case in about.cases if case.context == readout.kind)
        assert readout.groups == ("a", "b")
        total = torch.stack(list(readout.shares.values())).sum(0)
        assert torch.allclose(total, torch.ones_like(total), atol=1e-6)
        json.dumps(readout.notes, allow_nan=False)


def test_exact_and_sampled_readouts_agree() -> None:
    lm = tiny_lm("llama")
    undo = digits(lm, 1.0)
    exact = one(lm, scenario("number"), Reading(temperature=0.2))
    drawn = one(lm, scenario("number"), Reading("sample", samples=150, temperature=0.2, max_new_tokens=6))
    undo()
    assert exact.defined.all()
    assert (exact.ddof, drawn.ddof) == (0, 1)
    n = 150
    for row in range(len(exact)):
        p, seen = float(exact.shares["valid"][row]), float(drawn.shares["valid"][row])
        assert abs(seen - p) <= 4 * math.sqrt(p * (1 - p) / n) + float(exact.shares["open"][row]) + 1e-9
        for value in exact.value[(exact.row == row) & (exact.mass > 0.01)]:
            p = float(exact.mass[(exact.row == row) & (exact.value == value)])
            share = float(((drawn.row == row) & (drawn.value == value)).sum()) / n
            assert abs(share - p) <= 4 * math.sqrt(p * (1 - p) / n) + float(exact.shares["open"][row])
    assert len(drawn.answers) == len(drawn)
    assert all(len(texts) == n for texts in drawn.answers)


def test_mass_left_open_makes_a_case_undefined_and_says_so() -> None:
    lm = tiny_lm("llama")
    told: list[str] = []
    lm.notify = told.append
    undo = digits(lm)
    readout = one(lm, scenario("number"), Reading(node_budget=3))
    undo()
    assert not readout.defined.any()
    assert (readout.shares["open"] > 0.01).all()
    assert readout.notes["undecided"] == 8
    assert any("'sample'" in line and "8 of 8" in line for line in told)


def test_an_answer_without_numbers_is_undefined_and_not_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    canned(monkeypatch, ("A fair price.", True), ("", True))
    readout = one(tiny_lm("llama"), scenario("number"), Reading("sample"))
    assert not readout.defined.any()
    assert len(readout.value) == 0
    assert shares(readout) == {"no_number": 1.0}


ANSWERS = (
    ("500", True), ("$1,200 or so", True), ("40-50", True), ("1. $500", True), ("I would pay 300, not 400.", True),
    ("I'm sorry, but I cannot help.", True), ("12", False), ("Hm", True),
)  # fmt: skip


def test_samples_at_the_start_of_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    canned(monkeypatch, *ANSWERS)
    readout = one(tiny_lm("llama"), scenario("number"), Reading("sample"))
    assert readout.value[readout.row == 0].tolist() == [500, 1200, 40, 1]
    assert shares(readout) == {"valid": 0.5, "other": 0.125, "refusal": 0.125, "truncated": 0.125, "no_number": 0.125}
    assert float(readout.arrays["range"][0]) == 0.125
    assert float(readout.arrays["later"][0]) == 0.125
    assert readout.answers[0] == tuple(text for text, _ in ANSWERS)


@pytest.mark.parametrize(("cue", "price"), [("first", 300), ("last", 400)])
def test_samples_anywhere_in_the_answer(monkeypatch: pytest.MonkeyPatch, cue: str, price: float) -> None:
    canned(monkeypatch, *ANSWERS)
    readout = one(tiny_lm("llama"), scenario("number"), Reading(anywhere=True, cue=cue))  # pyright: ignore[reportArgumentType]
    assert readout.value[readout.row == 0].tolist() == [500, 1200, 45, 500, price]
    assert shares(readout) == {"valid": 0.5, "range": 0.125, "refusal": 0.125, "truncated": 0.125, "no_number": 0.125}
    assert readout.notes["mode"] == "sample"


def test_texts_by_their_words(monkeypatch: pytest.MonkeyPatch) -> None:
    canned(monkeypatch, ("yes!", True), ("A Good Deal", True), ("No.", True), ("yes and no", True), ("nothing", True),
           ("I'm sorry, no", True), ("Well", False), ("nor yesterday", True))  # fmt: skip
    readout = one(tiny_lm("llama"), scenario("text"))
    assert readout.value[readout.row == 0].tolist() == [1, 1, 0]
    assert shares(readout) == {"valid": 0.375, "other": 0.375, "refusal": 0.125, "truncated": 0.125}


def test_a_choice_is_decided_for_the_favourable_option_with_its_share_among_the_options() -> None:
    lm = tiny_lm("gpt2")
    readout = one(lm, scenario("choice"))
    logp = readout.arrays["logp"]
    share = logp.softmax(1)[:, 0]
    assert torch.allclose(readout.mass[0::2], share)
    assert torch.allclose(readout.mass[1::2], 1 - share)
    assert readout.value.tolist() == [1, 0] * 8
    assert readout.row.tolist() == [i for i in range(8) for _ in range(2)]
    assert (logp.exp().sum(1) < 1).all()


def test_a_choice_must_say_which_option_is_favourable() -> None:
    case = Case(id="x", prompt="He", context="choice", options=(" a", " b"))
    with pytest.raises(UsageError, match="favourable"):
        read(tiny_lm("gpt2"), Scenario("s", (case,), (Context("choice", "choice"),)))


@pytest.mark.parametrize("name", ["gpt2", "bert", "t5"])
def test_pair_is_the_difference_of_two_sentences(name: str) -> None:
    lm = tiny_lm(name)
    about = scenario("pair")
    readout = one(lm, about)
    sums = torch.tensor([[sum(plain_scoring.text(lm, option, pair=True)) for option in case.options]
                         for case in about.cases], dtype=torch.float64)  # fmt: skip
    assert torch.allclose(readout.value, sums[:, 0] - sums[:, 1], atol=1e-4)
    assert torch.allclose(readout.arrays["logp"], sums, atol=1e-4)


def test_sentences_have_their_tokens_and_a_distance_only_beside_the_unedited_model() -> None:
    lm = tiny_lm("gpt2")
    pick = Selection.of(lm.layout("neuron"), list(range(0, 100, 2)))
    base, edited = (found[0] for found in read_variants(lm, scenario("sentence"), [None, Variant(pick)]))
    assert torch.allclose(base.value, base.arrays["logp"] / base.arrays["tokens"])
    assert not base.arrays["kl"].any()
    assert torch.equal(base.arrays["agree"], base.arrays["tokens"].double())
    assert (edited.arrays["agree"] <= edited.arrays["tokens"]).all()
    assert (edited.arrays["kl"] > 0).all()
    with Scale(pick).applied(lm):
        around = one(lm, scenario("sentence"))
    assert not {"kl", "agree"} & set(around.arrays)
    assert torch.allclose(around.value, edited.value, atol=1e-5)


@pytest.mark.parametrize("name", ["llama", "t5"])
def test_variants_equal_applied_edits(name: str) -> None:
    lm = tiny_lm(name)
    layout = lm.layout("neuron")
    picks = [Selection.of(layout, list(range(start, layout.size, 3))) for start in (0, 1)]
    about, reading = scenario("number", "choice", "pair", "text"), Reading(node_budget=12, samples=3, max_new_tokens=4)
    undo = digits(lm)
    beside = read_variants(lm, about, [None, *(Variant(pick, 0.25) for pick in picks)], reading)
    assert read(lm, about, reading)[0].value.tolist() == pytest.approx(beside[0][0].value.tolist())
    for pick, found in zip(picks, beside[1:], strict=True):
        with Scale(pick, 0.25).applied(lm):
            applied = read(lm, about, reading)
        for one_, other in zip(found, applied, strict=True):
            assert _spread(one_) == pytest.approx(_spread(other), abs=1e-5)
            assert one_.answers == other.answers
    undo()
    assert _spread(beside[1][0]) != pytest.approx(_spread(beside[0][0]), abs=1e-3)


def _spread(readout: Readout) -> dict[tuple[int, float], float]:
    """Mass by case and value; values that are no numbers of the model count as masses."""
    if readout.kind == "number":
        pairs = zip(readout.row.tolist(), readout.value.tolist(), strict=True)
        return {key: mass for key, mass in zip(pairs, readout.mass.tolist(), strict=True) if mass > 1e-5}
    return {(row, 0.0): value for row, value in zip(readout.row.tolist(), readout.value.tolist(), strict=True)}


def test_order_and_company_of_the_cases_do_not_matter() -> None:
    lm = tiny_lm("mistral")
    about = scenario("number", "choice")
    undo = digits(lm)
    whole = read(lm, about, Reading(node_budget=10))
    for case in about.cases[::5]:
        alone = one(lm, about.where(lambda c, case=case: c.id == case.id), Reading(node_budget=10))
        (same,) = [r for found in whole if len(r := found.where(lambda c, case=case: c.id == case.id))]
        assert _spread(alone) == pytest.approx(_spread(same), abs=1e-4)
    undo()


def test_masked_models_choose_but_give_no_numbers() -> None:
    lm = tiny_lm("roberta")
    assert one(lm, scenario("choice")).defined.all()
    with pytest.raises(CannotRun, match="masked"):
        read(lm, scenario("number"))
    with pytest.raises(CannotRun, match="masked"):
        read(lm, scenario("text"))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"anywhere": True, "numeric": "exact"}, "anywhere"),
        ({"open_share": 0.0}, "open_share"), ({"samples": 0}, "samples"), ({"node_budget": 0}, "node_budget"),
    ],
)  # fmt: skip
def test_wrong_readings_are_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Reading(**wrong)  # pyright: ignore[reportArgumentType]


@pytest.mark.models
def test_a_real_model(models_dir: Path) -> None:
    lm = load(models_dir / "tinystories-656k")
    readout = one(lm, scenario("number"))
    drawn = one(lm, scenario("number"), Reading("sample", samples=60, max_new_tokens=4))
    assert readout.defined.all()
    assert (readout.shares["valid"] - drawn.shares["valid"]).abs().max() < 0.2
