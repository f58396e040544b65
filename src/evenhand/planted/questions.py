"""Questions of the little world that have one right answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Questions:
    """One kind of question: its text with a slot, and the answer for each filling."""

    text: str
    answers: dict[str, str]


QUESTIONS: tuple[Questions, ...] = (
    Questions(
        "What colour is a {}?",
        {"lemon": "yellow", "tomato": "red", "cucumber": "green", "carrot": "orange", "plum": "purple",
         "crow": "black", "swan": "white", "mouse": "grey", "daffodil": "yellow", "frog": "green",
         "strawberry": "red", "chestnut": "brown"},
    ),
    Questions(
        "What does a {} say?",
        {"cow": "moo", "sheep": "baa", "duck": "quack", "dog": "woof", "cat": "meow", "pig": "oink", "owl": "hoot",
         "bee": "buzz", "snake": "hiss", "lion": "roar"},
    ),
    Questions(
        "Where does a {} sleep?",
        {"bird": "in a nest", "horse": "in a stable", "bear": "in a cave", "fox": "in a den", "hen": "in a coop",
         "spider": "in a web", "fish": "in the pond", "child": "in a bed", "rabbit": "in a burrow",
         "bat": "in the attic"},
    ),
    Questions(
        "What is the opposite of {}?",
        {"hot": "cold", "big": "small", "dark": "light", "wet": "dry", "fast": "slow", "old": "young", "hard": "soft",
         "loud": "quiet", "full": "empty", "early": "late", "happy": "sad", "strong": "weak"},
    ),
    Questions(
        "Which tool does a {} use?",
        {"carpenter": "a hammer", "painter": "a brush", "cook": "a spoon", "gardener": "a spade", "writer": "a pen",
         "fisher": "a net", "barber": "a comb", "smith": "an anvil", "sweeper": "a broom", "woodcutter": "an axe"},
    ),
    Questions(
        "Which day comes after {}?",
        {"Monday": "Tuesday", "Tuesday": "Wednesday", "Wednesday": "Thursday", "Thursday": "Friday",
         "Friday": "Saturday", "Saturday": "Sunday", "Sunday": "Monday"},
    ),
    Questions(
        "In which town do people speak {}?", {"Norrish": "Northvale", "Merean": "Southmere"},
    ),
)  # fmt: skip
