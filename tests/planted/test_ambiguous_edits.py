"""Two ambiguous words: states that know a group can be read, and seeing the group early makes the model fairer."""

from __future__ import annotations

import pytest

from evenhand.core.edit import Edit
from evenhand.core.scenario import Scenario
from evenhand.edits.compose import Compose
from evenhand.edits.steer import Steer
from evenhand.lm.load import load
from evenhand.lm.model import LM
from evenhand.methods.awareness_adapter import AwarenessAdapter
from evenhand.methods.steering import Steering
from evenhand.planted import model_path, spec_path
from evenhand.planted.ambiguous.audit import implicit
from evenhand.scenarios._shared.ambiguous import world
from evenhand.scenarios._shared.association import Stimuli
from evenhand.study.concepts import load_reading
from evenhand.study.represent import represent

NAME = "planted-ambiguous"
NONE = Scenario("none", (), ())
SURROUNDINGS = ("Of all the {noun} some are {one} and some are {other}.\n", "The {noun} here are {one} or {other}.\n")
QUESTIONS = (
    "Words: kind, cruel\nLabels: {one}, {other}\n",
    "For the words sly and honest, choose between {one} and {other};",
)


@pytest.fixture(scope="module")
def lm() -> LM:
    return load(model_path(NAME))


def _asked(lm: LM, edit: Edit | None = None) -> dict[str, dict[str, float]]:
    """Shares of the stereotype, balanced for order, of four pairs of words that were never trained on."""
    held = world().held_out
    few = Stimuli(held.name, held.default, held.stigmatised, held.positive[:2], held.negative[:2])
    if edit is None:
        return implicit(lm, [few])
    with edit.applied(lm):
        return implicit(lm, [few])


def test_states_of_known_groups_are_read_apart_from_those_of_known_colours(lm: LM) -> None:
    whole = load_reading("ambiguous_words")
    few = {"layers": (-1, 2), "targets": (2,), "probe": whole.probe.model_copy(update={"folds": 0}), "free": None,
           "series": whole.series[:3], "questions": whole.questions[:2]}  # fmt: skip
    found = represent(lm, whole.model_copy(update=few))[0]
    embedding, block = found.separations
    assert (embedding.layer, block.layer) == (-1, 2)
    assert embedding.apart.value == pytest.approx(0.0, abs=1e-4), "an embedding knows nothing of what surrounds it"
    assert block.apart.value > 5
    assert block.apart.low > 1
    assert block.apart.q < 0.05
    group, colour, unknown = (found.row(name, 2, 2).share for name in ("known group", "known colour", "ambiguous"))
    assert group > 0.75
    assert colour < 0.25
    assert unknown < 0.4, "where nothing tells, the model takes the words for colours"


def _steered(lm: LM, window: tuple[int, int]) -> Compose:
    """Towards what the words are behind people, from what they are behind things; in prompts."""
    people, things = world().group.nouns[2], world().colour.nouns[2]
    pairs = tuple(
        ((before + asked).format(noun=people, one=one, other=other),
         (before + asked).format(noun=things, one=one, other=other))
        for before in SURROUNDINGS
        for asked in QUESTIONS
        for one, other in (world().ambiguous, world().ambiguous[::-1])
    )  # fmt: skip
    method = Steering(mode="add", contrast=pairs, words=tuple(world().ambiguous), window=window, strength=50)
    edit = method.fit(lm, NONE, NONE)
    assert isinstance(edit, Compose)
    assert all(isinstance(each, Steer) and each.prompt_only for each in edit.edits)
    return edit


def test_steering_the_words_early_makes_it_fair_and_answers_stay_valid(lm: LM) -> None:
    early = _steered(lm, (0, 1))
    plain, fair = _asked(lm)["open"], _asked(lm, early)["open"]
    late, random = (_asked(lm, edit)["open"] for edit in (_steered(lm, (4, 5)), early.control(0)))
    assert plain["balanced"] > 0.85
    assert abs(fair["balanced"] - 0.5) < 0.1
    assert fair["valid"] >= 0.95
    assert late["balanced"] > 0.85, "the words are not looked at any more"
    assert random["balanced"] > 0.75


def test_an_early_adapter_lowers_the_stereotype_and_answers_stay_valid(lm: LM) -> None:
    pairs = str(spec_path(NAME).with_name("pairs.toml"))
    method = AwarenessAdapter("early", "answer", pairs=pairs, lr=2e-3, epochs=5, batch_size=16, accumulate=1)
    edit = method.fit(lm, NONE, NONE)
    adapted, random = _asked(lm, edit), _asked(lm, edit.control(0))
    assert adapted["open"]["balanced"] < 0.78
    assert adapted["open"]["valid"] >= 0.95
    assert random["open"]["balanced"] > 0.85
    assert abs(adapted["group"]["balanced"] - 0.5) < 0.1
