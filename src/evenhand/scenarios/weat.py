"""WEAT: the ten word association tests of Caliskan et al. on the vectors a model gives to single words.

Caliskan, Bryson, Narayanan, "Semantics derived automatically from language corpora contain human-like biases", Science
2017. A context is one test with two sets of targets (flowers, insects) and two of attributes (pleasant, unpleasant);
tests 1 and 2 are about no people and tell whether a model's vectors carry such associations at all. The word sets are
those of the MIT-licensed wefe package, read from EVENHAND_DATA or the installed package. A case is a word, read as it
stands (names with a capital letter); its vector is that of `Reading.embedding`: by default the last hidden state of the
last token in causal models, the mean over tokens elsewhere. The cluster is the word.

Why not to trust it alone: the test was made for static vectors, and a word without a sentence is a text such models
hardly saw; hidden states lie in a narrow cone, where all cosines are nearly equal, and d, being standardised, hides
that (look at `difference`); sets of 6 to 32 words give wide intervals; Black names are rarer and are cut into more
tokens, so length and frequency are confounded with race (array `tokens`); d changes with layer and pooling, with the
choice of words (Ethayarajh, Duvenaud, Hirst, ACL 2019), and hardly goes with the bias of what a model does
(Goldfarb-Tarrant et al., ACL 2021). A high d can stand for a true regularity; a low one does not show that there is no
bias.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._shared.word_sets import FILE, SOURCE, TESTS, word_cases


def load(data: Path | None) -> Scenario:
    """Return the words of the ten tests; raises CannotRun where the word sets are absent or damaged."""
    return Scenario(
        name="weat",
        cases=tuple(word_cases(data, {"": "{word}"})),
        contexts=tuple(Context(test, "embedding") for test in TESTS),
        licence=SOURCE.licence,
        citation=SOURCE.citation,
        pooled=False,
        measures=("weat",),
        source=f"{SOURCE.folder}/{FILE}",
    )
