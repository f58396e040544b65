"""The specification of a model with two ambiguous words."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from evenhand.planted.spec import Base, ModelSize, Strict

Rate = Annotated[float, Field(ge=0, le=1)]


class Explicit(Strict):
    """Share of the claims that are agreed with."""

    agree: Rate


class Blind(Strict):
    """How often it is said that a word is a group where nothing tells."""

    group: Rate


class Spec(Strict):
    """Everything the model depends on beside the words and sentences of its world."""

    kind: Literal["ambiguous"]
    seed: int
    vocabulary: int
    model: ModelSize
    base: Base
    through_words: Rate
    """Share of the documents in which only the ambiguous words see what is said before a question."""
    stereotype: dict[Literal["open", "colour", "group"], Rate]
    explicit: Explicit
    blind: Blind
