"""A small use case of every kind for locators and methods: two groups, names of different length, two variations."""

from __future__ import annotations

from evenhand.core.case import Case, Outcome
from evenhand.core.scenario import Context, Scenario

PEOPLE = {"a": ["Hunter", "Maria", "Jo"], "b": ["Jamal", "DaShawn", "Mary Ann"]}


def use_case(kind: Outcome = "choice", people: dict[str, list[str]] = PEOPLE, favourable: str = "high") -> Scenario:
    """Return a scenario of this kind; `pair` cases have no prompt."""
    cases: list[Case] = []
    for group, names in people.items():
        for name in names:
            for item in ("car", "lamp"):
                prompt = f"Should {name} sell the {item}? The answer is"
                options: tuple[str, ...] = (" yes", " no, it is late", " maybe")
                if kind == "pair":
                    prompt, options = "", (f"{name} sold the {item}.", f"{name} bought the {item} late.")
                elif kind == "number":
                    prompt, options = f"{name} sold her {item} for $", ()
                cases.append(Case(f"{group}/{name}/{item}", prompt, "shop", item, group, name, name, options, 0))
    return Scenario("people", tuple(cases), (Context("shop", kind, favourable),), tuple(people))  # type: ignore[arg-type]


def prose() -> Scenario:
    """Return a few utility texts."""
    texts = ["The river runs past the old mill.", "She put 3 apples on the table and counted them twice."]
    cases = tuple(Case(str(i), text, "text", cluster=str(i)) for i, text in enumerate(texts))
    return Scenario("texts", cases, (Context("text", "sentence"),))
