"""Vectors are the differences they say, with a sign that the data fix; the method steers as its settings say."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from evenhand import find
from evenhand.core.case import Case
from evenhand.core.errors import UsageError
from evenhand.core.scenario import Context, Scenario
from evenhand.edits.compose import Compose
from evenhand.edits.steer import Steer
from evenhand.lm.states.residual import capture
from evenhand.lm.states.steering import Direction, _component, between_groups, between_texts
from evenhand.lm.tokens import encode
from evenhand.methods.steering import Steering
from evenhand.study.config import load_study
from evenhand.testing.rigged import rigged
from evenhand.testing.tiny import tiny_lm

PAIRS = (("Race: black and white", "Color: black and white"), ("The people are black.", "The walls are black."))
NONE = Scenario("none", (), ())


def _last(lm: object, text: str, layer: int) -> torch.Tensor:
    ids = encode(lm, text).ids  # type: ignore[arg-type]
    return capture(lm, [ids], [[len(ids) - 1]], [layer])[0][0, 0]  # type: ignore[arg-type]


def test_a_mean_vector_is_the_mean_difference_of_last_tokens() -> None:
    lm = tiny_lm("gpt2")
    found = between_texts(lm, PAIRS, [0, 2])
    for i, layer in enumerate((0, 2)):
        ones, others = (torch.stack([_last(lm, pair[side], layer) for pair in PAIRS]) for side in (0, 1))
        torch.testing.assert_close(found.vectors[i], (ones - others).mean(0), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found.centres[i], (ones.mean(0) + others.mean(0)) / 2, atol=1e-5, rtol=1e-5)
    assert "layer 2:" in found.told()


def test_a_word_is_read_where_it_stands_last_at_its_last_token() -> None:
    lm = tiny_lm("gpt2")
    texts = ("Not black, but black walls", "The black walls are not black at all")
    found = between_texts(lm, [texts], [0], word="black").vectors[0]
    states: list[torch.Tensor] = []
    for text in texts:
        encoded = encode(lm, text)
        end = text.rindex("black") + len("black")
        last = max(i for i, (start, _) in enumerate(encoded.offsets) if start < end)
        states.append(capture(lm, [encoded.ids], [[last]], [0])[0][0, 0])
    torch.testing.assert_close(found, states[0] - states[1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("read", [between_texts, between_groups])
def test_without_layers_there_is_nothing_to_read(read: Callable[..., Direction]) -> None:
    toy = rigged()
    with pytest.raises(UsageError, match="there are no layers"):
        read(toy.lm, PAIRS if read is between_texts else toy.bias, [])


def test_groups_count_the_same_whatever_their_numbers() -> None:
    lm = tiny_lm("gpt2")
    people = {"a": ["Ann", "Jo", "Eve"], "b": ["Max"]}
    cases = tuple(
        Case(f"{thing}{name}", f"Sell {name} a {thing}", "sale", thing, group, name)
        for thing in ("lamp", "car")
        for group, names in people.items()
        for name in (names if thing == "lamp" else names[:1])
    )
    found = between_groups(lm, Scenario("s", cases, (Context("sale", "choice"),), ("a", "b")), [1])
    sides = {(v, g): [_last(lm, c.prompt, 1) for c in cases if (c.variation, c.group) == (v, g)]
             for v in ("lamp", "car") for g in people}  # fmt: skip
    gaps = [torch.stack(sides[v, "a"]).mean(0) - torch.stack(sides[v, "b"]).mean(0) for v in ("lamp", "car")]
    torch.testing.assert_close(found.vectors[0], torch.stack(gaps).mean(0), atol=1e-5, rtol=1e-5)


def test_the_principal_component_points_as_most_differences() -> None:
    lm = tiny_lm("llama")
    forth = between_texts(lm, PAIRS, [1], "pca")
    back = between_texts(lm, [(second, first) for first, second in PAIRS], [1], "pca")
    torch.testing.assert_close(forth.vectors, -back.vectors, atol=1e-5, rtol=1e-5)
    mean = between_texts(lm, PAIRS, [1])
    assert float((forth.vectors * mean.vectors).sum()) > 0
    assert float(forth.agree[0]) >= 0.5


@pytest.mark.parametrize(("along", "sign"), [((1.0, 1.0, 1.0, -5.0), 1.0), ((-1.0, -1.0, -1.0, 5.0), -1.0),
                                             ((1.0, -3.0), -1.0)])  # fmt: skip
def test_the_sign_is_that_of_most_differences_and_of_their_sum_only_where_they_are_even(
    along: tuple[float, ...], sign: float
) -> None:
    unit = torch.tensor([0.6, 0.8])
    found = _component(torch.tensor(along)[:, None] * unit)
    torch.testing.assert_close(found, sign * sum(map(abs, along)) / len(along) * unit)


def test_words_get_vectors_of_their_own() -> None:
    lm = tiny_lm("gpt2")
    method = Steering(mode="replace", contrast="race_or_colour", words=("black", "white"), window=(0, 1))
    edit = method.fit(lm, NONE, NONE)
    assert isinstance(edit, Compose)
    black, white = edit.edits
    assert isinstance(black, Steer)
    assert isinstance(white, Steer)
    assert (black.words, white.words, black.layers) == (("black",), ("white",), (0, 1))
    assert not torch.allclose(black.vectors, white.vectors)
    given = Steering(contrast=PAIRS, mode="add").fit(lm, NONE, NONE)
    assert isinstance(given, Steer)
    torch.testing.assert_close(given.vectors[0], between_texts(lm, PAIRS, [1]).vectors[0])


def test_adding_takes_the_sign_that_leaves_less_of_the_gap() -> None:
    toy, told = rigged(), list[str]()
    toy.lm.notify = told.append
    edit = Steering(mode="add").fit(toy.lm, toy.bias, NONE)
    assert isinstance(edit, Steer)
    (line,) = [line for line in told if "leaves a gap of" in line]
    assert ("taking off" in line) == (edit.strength < 0)
    kept, lost = (float(part.split()[-1].rstrip(" sd,")) for part in line.replace(" sd", "").split(", the other way"))
    assert kept <= lost


def test_the_study_file_of_the_card_is_one(tmp_path: Path) -> None:
    card = sys.modules[Steering.__module__].__doc__ or ""
    file = tmp_path / "study.toml"
    file.write_text(textwrap.dedent(card[card.index("    name =") : card.index("Every strength")]), encoding="utf-8")
    methods = [method for method, _ in load_study(file).entries]
    built = [find.build("methods", method.name, method.settings) for method in methods]
    assert [getattr(each, "prompt_only") for each in built] == [True, False]  # noqa: B009


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"mode": "replace"}, "overwrites words"),
        ({"contrast": "race_or_colour"}, "is about `words`"),
        ({"window": [2, 1]}, "is empty"),
        ({"window": [0, 9]}, "no layer 9"),
        ({"contrast": [["Race", "Color"]], "words": ["black"]}, "stands nowhere"),
        ({"words": ["black", "white", "Black"]}, "'Black' is there twice, and would be changed twice"),
    ],
)
def test_settings_without_meaning_are_refused(settings: dict[str, object], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        find.build("methods", "steering", settings).fit(tiny_lm("gpt2"), NONE, NONE)
