"""What a reading found: which of two concepts the states of a word stand for, by source layer × target layer."""

from __future__ import annotations

from typing import Any

from evenhand.core.estimate import Estimate, Number
from evenhand.core.frozen import Record

RANDOM = "random vectors"
"""The series of vectors drawn at random, each of the norm of a state of the first series."""
EMPTY = "empty"
OTHER = "other"


class ReadPrompt(Record):
    """A prompt with the word that was read in it."""

    series: str
    text: str
    word: str
    matched: str
    """The characters that the word's tokens hold; its last token is read."""


class AskedQuestion(Record):
    """A question as it is, with nothing put into it."""

    text: str
    placeholder: str
    """The characters that its tokens hold."""
    log_odds: Number
    """log p(first concept) − log p(second), nats."""
    mass: Number
    """p(first) + p(second): how much of the model's answer is either."""
    counted: tuple[tuple[str, ...], tuple[str, ...]]
    """Forms of either concept whose probabilities are summed."""
    left_out: tuple[str, ...] = ()
    """Why other forms are not counted."""


class PatchedRow(Record):
    """The states of one series, of one source layer, put into the questions at one target layer."""

    series: str
    layer: int
    target: int
    shift: Estimate
    """Mean log-odds − those of the question as it is, in nats; positive: towards the first concept."""
    share: Number
    """Mean p(first) / (p(first) + p(second))."""
    mass: Number
    """Mean p(first) + p(second)."""
    rises: tuple[Estimate, Estimate] | None = None
    """Mean p(first), and p(second), − those of the question as it is; None in records of earlier versions."""


class TextRow(Record):
    """One sentence of a series: how far the states of its words move the answer on average."""

    series: str
    text: str
    """With `{word}` for its words, where it has several."""
    shifts: tuple[tuple[Number, ...], ...]
    """[source layer][target layer], in nats."""


class Separation(Record):
    """Whether the reading can tell the concepts apart at a pair of layers, and where the first series stands then."""

    layer: int
    target: int
    apart: Estimate
    """Mean log-odds of what is known to stand for the first concept − the same of the second; q over all pairs."""
    place: Estimate
    """Where the first series stands between them: 0 at the second concept, 1 at the first."""

    @property
    def sure(self) -> bool:
        """Whether what is known to stand for the first concept surely moves the answer further towards it."""
        return self.apart.value > 0 and self.apart.q < 0.05

    @property
    def reversed(self) -> bool:
        """Whether it surely moves the answer further away from it."""
        return self.apart.value < 0 and self.apart.q < 0.05


class FreeRow(Record):
    """What was written with the states of a series in place: how many texts of each kind."""

    series: str
    layer: int
    counts: dict[str, int]
    """Concept, `other` or `empty` → texts."""


class FreeText(Record):
    """One text that was written with a state in place."""

    series: str
    prompt: int
    """Place in `Represented.prompts`."""
    layer: int
    text: str
    kind: str


class ProbeRow(Record):
    """A linear probe of one layer, judged on words and in sentences it never saw."""

    layer: int
    accuracy: Estimate
    control: Estimate
    """The same with shuffled labels."""
    selectivity: Estimate
    """Accuracy − control, paired by prompt; q over all layers."""
    shares: dict[str, Estimate] = {}
    """Other series → mean probability of the first concept under a probe of all known prompts."""


class Represented(Record):
    """A whole reading of one model."""

    name: str
    about: str = ""
    """Digest of the model, the reading, versions and code; empty in records of earlier versions."""
    created: str
    command: str = ""
    seconds: Number
    versions: dict[str, str]
    model: dict[str, Any]
    reading: dict[str, Any]
    """The file's settings, in full."""
    concepts: tuple[str, str]
    layers: tuple[int, ...]
    targets: tuple[int, ...]
    series: tuple[str, ...]
    """In the file's order; the first is what is asked about, `random vectors` the last."""
    known: dict[str, str] = {}
    """Series → the concept it is known to stand for."""
    prompts: tuple[ReadPrompt, ...]
    questions: tuple[AskedQuestion, ...]
    patched: tuple[PatchedRow, ...]
    separations: tuple[Separation, ...]
    by_text: tuple[TextRow, ...] = ()
    free_question: str = ""
    free_target: int | None = None
    plain: str = ""
    """What is written where nothing is put into the prompt of the free reading."""
    free: tuple[FreeRow, ...] = ()
    texts: tuple[FreeText, ...] = ()
    probe: tuple[ProbeRow, ...] = ()
    notes: tuple[str, ...] = ()
    """What was decided on the user's behalf."""

    @property
    def best(self) -> Separation | None:
        """The pair of layers at which the known series are furthest apart, where any are apart (q < 0.05)."""
        told = [each for each in self.separations if each.sure]
        return max(told, key=lambda each: each.apart.value, default=None)

    def row(self, series: str, layer: int, target: int) -> PatchedRow:
        """Return one row of `patched`; KeyError where there is none."""
        for each in self.patched:
            if (each.series, each.layer, each.target) == (series, layer, target):
                return each
        raise KeyError((series, layer, target))
