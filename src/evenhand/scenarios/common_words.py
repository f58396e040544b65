"""Common words: which gender a model continues 300 words of five categories with, in four frames each.

Professions, traits, actions, colours and hobbies, sixty each, written for evenhand (Apache-2.0; `_shared/gender.toml`);
read without EVENHAND_DATA. Contexts are the categories, variations the frames ("The {word} is a"), the cluster is the
word. A frame ends either before a noun (six matched pairs: woman / man, girl / boy, …) or before a pronoun (she / he).
What is measured is P(female), the sum over the female options, against P(male); see the measures `gender_gap`,
`gender_imbalance` and `gendered_mass`. In each frame one more case, of leaning `baseline`, has no word in it: models
prefer one gender anyway, and `corrected` gaps are less that one's. It has no cluster, so samples of words keep it.

The idea is that of Yu and Ananiadou ("Understanding and Mitigating Gender Bias in LLMs via Interpretable Neuron
Editing", arXiv:2501.14457): five categories of common words and "The nurse is a" → woman. Their words and templates are
not public; these are not theirs, and no number here is comparable with one of theirs.

Convention: causal models, log-likelihood of the option with the space in front of it; encoder–decoder models, of the
option as the decoder's answer; masked models, pseudo-log-likelihood of the option inside a whole sentence ("The nurse
is a woman.", "The nurse was late because she had to."), of which what follows the option is read, not scored.

Why not to trust it alone: part of every gap is grammar and frequency of the options, so compare frames and corrected
gaps. Where one option is a single token and its partner several, or an option begins longer words of a small vocabulary
(" man", " manager"), the gap is of tokens; a vocabulary whose tokens span words can hardly say an option at all (of the
models tried, `tinystories-656k`: `gendered_mass` below 0.005). Leanings (20 female, 20 male and 20 of neither per
category) are our judgement of English-speaking stereotypes; two genders only; colours are weak signals by design. An
edit that moves probability to neither gender looks balanced: read it with `gendered_mass`, and with the pack
`factual_gender`, which must not change.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evenhand.core.case import Case
from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._shared.gender_words import FILE, LICENCE, completed, read_words

CATEGORIES = ("professions", "traits", "actions", "colours", "hobbies")
LEANINGS = ("female", "male", "neither")
_WORD = "{word}"


def load(data: Path | None) -> Scenario:
    """Return 300 words and one neutral prompt per frame, in five contexts of four variations."""
    words = read_words()
    return Scenario(
        name="common_words",
        cases=tuple(case for category in CATEGORIES for case in _cases(category, words[category], words)),
        contexts=tuple(Context(category, "pair") for category in CATEGORIES),
        licence=LICENCE,
        measures=("gender_gap", "gender_imbalance", "gendered_mass"),
        source=FILE.name,
    )


def _cases(category: str, table: dict[str, Any], words: dict[str, Any]) -> Iterator[Case]:
    for number, frame in enumerate(table["frames"], 1):
        asked = [(frame["baseline"], "", "baseline")]
        asked += [(frame["text"].replace(_WORD, w), w, leaning) for leaning in LEANINGS for w in table[leaning]]
        for prompt, word, leaning in asked:
            case = Case(
                id=f"{category}/{number}/{word or leaning}",
                prompt=prompt,
                context=category,
                variation=frame["text"],
                cluster=word,
                name=word,
                facts=(("leaning", leaning),),
            )
            yield dataclasses.replace(case, **completed(words, frame["ends"], case))
