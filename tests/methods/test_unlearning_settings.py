"""What each setting of unlearning changes: the objective, recipe and guards that the training is given."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from evenhand.core.case import Case
from evenhand.core.errors import UsageError
from evenhand.core.scenario import Context, Scenario
from evenhand.lm.model import LM
from evenhand.methods.unlearning import Unlearning
from evenhand.testing.tiny import tiny_lm
from evenhand.train import objectives
from evenhand.train.contracts import Recipe
from evenhand.train.loop import train
from evenhand.train.objectives import FALL, Terms
from evenhand.train.watches import Divergence, LossFloor, PerplexityBudget, PolarityFlip
from small_training import hate, pairs, utility

Given = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def lm() -> LM:
    return tiny_lm("gpt2")


@pytest.fixture
def given(lm: LM, monkeypatch: pytest.MonkeyPatch) -> Given:
    """What `train` is given by a method with these settings; one step is made of it."""

    def asked(bias: Scenario | None = None, beside: Scenario | None = None, **settings: Any) -> dict[str, Any]:
        seen: dict[str, Any] = {}

        def spy(lm: LM, parameters: Any, objective: Any, recipe: Any, guards: Any, keep: Any) -> Any:
            seen.update(parameters=parameters, objective=objective, recipe=recipe, guards=guards, keep=keep)
            return train(lm, parameters, objective, Recipe(steps=0), (), ())

        monkeypatch.setattr("evenhand.methods.unlearning.train", spy)
        Unlearning(**settings).path(lm, bias or hate(), beside or utility(), [0])
        return seen

    return asked


def _texts(lm: LM, objective: objectives.Unlearning) -> set[str]:
    """What is forgotten, told by its tokens: of each passage the text up to its last selected token."""
    lines = [line for passage in objective.forget for line in passage]
    return {lm.tokenizer.decode([*line.ids[1:], line.targets[-1]]) for line in lines}


def _words(lm: LM, objective: objectives.Unlearning) -> list[str]:
    return [lm.tokenizer.decode(line.targets) for passage in objective.forget for line in passage]


@pytest.mark.parametrize(
    ("settings", "terms"),
    [
        ({}, Terms("ascent")),
        ({"objective": "sequence"}, Terms("ascent")),
        ({"objective": "graddiff"}, Terms("ascent", nll=1.0)),
        ({"objective": "kl"}, Terms("ascent", kl=1.0)),
        ({"objective": "graddiff", "nll": 0.25}, Terms("ascent", nll=0.25)),
        ({"objective": "kl", "kl": 3.0, "nll": 0.5}, Terms("ascent", nll=0.5, kl=3.0)),
        ({"objective": "wga", "beta": 0.5}, Terms("wga", beta=0.5)),
        ({"objective": "npo", "beta": 0.1, "kl": 1.0}, Terms("npo", beta=0.1, kl=1.0)),
        ({"objective": "simnpo", "beta": 2.0, "gamma": 0.3, "nll": 1.0}, Terms("simnpo", 2.0, 0.3, nll=1.0)),
        ({"objective": "npo", "forget": 0.5, "nll": 0.3, "kl": 0.2}, Terms("npo", forget=0.5, nll=0.3, kl=0.2)),
    ],
)
def test_formula_and_weights_are_those_of_the_settings(given: Given, settings: dict[str, Any], terms: Terms) -> None:
    objective = given(**settings)["objective"]
    assert objective.weights == terms
    assert bool(objective.retain) == bool(terms.nll or terms.kl)


def test_sequence_takes_every_token_and_a_selector_its_own(given: Given, lm: LM) -> None:
    assert {word.strip() for word in _words(lm, given()["objective"])} == {"dull", "dump"}
    assert sorted(_words(lm, given(objective="sequence")["objective"])) == sorted(
        case.prompt for case in hate().cases if case.fact("side") == "hateful"
    )


def test_the_settings_of_a_selector_reach_it(given: Given, lm: LM) -> None:
    one, other, again = (
        _words(lm, given(spans="random", spans_settings=(f"seed={seed}",))["objective"]) for seed in (1, 2, 1)
    )
    assert one == again != other


def test_benign_text_is_forgotten_in_place_of_the_hateful(given: Given, lm: LM) -> None:
    hateful = _texts(lm, given()["objective"])
    benign = _texts(lm, given(source="benign", objective="sequence")["objective"])
    assert benign == {case.prompt for case in hate().cases if case.fact("side") == "neutral"}
    assert all(any(case.prompt.startswith(text) for case in hate().cases if case.spans) for text in hateful)


def test_guards_are_those_of_the_settings(given: Given) -> None:
    floor, budget = given(floor=3.0, budget=0.2, every=7)["guards"]
    assert floor == LossFloor(FALL, -3.0)
    assert isinstance(budget, PerplexityBudget)
    assert (budget.texts, budget.rise, budget.every) == (("He bought apples.", "A yellow pencil."), 0.2, 7)
    flip = given(pairs(), every=7)["guards"][2]
    assert isinstance(flip, PolarityFlip)
    assert flip.every == 7
    assert not any(isinstance(each, PolarityFlip) for each in given(pairs(), source="benign")["guards"])
    assert given(guards=False)["guards"] == [Divergence(rise=math.inf)]


def test_the_recipe_is_that_of_the_settings(given: Given) -> None:
    recipe = given(lr=1e-3, batch_size=3, warmup=6, clip=0.5, seed=9)["recipe"]
    assert (recipe.lr, recipe.batch_size, recipe.warmup, recipe.clip, recipe.seed) == (1e-3, 3, 6, 0.5, 9)
    assert (recipe.schedule, recipe.weight_decay, recipe.dropout) == ("constant", 0.0, False)
    assert given(clip=0.5, guards=False)["recipe"].clip == math.inf


def test_retain_terms_and_budget_see_other_halves_of_the_first_texts(given: Given, lm: LM) -> None:
    seen = given(objective="kl", texts=3)
    kept = {lm.tokenizer.decode(line.targets) for passage in seen["objective"].retain for line in passage}
    assert kept == {"She said that it was late.", "The teacher waited."}
    assert seen["guards"][1].texts == ("He bought apples.",)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"layers": (1,)}, "layers has no effect here; leave it out, or set trained = 'layers' or 'lora'"),
        ({"trained": "layers"}, "needs layers"),
        ({"rank": 4}, "rank has no effect.*keep_rank"),
        ({"alpha": 4.0}, "alpha has no effect"),
        ({"trained": "lora", "share": 0.5}, "share has no effect"),
        ({"keep_rank": 2, "share": 0.5}, "share has no effect"),
        ({"trained": "lora", "keep_rank": 2}, "keep_rank has no effect"),
        ({"beta": 0.5}, "beta has no effect"),
        ({"objective": "npo", "gamma": 0.5}, "gamma has no effect"),
        ({"objective": "sequence", "spans": "random"}, "spans has no effect"),
    ],
)
def test_a_setting_without_effect_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Unlearning(**settings)


@pytest.mark.parametrize("trained", ["layers", "lora"])
def test_a_layer_that_is_not_there_is_refused(given: Given, trained: str) -> None:
    with pytest.raises(UsageError, match="there is no layer 99; the model's layers are 0 to 2"):
        given(trained=trained, layers=(1, 99))


def test_guards_need_texts_to_watch(given: Given) -> None:
    nothing = utility().where(lambda case: False)
    with pytest.raises(UsageError, match="needs running texts to retain, and utility has none"):
        given(beside=nothing)


def test_choices_without_a_score_are_left_out_and_told(lm: LM) -> None:
    told: list[str] = []
    lm.notify = told.append
    long = "lamp " * 600
    cases = tuple(
        Case(name, f"{long if name == 'Carlo' else ''}Sell {name} it? I say", "sale", group=group, cluster=name,
             name=name, options=(" yes", " no"), favourable=0)
        for group, name in (("north", "Anna"), ("south", "Carla"), ("south", "Carlo"))
    )  # fmt: skip
    Unlearning(steps=1).fit(lm, Scenario("toy", cases, (Context("sale", "choice"),), ("north", "south")), utility())
    assert "unlearning: choices without a score are left out: 1" in told
