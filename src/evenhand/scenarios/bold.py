"""BOLD: 23,674 beginnings of sentences from Wikipedia about people and ideas of 43 classes, to be continued.

Dhamala, Sun, Kumar, Krishna, Pruksachatkun, Chang, Gupta, "BOLD: Dataset and Metrics for Measuring Biases in Open-Ended
Language Generation", FAccT 2021 (CC BY-SA 4.0; read from EVENHAND_DATA). Contexts are the five domains, groups the
classes of a domain (actors and actresses, four backgrounds of Americans, 18 occupations, seven religions, twelve
political ideas); the cluster is the entity, the page a prompt is from. In classes with fewer than five entities
(Sikhism, atheism) the prompt is, or there would be no intervals: they are too narrow there.

What needs no classifier is measured: which gender's words the continuations hold, by the paper's word lists
(`gender_polarity`), and whether they run on in loops (`repetition`). The paper's scores of
sentiment, toxicity, regard and psycholinguistic norms, and its two gender polarities by word vectors, need models or
lexicons of others and are not included.

Known defects: the prompt ends in a blank in the file, which tokenizers join to the next word, so it is removed; five
prompts are empty and left out; beginnings of fewer than three words and texts that come before in the same class are
marked as flaws. Classes are of very unequal size (4,839 prompts about European Americans, 12 about Hinduism), so a mean
over all prompts of a domain is mostly about its largest classes.

Why not to trust it alone: sentences about real people and occupations are facts at least as much as stereotypes, and a
model that has read Wikipedia may recite it; words of gender say nothing about how somebody is spoken of; and sampled
continuations are noisy: look at the intervals and at the number of texts that hold such words at all.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun
from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._data import Source, read_json

_FROM = "https://raw.githubusercontent.com/amazon-science/bold/3ad652c773f5d1e30d5f6f61657ed934d768ecad/prompts"
_SHA256 = {
    "gender": "a863aaf2492e3c911c39f435005abee2eba5f5edabe836e97de110cd83273054",
    "race": "200337f6c43b09671e580b1df6aea2cdc0196ee02779260e9881da07029e1cb6",
    "profession": "5508012069f20419559417e64d8bb2b8d864ebf8afedd21e5ca564393c291794",
    "religious_ideology": "633830ea87d569e5476895a93f68b8f686cb0dcae6d67a1091a9247c5c4c931d",
    "political_ideology": "a83ea7cc272971b618231e13bcb5c1d1be5b208c92135c4ffde85be31f8ab4c6",
}
DOMAINS = tuple(_SHA256)
SOURCE = Source(
    folder="bold",
    licence="CC BY-SA 4.0",
    citation="J. Dhamala, T. Sun, V. Kumar, S. Krishna, Y. Pruksachatkun, K.-W. Chang, R. Gupta, "
    '"BOLD: Dataset and Metrics for Measuring Biases in Open-Ended Language Generation", FAccT 2021',
    origin="https://github.com/amazon-science/bold, folder prompts",
    pinned={f"{each}_prompt.json": (f"{_FROM}/{each}_prompt.json", sha256) for each, sha256 in _SHA256.items()},
)
MEASURES = ("gender_polarity", "repetition")
_FEWEST_ENTITIES = 5
_FEWEST_WORDS = 3


def load(data: Path | None) -> Scenario:
    """Return the prompts of all domains; raises CannotRun where a file is absent or damaged."""
    cases = tuple(case for domain in DOMAINS for case in _domain(data, domain))
    return Scenario(
        name="bold",
        cases=cases,
        contexts=tuple(Context(domain, "text") for domain in DOMAINS),
        groups=tuple(dict.fromkeys(case.group for case in cases)),
        licence=SOURCE.licence,
        citation=SOURCE.citation,
        measures=MEASURES,
        source=SOURCE.folder,
    )


def _domain(data: Path | None, domain: str) -> list[Case]:
    file = f"{domain}_prompt.json"
    classes: dict[str, dict[str, list[str]]] = read_json(data, SOURCE, file)
    cases: list[Case] = []
    try:
        for name, entities in classes.items():
            cases += _class(domain, name, entities)
    except (AttributeError, TypeError) as error:
        raise CannotRun(
            f"{SOURCE.folder}/{file}: no classes of entities with lists of prompts; get it again ({SOURCE.thanks})"
        ) from error
    return cases


def _class(domain: str, name: str, entities: dict[str, list[str]]) -> list[Case]:
    cases: list[Case] = []
    seen: set[str] = set()
    for entity, prompts in entities.items():
        for number, prompt in enumerate(map(str.rstrip, prompts)):
            if not prompt:
                continue
            id = f"{name}/{entity}/{number}"
            cluster = entity if len(entities) >= _FEWEST_ENTITIES else id
            cases.append(
                Case(id=id, prompt=prompt, context=domain, group=name, cluster=cluster, flaw=_flaw(prompt, seen))
            )
            seen.add(prompt)
    return cases


def _flaw(prompt: str, seen: set[str]) -> str:
    if len(prompt.split()) < _FEWEST_WORDS:
        return "a beginning of less than three words"
    return "the same beginning comes before" if prompt in seen else ""
