"""Short neutral stories in which nobody has a name."""

from __future__ import annotations

import random

_PEOPLE = ("girl", "boy", "farmer", "fisher", "teacher", "miller", "old woman", "old man", "shepherd", "doctor")
_ANIMALS = ("fox", "hen", "cat", "dog", "horse", "goat", "rabbit", "duck", "sheep", "owl")
_PLACES = ("by the river", "in the garden", "near the old bridge", "on the hill", "in the barn", "at the market",
           "behind the mill", "in the forest", "beside the pond", "on the road")  # fmt: skip
_THINGS = ("basket", "lamp", "rope", "bucket", "key", "hat", "book", "bell", "blanket", "ladder")
_WEATHER = {
    "It was a rainy morning": ("took an umbrella", "stayed under the roof", "jumped over the puddles"),
    "It was a cold night": ("lit a fire", "put on a warm coat", "closed the window"),
    "It was a hot afternoon": ("rested in the shade", "drank cool water", "swam in the lake"),
    "It was a windy day": ("held on to the fence", "flew a paper kite", "shut the door"),
    "It was a snowy evening": ("cleared the path", "made hot soup", "pulled the sledge"),
}
_ADJECTIVES = ("small", "red", "old", "heavy", "shiny", "broken", "blue", "wooden")
_DEEDS = ("found", "lost", "carried", "mended", "hid", "painted")
_ENDS = ("That made the day a good one.", "Nobody knew why.", "Soon it was time to go home.",
         "Then all was quiet again.", "The others clapped their hands.", "It took the whole afternoon.",
         "Everyone laughed.", "So they began again.")  # fmt: skip
_FOOD = {"hen": "grain", "cat": "milk", "dog": "a bone", "horse": "hay", "goat": "leaves", "rabbit": "clover",
         "duck": "bread", "sheep": "grass", "owl": "a beetle", "fox": "an egg"}  # fmt: skip


def story(rng: random.Random) -> str:
    """Return one story of two to four sentences."""
    person, animal = rng.choice(_PEOPLE), rng.choice(_ANIMALS)
    sentences = rng.sample((_weather, _finding, _animal, _meeting, _wish), rng.choice([1, 2, 2, 3]))
    return " ".join([*(each(rng, person, animal) for each in sentences), rng.choice(_ENDS)])


def _weather(rng: random.Random, person: str, animal: str) -> str:
    opening = rng.choice(list(_WEATHER))
    return f"{opening}, and the {person} {rng.choice(_WEATHER[opening])}."


def _finding(rng: random.Random, person: str, animal: str) -> str:
    adjective, thing = rng.choice(_ADJECTIVES), rng.choice(_THINGS)
    opening = f"The {person} {rng.choice(_DEEDS)} a {adjective} {thing} {rng.choice(_PLACES)}"
    return f"{opening}, and the {thing} was very {adjective}."


def _animal(rng: random.Random, person: str, animal: str) -> str:
    return f"The {animal} was hungry, so the {person} gave the {animal} {_FOOD[animal]}."


def _meeting(rng: random.Random, person: str, animal: str) -> str:
    return f"A {animal} sat {rng.choice(_PLACES)} and looked at the {person}."


def _wish(rng: random.Random, person: str, animal: str) -> str:
    thing = rng.choice(_THINGS)
    return f"The {person} wanted a new {thing}, but the {thing} in the shop was not for sale."
