"""What a reading asks for: two concepts, prompts whose words are read, questions that their states are put into."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from evenhand import find
from evenhand.core.errors import nearest
from evenhand.core.represented import EMPTY, OTHER, RANDOM
from evenhand.study._explain import mistake
from evenhand.study.config import BootstrapConfig, Part, read_toml, validated

WORD = "{word}"
Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], Field(min_length=1)]


class ConceptConfig(Part):
    """One of the two things a word may stand for."""

    name: Text
    forms: Texts
    """What the model may go on with to say so: their probabilities are summed."""
    words: tuple[Text, ...] = ()
    """Words by which a free text says so; empty: the forms without their spaces."""

    @property
    def said(self) -> tuple[str, ...]:
        """Words to look for in free text, in small letters."""
        return tuple(dict.fromkeys(each.strip().lower() for each in self.words or self.forms))


class QuestionConfig(Part):
    """A prompt that asks what its placeholder stands for; a state overwrites the placeholder's."""

    prompt: Text
    placeholder: Text
    answer: str = ""
    """Text the answer begins with; with a chat model it stands behind the template."""
    occurrence: int = -1
    """Which of the placeholders: from 0, or −1 for the last."""


class FreeConfig(QuestionConfig):
    """A prompt that the model goes on with freely (greedily), with a state in place of its placeholder."""

    target: Annotated[int, Field(ge=-1)] | None = None
    """The layer whose output is overwritten; None: the first of the reading's."""
    tokens: int = Field(default=12, ge=1)


class PromptConfig(Part):
    """Text with the word to read; `{word}` makes one prompt of each word."""

    text: Text
    words: Texts
    occurrence: int = -1

    def written(self) -> list[tuple[str, str]]:
        """Return each prompt with its word."""
        return [(self.text.replace(WORD, word), word) for word in self.words]


class SeriesConfig(Part):
    """Prompts of one kind; `known` names the concept that their words are known to stand for."""

    name: Text
    known: str | None = None
    prompts: tuple[PromptConfig, ...] = Field(min_length=1)


class ProbeConfig(Part):
    """The linear probe that tells the known series apart, layer by layer."""

    folds: int = Field(default=5, ge=0)
    """Parts that words and sentences are dealt into: a prompt is judged by a probe that saw neither. 0: no probe."""
    shuffles: int = Field(default=5, ge=1)
    """Probes of shuffled labels."""
    strength: float = Field(default=0.1, gt=0)
    """Inverse of the L2 penalty, `C` of scikit-learn's LogisticRegression, on standardised states."""

    @field_validator("folds")
    @classmethod
    def _several(cls, value: int) -> int:
        if value == 1:
            raise ValueError("one part leaves nothing to teach; at least 2, or 0 for no probe")
        return value


class ReadingFile(Part):
    """A whole reading."""

    name: str = Field(pattern=r"^[\w.-]+$")
    version: str = "1"
    concepts: tuple[ConceptConfig, ConceptConfig]
    questions: tuple[QuestionConfig, ...] = Field(min_length=1)
    """Numbers are means over them, so that naming either concept first cancels out."""
    series: tuple[SeriesConfig, ...] = Field(min_length=3)
    """The first one is what is asked about, with nothing known; each concept needs a series known to stand for it."""
    free: FreeConfig | None = None
    probe: ProbeConfig = ProbeConfig()
    layers: tuple[Annotated[int, Field(ge=-1)], ...] | Literal["all"] = "all"
    """Source layers: states are read from the output of these blocks; −1: the token's embedding."""
    targets: tuple[Annotated[int, Field(ge=-1)], ...] | Literal["spread"] = "spread"
    """Layers of the question whose output is overwritten; `spread`: at most eight over the first three quarters."""
    draws: int = Field(default=3, ge=1)
    """Random vectors for each state of the first series, of its norm."""
    seed: int = 0
    bootstrap: BootstrapConfig = BootstrapConfig()

    @model_validator(mode="after")
    def _whole(self) -> ReadingFile:
        names = [concept.name for concept in self.concepts]
        for i, name in enumerate(names):
            if name in (OTHER, EMPTY):
                raise mistake(("concepts", i, "name"), f"{name!r} is what free texts are called that speak of neither "
                                                       "concept; give the concept another name")  # fmt: skip
        if names[0] == names[1]:
            raise mistake(("concepts", 1, "name"), f"both concepts are called {names[0]!r}")
        if shared := set(self.concepts[0].forms) & set(self.concepts[1].forms):
            raise mistake(("concepts", 1, "forms"), f"{min(shared)!r} is a form of both concepts")
        for key, given in (("layers", self.layers), ("targets", self.targets)):
            if not isinstance(given, str) and (twice := [each for each in given if given.count(each) > 1]):
                raise mistake((key,), f"layer {twice[0]} stands there {given.count(twice[0])} times; name each once")
        for i, series in enumerate(self.series):
            if series.name == RANDOM:
                raise mistake(("series", i, "name"), f"{RANDOM!r} is the name of a control that is made for every "
                                                     "reading; give the series another one")  # fmt: skip
            if series.name in [other.name for other in self.series[:i]]:
                raise mistake(("series", i, "name"), f"{series.name!r} is the name of two series")
            for j, prompt in enumerate(series.prompts):
                _check(prompt, self.concepts, ("series", i, "prompts", j))
        _check_known([series.known for series in self.series], names)
        return self


def _check_known(known: list[str | None], names: list[str]) -> None:
    """What the series are known to stand for: of the first nothing, and each concept by one of the others."""
    for i, name in enumerate(known):
        if name is not None and name not in names:
            listed = ", ".join(names)
            raise mistake(
                ("series", i, "known"), f"there is no concept {name!r}{nearest(name, names)} (known: {listed})"
            )
    if known[0] is not None:
        raise mistake(("series", 0, "known"), "the first series is what is asked about, so nothing is known of it")
    if missing := [name for name in names if name not in known]:
        raise mistake(
            ("series",),
            f"none is known to stand for {missing[0]!r}, so the reading cannot be tried on what it should find; give "
            f"one with known = {missing[0]!r}",
        )


def _check(prompt: PromptConfig, concepts: tuple[ConceptConfig, ...], place: tuple[str | int, ...]) -> None:
    forms = {each.strip().lower() for concept in concepts for each in (*concept.forms, *concept.said)}
    if echoed := [word for word in prompt.words if word.lower() in forms]:
        raise mistake((*place, "words"), f"{echoed[0]!r} is a form or word of a concept, so the answer could merely "
                                         "repeat what was read; read another word, or leave it out there")  # fmt: skip
    for text, word in prompt.written():
        found = len(re.findall(rf"(?<!\w){re.escape(word)}(?!\w)", text))
        if not -found <= prompt.occurrence < found:
            raise mistake((*place, "words"), f"{word!r} stands {found or 'no'} times in {text!r} as a word of its own, "
                                             f"written so, so there is no occurrence {prompt.occurrence} (the first is "
                                             "0, the last -1)")  # fmt: skip


def load_reading(name_or_path: str) -> ReadingFile:
    """Return a shipped reading by name, or one of your own by path; raises UsageError naming file, line and key."""
    path: Path = find.path_of("readings", name_or_path)
    text, data = read_toml(path, "a reading")
    return validated(ReadingFile, path, text, data)
