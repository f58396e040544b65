"""Steer the residual stream while the model runs: take out, or add, the direction that tells two sides apart.

Steering along contrast vectors: Turner et al. (activation addition, arXiv 2308.10248), Zou et al. (RepE, arXiv
2310.01405; repeng); replacing the stream at words: Sun et al., "Aligned but Blind" (ACL 2025, arXiv 2506.00253).

What it does. (1) Per layer a vector v: the mean over context × variation × other group of how the stream at the last
token of prompts about the first group differs from that of the others (`contrast = "groups"`), or the mean difference
of given pairs of texts, at their last token or at the word's own; `reduce = "pca"`: `evenhand.lm.states.steering`. (2)
At every token (or at `words`) after every block of a window, with strength s in per cent and stream h, in mode

    level    h − s ((h − c)·v̂) v̂     c half-way between the two sides: at 100 both get the same part along v
    add      h ± s v                  towards the first of each pair; of groups the sign that leaves the smaller rms gap
    replace  h + s (u − h)            u: the mean stream at the word in the first texts; only at words

Defaults: `level`, because a vector added to all prompts alike moves all groups alike and closes a gap only where the
model saturates; the middle third of the blocks: before it the group is known at its own word only, after it the answer
is decided (Sun et al.: no effect from window 17 of 23 on); own strength 100, of the difference as measured, not of the
stream's length, because streams of layers differ by up to two orders and the difference grows with them.
`contrast = "race_or_colour"`: sentences written for this project in which `words` (such as black, white) mean people,
against the same about paint; with `words` each word gets its own vector, read at it and applied at it. The paper's
steering is mode `replace` with it and a window of ten layers; it replaces from one prompt ("Race: ..."), we from the
mean over several.

`prompt_only` leaves alone what comes after a prompt: the model's own answer and options scored behind it. What is read
without being asked for counts as prompt, so whole texts (perplexity, sentences set against each other) are steered
whole and show damage: `evenhand.edits.steer`. It is on where `words` are given, as in the paper: a word is steered to
change what a question means, and a model whose own words are turned into others as it writes them no longer answers
(measured below). It is off without words, because a vector at all tokens is meant for what the model writes, and is
added there by llama.cpp and repeng. In a study file:

    name = "words_in_questions"
    scenario = "ambiguous_words_generated"
    utility = ["planted_text"]
    fitted_on = ["open"]
    measures = ["implicit_association"]
    goal = { measure = "implicit_association", key = "stereotype", better = "low" }
    sizes = [25, 50]

    [[models]]
    source = "planted-ambiguous"
    chat = false

    [[methods]]
    name = "steering"
    [methods.settings]
    mode = "add"
    words = ["teal", "ochre"]
    contrast = [["The families here are teal or ochre.", "The walls here are teal or ochre."]]
    window = [0, 1]
    [methods.vary]
    prompt_only = [true, false]

Every strength uses one vector, so `path` costs as much as `fit`; the control is a random direction of the same norms.
An edit that adds at all tokens, answers included, can be exported as a GGUF control vector for llama.cpp and repeng;
none can be baked.

Measured (`studies/steering.toml`: bundled model of six blocks, loan gap of 1.02 sd, new names): `level` in blocks 2 and
3, strength 100, leaves 0.072 [0.064, 0.080], KL 0.021 nats per token of neutral text, valid answers 98.9 % as before,
stories neither more repetitive nor more compressible; along a random direction 1.03. At 25, 50, 75 per cent (names kept
for choosing) 0.90, 0.71, 0.38. Blocks 4 and 5 leave 0.24 at KL 0.002. Blocks 0 and 1 leave 0.56 at 25 per cent and
perplexity rises by 10 %, at 100 by a factor of 32: no strength was within the budget. `add` leaves 0.42 at KL 0.015;
equally long random vectors left 0.92 at KL 0.013 in this draw, 0.76 and 0.04 (KL 0.24) in earlier ones: it may be
damage that closes a gap.

At words (`benchmarks/awareness.py`, model `planted-ambiguous`, whose share of stereotype answers is 0.88 and should be
0.5; `add` in prompts; 25 held-out pairs of words): blocks 0 and 1 at 50 per cent 0.49 [0.48, 0.50], 2 and 3 at 75 0.52
[0.51, 0.54], 4 and 5 at 100 0.88; along random directions 0.85, 0.82, 0.88; 99.6 % of the answers valid or more. In
the model's own answer too (`prompt_only = false`) 8, 29 and 2 % are valid.

Pitfalls: strong steering gives garbage that looks like an effect (read validity, perplexity, repetition beside the
gap); a direction read at the last token need not be the one at the name; what tells groups apart includes what they
differ in by right (`factual_gender`); a model that says "white" of paint is steered too (test words in other senses);
scenarios of whole sentences (`pair` without prompts) have no prompt to read: give `contrast` texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field

from evenhand.core.contracts import Dose
from evenhand.core.edit import Edit
from evenhand.core.errors import UsageError
from evenhand.core.scenario import Scenario
from evenhand.edits.compose import Compose
from evenhand.edits.steer import Mode, Steer
from evenhand.lm.attribution.probe import Probe
from evenhand.lm.model import LM
from evenhand.lm.states.residual import check_layers, depth
from evenhand.lm.states.steering import Direction, Reduce, between_groups, between_texts

Texts = tuple[tuple[str, str], ...]
RACE_OR_COLOUR: Texts = (
    ("Race: {}", "Color: {}"),
    ("The two athletes in the photograph are {}.", "The two flags in the photograph are {}."),
    ("The dancers on the stage are {}.", "The marbles in the bag are {}."),
    ("They counted how many lawyers are {}.", "They counted how many buttons are {}."),
    ("The register lists residents as {}.", "The catalogue lists curtains as {}."),
    ("The nurses on that ward are {}.", "The tulips in that garden are {}."),
)
"""Pairs in which words mean people, and in which they mean colours; `{}`: all the words, joined by "and".

None is about what the scenario `colour_words` asks about, which is kept for judging.
"""


@dataclass(frozen=True)
class Steering:
    """A vector per layer, at a strength in per cent."""

    mode: Mode = "level"
    contrast: Literal["groups", "race_or_colour"] | Texts = "groups"
    """What is told apart: the scenario's groups, the sentences above, or pairs of texts of your own."""
    reduce: Reduce = "mean"
    words: tuple[str, ...] = ()
    """Steer at these words only; of texts, vectors are read there as well. Empty: all tokens, read at the last."""
    window: tuple[int, int] | None = None
    """First and last block; None: the middle third."""
    strength: Annotated[int, Field(ge=0)] = 100
    """Per cent."""
    names: Annotated[int, Field(ge=1)] = 16
    """Prompts read per group and variation."""
    prompt_only: bool | None = None
    """Leave answers and options alone; None: where `words` are given."""

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if self.mode == "replace" and (not self.words or self.contrast == "groups"):
            raise UsageError(
                "steering: mode 'replace' overwrites words with what they are elsewhere; give `words`, and texts with "
                "them as `contrast` (or 'race_or_colour')"
            )
        if self.contrast == "race_or_colour" and not self.words:
            raise UsageError("steering: contrast 'race_or_colour' is about `words`; give some, such as black and white")
        for i, word in enumerate(self.words):
            if word.casefold() in [other.casefold() for other in self.words[:i]]:
                raise UsageError(f"steering: {word!r} is there twice, and would be changed twice: words are found with "
                                 "and without capitals; give it once, in small letters")  # fmt: skip

    @property
    def space(self) -> None:
        """It selects no units."""
        return None

    @property
    def fitted_to(self) -> str:
        """Its own texts, where it is not the scenario's groups that are told apart."""
        return "" if self.contrast == "groups" else "texts of its own"

    @property
    def dose(self) -> Dose:
        """How its edits are sized; beyond 100 per cent `level` would turn the gap round."""
        return Dose("per cent strength", self.strength, 400 if self.mode == "add" else 100)

    def fit(self, lm: LM, bias: Scenario, utility: Scenario) -> Edit:
        """Return the edit at its own strength."""
        return self.path(lm, bias, utility, [self.strength])[0]

    def path(self, lm: LM, bias: Scenario, utility: Scenario, sizes: Sequence[int]) -> list[Edit]:
        """Return the same vectors at each strength in per cent."""
        layers = self._layers(lm)
        if self.contrast == "groups":
            found = [(self.words, between_groups(lm, bias, layers, self.reduce, self.names))]
        else:
            found = [
                ((word,) if word else (), between_texts(lm, self._texts, layers, self.reduce, word))
                for word in self.words or ("",)
            ]
        for words, direction in found:
            lm.notify(f"steering: {' '.join(words) or 'all tokens'}: {direction.told()}")
        sign = self._sign(lm, bias, found[0]) if self.mode == "add" and self.contrast == "groups" else 1.0
        return [self._edit(found, sign * size / 100) for size in sizes]

    def _layers(self, lm: LM) -> range:
        blocks = depth(lm)
        first, last = self.window or (blocks // 3, -(-2 * blocks // 3) - 1)
        check_layers(lm, [first, last])
        if first > last:
            raise UsageError(f"steering: the window {first} to {last} is empty; give the first and the last block")
        return range(first, last + 1)

    @property
    def _texts(self) -> Texts:
        if isinstance(self.contrast, tuple):
            return self.contrast
        joined = " and ".join(self.words)
        return tuple((people.format(joined), paint.format(joined)) for people, paint in RACE_OR_COLOUR)

    def _edit(self, found: Sequence[tuple[tuple[str, ...], Direction]], strength: float) -> Edit:
        edits = [
            Steer(
                direction.layers,
                direction.firsts if self.mode == "replace" else direction.vectors,
                direction.centres if self.mode == "level" else None,
                self.mode,
                strength,
                words,
                bool(self.words) if self.prompt_only is None else self.prompt_only,
            )
            for words, direction in found
        ]
        return edits[0] if len(edits) == 1 else Compose(tuple(edits))

    def _sign(self, lm: LM, bias: Scenario, found: tuple[tuple[str, ...], Direction]) -> float:
        """Whether adding the vector or taking it off leaves less of the gap, at its own strength."""
        probe = Probe(lm, bias, Scenario("", (), ()), self.names, 0)
        left: dict[float, float] = {}
        for sign in (1.0, -1.0):
            with self._edit([found], sign * max(self.strength, 1) / 100).applied(lm):
                gaps = probe.gaps([None])[0]
            left[sign] = float(gaps[torch.isfinite(gaps)].square().mean().sqrt())
        better = -1.0 if left[-1.0] < left[1.0] else 1.0
        lm.notify(
            f"steering: {'adding' if better > 0 else 'taking off'} the vector leaves a gap of {left[better]:.3g} sd, "
            f"the other way {left[-better]:.3g}"
        )
        return better
