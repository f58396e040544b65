"""The rigged model is what its page says: known units carry the whole gap, and they are silent for the other group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch

from evenhand import find
from evenhand.core.component import Selection, Space
from evenhand.core.edit import Edit
from evenhand.core.measuring import point
from evenhand.core.scenario import Scenario
from evenhand.edits.compose import Compose
from evenhand.edits.scale import Scale
from evenhand.lm.model import LM
from evenhand.lm.read import read
from evenhand.locate.activation_norm import ActivationNorm
from evenhand.testing.conformance import check_beats_random
from evenhand.testing.rigged import Rigged, rigged

GAP = find.build("measures", "standardised_mean_difference")


@pytest.fixture(scope="module", params=range(3))
def toy(request: pytest.FixtureRequest) -> Rigged:
    return rigged(request.param)


def gap(toy: Rigged) -> float:
    (readout,) = read(toy.lm, toy.report.only(variations=["lamp"]))
    return point(GAP, readout)["value"]


def test_the_carriers_carry_the_gap(toy: Rigged) -> None:
    before = gap(toy)
    assert before > 0.1, "the favourable answer is likelier for the reference group"
    for space, carriers in toy.carriers.items():
        with Scale(carriers).applied(toy.lm):
            assert abs(gap(toy)) < 0.2 * before, space
        others = torch.randperm(carriers.layout.size, generator=torch.Generator().manual_seed(0))
        blind = Selection.of(carriers.layout, others[: len(carriers)]) - carriers
        with Scale(blind).applied(toy.lm):
            assert abs(gap(toy)) > 0.5 * before, space


def test_the_neurons_are_silent_for_the_names_of_one_group_only(toy: Rigged) -> None:
    carriers = toy.carriers["neuron"].mask
    scores = {
        group: ActivationNorm().score(toy.lm, toy.bias.where(lambda case, g=group: case.group == g)).scores
        for group in toy.bias.groups
    }
    assert bool((scores["north"][carriers] == 0).all())
    assert float(scores["south"][carriers].min()) > float(scores["south"].median())


def test_names_are_shared_by_no_two_parts_and_one_token_each(toy: Rigged) -> None:
    names = [case.name for part in (toy.bias, toy.report) for case in part.only(variations=["lamp"]).cases]
    assert len(names) == len(set(names)) == 32
    assert all(len(toy.lm.tokenizer(f" {name}")["input_ids"]) == 1 for name in names)


def test_the_same_seed_gives_the_same_model() -> None:
    one, two = rigged(1), rigged(1)
    assert all(torch.equal(a, b) for a, b in zip(one.lm.model.parameters(), two.lm.model.parameters(), strict=True))
    assert one.bias == two.bias
    assert rigged(2).bias != one.bias


@dataclass(frozen=True)
class Whole:
    """A method whose edits, as far as anyone can see, select no units."""

    right: bool
    space: Space = "neuron"

    def fit(self, lm: LM, bias: Scenario, utility: Scenario) -> Edit:
        return self.path(lm, bias, utility, [4])[0]

    def path(self, lm: LM, bias: Scenario, utility: Scenario, sizes: Sequence[int]) -> list[Edit]:
        carriers = rigged().carriers["neuron"]
        return [Compose((Scale(carriers, 0.0 if self.right else 1.5),)) for _ in sizes]


def test_an_edit_that_selects_no_units_has_to_lower_the_gap_by_itself() -> None:
    check_beats_random(Whole(right=True))
    with pytest.raises(AssertionError, match="became"):
        check_beats_random(Whole(right=False))
