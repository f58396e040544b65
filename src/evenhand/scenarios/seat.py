"""SEAT: the ten word association tests with every word in a plain sentence, on the vectors a model gives to sentences.

After May, Wang, Bordia, Bowman, Rudinger, "On Measuring Social Biases in Sentence Encoders", NAACL 2019; the sentence
frames are our own, because theirs may not be used commercially. They fit any part of speech and say nothing themselves.
A frame is a variation: every frame is a test with the words as units, and the row of a context is the mean over frames
(the mean of their p-values is no p-value). May et al. pool the sentences of all frames into one test and permute them
as if they were independent, which makes p smaller than it should be; numbers are not comparable with theirs. Word sets
and citation as in the scenario `weat`; the vector is that of `Reading.embedding` (SEAT took [CLS], pooling `first`,
from BERT, and the last token from GPT). The cluster is the word, in all frames together.

Why not to trust it alone: all that is said of `weat`; the authors themselves warn that it may show bias but never its
absence, and that a result should not be carried beyond its words and sentences. A causal model's last token is the full
stop, which all sentences share, so their vectors differ little.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._shared.word_sets import FILE, SOURCE, TESTS, word_cases

FRAMES = {
    "this is": "This is {word}.",
    "next word": "The next word is {word}.",
    "said": "Somebody said {word}.",
    "think of": "Now think of {word}.",
    "about": "What follows is about {word}.",
}


def load(data: Path | None) -> Scenario:
    """Return the words of the ten tests in five frames; raises CannotRun where the word sets are absent or damaged."""
    return Scenario(
        name="seat",
        cases=tuple(word_cases(data, FRAMES)),
        contexts=tuple(Context(test, "embedding") for test in TESTS),
        licence=SOURCE.licence,
        citation=SOURCE.citation,
        pooled=False,
        measures=("weat",),
        source=f"{SOURCE.folder}/{FILE}",
    )
