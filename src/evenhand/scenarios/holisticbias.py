"""HolisticBias: 583 descriptors of people on thirteen axes, each in the same twelve sentences; how likely each is.

Smith, Hall, Kambadur, Presani, Williams, "'I'm sorry to hear that': Finding New Biases in Language Models with a
Holistic Descriptor Dataset", EMNLP 2022, version 1.1 of the data (CC BY-SA 4.0; read from EVENHAND_DATA). Measured is
how far the mean log-likelihoods of the descriptors of an axis are spread, after what the sentence around them
contributes is removed (`likelihood_spread`). Contexts are the axes, the cluster is the descriptor.

The sentences are our choice: four of the file's templates, drawn by a seed (those for the first turn of a dialogue,
greetings that differ by a comma, are left out), with each of three of its nouns, which have neither gender nor age.
Every descriptor meets every one of the twelve forms, or means over forms could not be compared; the authors' generator
gives the 17 descriptors with a gender only nouns of that gender. All of their sentences are over 450,000. The 192
standalone noun phrases ("a wheelchair user") do not fit the forms and are left out. The authors' own score, "Likelihood
Bias" (share of pairs of descriptors whose perplexities differ by a Mann–Whitney test), depends on how many nouns are
put in, and is not computed.

The file calls some descriptors dispreferred or polarizing; that is a fact about the words (fact `preference`) and not a
flaw of the item. The axis "nonce" is made-up words: a control of what novelty alone does. Four descriptors stand on two
axes each.

Why not to trust it alone: words are rare or common, long or short in tokens, and that alone spreads their likelihoods
(compare the axis "nonce"); no word of an axis is the right reference, and equal likelihoods are no goal in themselves;
many sentences are odd. Use it to find descriptors to look at and to see whether an edit changed them,
not as a score of harm.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun
from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._data import Source, read_json

_FROM = "https://raw.githubusercontent.com/facebookresearch/ResponsibleNLP/0ec714eb084217f44cd9ac466d9e988c795302f9"
_SHA256 = {
    "descriptors.json": "c1328f0edfdeefb76302d360a01878df3db55f18026f4ea1956b4a0f52daf943",
    "nouns.json": "9bbe15bf01ea8827fd5d68a81ee2b05e04bd5f79478d9027efec0b4dbd232ee6",
    "sentence_templates.json": "8b1cf8fc3c9a10b12cf77902e8c2ff3d80e3fcfff2f177a00256925acb4f53a5",
}
SOURCE = Source(
    folder="holisticbias",
    licence="CC BY-SA 4.0",
    citation="E. M. Smith, M. Hall, M. Kambadur, E. Presani, A. Williams, \"'I'm sorry to hear that': Finding New "
    'Biases in Language Models with a Holistic Descriptor Dataset", EMNLP 2022',
    origin="https://github.com/facebookresearch/ResponsibleNLP, holistic_bias/dataset/v1.1",
    pinned={file: (f"{_FROM}/holistic_bias/dataset/v1.1/{file}", sha256) for file, sha256 in _SHA256.items()},
)
MEASURES = ("likelihood_spread",)
TEMPLATES = 4
NOUNS = ("individual", "person", "sibling")
_SEED = 0


@dataclass(frozen=True, slots=True)
class _Descriptor:
    axis: str
    words: str
    article: str
    preference: str


def load(data: Path | None) -> Scenario:
    """Return every descriptor in every form; raises CannotRun where a file is absent or damaged."""
    try:
        axes = read_json(data, SOURCE, "descriptors.json")
        descriptors = [_descriptor(axis, entry) for axis in axes for few in axes[axis].values() for entry in few]
        forms = list(_forms(data))
        cases = tuple(_case(one, place, *form) for one in descriptors for place, form in enumerate(forms))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CannotRun(
            f"{SOURCE.folder}: its files do not hold axes of descriptors, nouns by gender and templates ({error!r}); "
            f"get them again ({SOURCE.thanks})"
        ) from error
    return Scenario(
        name="holisticbias",
        cases=cases,
        contexts=tuple(Context(axis, "sentence") for axis in axes),
        licence=SOURCE.licence,
        citation=SOURCE.citation,
        pooled=False,
        measures=MEASURES,
        source=SOURCE.folder,
    )


def _forms(data: Path | None) -> Iterator[tuple[str, str, str]]:
    """Yield template, noun and its plural for every form."""
    templates: dict[str, dict[str, bool]] = read_json(data, SOURCE, "sentence_templates.json")
    plurals: dict[str, str] = dict(read_json(data, SOURCE, "nouns.json")["neutral"])
    fitting = sorted(template for template, about in templates.items() if not about.get("first_turn_only"))
    for template in sorted(random.Random(_SEED).sample(fitting, TEMPLATES)):
        yield from ((template, noun, plurals[noun]) for noun in NOUNS)


def _descriptor(axis: str, entry: Any) -> _Descriptor:
    """Return a descriptor of the file, a word or what is known of it."""
    about = {"descriptor": entry} if isinstance(entry, str) else entry
    words = str(about["descriptor"])
    return _Descriptor(axis, words, about.get("article") or _article(words), about.get("preference", ""))


def _article(words: str) -> str:
    """Return the article the authors give by the first letter; exceptions stand in the file."""
    return "an" if words[0].lower() in "aeiou" else "a"


def _case(one: _Descriptor, place: int, template: str, noun: str, plural: str) -> Case:
    who = f"{one.axis}/{one.words}"
    return Case(
        id=f"{who}/{place}",
        prompt=template.format(
            noun_phrase=f"{one.article} {one.words} {noun}", plural_noun_phrase=f"{one.words} {plural}"
        ),
        context=one.axis,
        cluster=who,
        facts=(("descriptor", who), ("form", str(place)), ("preference", one.preference)),
    )
