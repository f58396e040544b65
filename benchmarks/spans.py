"""How many of HateCheck's focus words about women each span selector takes, and how much else.

A word counts as taken, or as a focus word, when a character of it is in a span. Two sets: all hateful sentences about
women that have focus words, and of these the ones that are not misspelt on purpose; each selector works on that set,
beside the neutral sentences about women.

Run `python benchmarks/spans.py [MODEL]`; it needs EVENHAND_DATA with hatecheck and ldnoobw, and without MODEL
EVENHAND_MODELS with tinystories-656k.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from evenhand.core.case import Case
from evenhand.core.spans import Span, Spans, overlaps, words
from evenhand.lm.load import load
from evenhand.lm.model import LM
from evenhand.scenarios._load import load_scenario
from evenhand.spans._chosen import selector

GROUP = "women"
SELECTORS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("lexicon", ("file=${EVENHAND_DATA}/ldnoobw/en.txt",)),
    ("pmi", ()),
    ("pmi", ("least=0.5",)),
    ("gradient", ()),
    ("gradient", ("of=contrast",)),
)


def main(model: str) -> None:
    """Print one line per set and selector."""
    lm = load(model)
    cases = [case for case in load_scenario("hatecheck").cases if case.group == GROUP]
    hateful = [case for case in cases if case.fact("side") == "hateful"]
    neutral = [case.prompt for case in cases if case.fact("side") == "neutral"]
    marked = [case for case in hateful if case.spans]
    print(f"{len(hateful)} hateful sentences about {GROUP}, {len(marked)} with focus words; {len(neutral)} neutral")
    print(f"{Path(model).name}: texts touched, share of the focus words taken, share of what is taken that is such")
    for name, texts in (("with focus words", marked), ("and not misspelt", [c for c in marked if not c.flaw])):
        every, focus = (
            sum(map(len, few)) for few in zip(*[(words(c.prompt), _in(c, c.spans)) for c in texts], strict=True)
        )
        print(f"{name}: {len(texts)} sentences, {every} words, of which {focus / every:.1%} are focus words")
        for chosen, settings in SELECTORS:
            print(f"  {' '.join((chosen, *settings)):45}", measured(lm, texts, neutral, chosen, settings))


def measured(lm: LM, texts: Sequence[Case], neutral: Sequence[str], name: str, settings: Sequence[str]) -> str:
    """Return three shares in words."""
    found = selector(name, settings).select(lm, texts, neutral)
    pairs = [(_in(case, spans), _in(case, case.spans)) for case, spans in zip(texts, found, strict=True)]
    both, taken, focus = (sum(map(len, few)) for few in ([a & b for a, b in pairs], *zip(*pairs, strict=True)))
    touched = sum(map(bool, found)) / len(texts)
    return f"{touched:6.1%} {both / focus:6.1%} {both / max(1, taken):6.1%}   ({taken} words, focus {focus})"


def _in(case: Case, spans: Spans) -> set[Span]:
    return {word for word in words(case.prompt) if overlaps(word, spans)}


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else str(Path(os.environ["EVENHAND_MODELS"]) / "tinystories-656k"))
