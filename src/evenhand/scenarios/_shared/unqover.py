"""What both forms of UnQover have in common: its word lists and templates, and which quadruples are made of them."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import combinations, product
from pathlib import Path
from typing import TypeVar

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun
from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._data import Source, read_lines

_FROM = "https://raw.githubusercontent.com/allenai/unqover/3e47969b78acc0de436f9d17c9ab1b2f6a108ff0/word_lists"
DOMAINS = {
    "gender": (("female", "male"), "gender", "occupation_rev1"),
    "nationality": (("country",), "country", "biased_country"),
    "ethnicity": (("ethnicity",), "ethnicity", "biased_ethnicity"),
    "religion": (("religion",), "religion", "biased_religion"),
}
"""Domain → files of subjects, templates and attributes; with two files of subjects, a pair has one of each."""
BLANK = "[mask]"
_MASKED_ONLY = "a blank inside a text is filled given both its sides; ask this one with 'unqover'"
_ENTRY = re.compile(r"\[(?P<form>[a-z_:-]+)\]\s*(?:(?P<kind>[^|]*?)\s*\|)?\s*(?P<text>\S.*?)\s*")
_ACT = re.compile(r"\[(?P<head>[a-z]+)_act(?:-single)?(?::neg)?\]")
_SUBJECT = re.compile(r"(?P<article>\b[Aa] )?\[subj(?P<place>[12])(?P<form>(?::dem)?)\]")
_AN = re.compile(r"(?!Eu|U[gkrz])[AEIOU]")
_Thing = TypeVar("_Thing")
_MISSPELT = {"Spain": "Spainish", "Yemen": "Yemen"}


@dataclass(frozen=True, slots=True)
class Size:
    """How many subjects (of both files together), attributes of each sort and templates are drawn, by what seed.

    None: all, which is billions of tokens. What a smaller size draws, a larger one with the same seed draws too.
    """

    subjects: int | None = 8
    attributes: int | None = 12
    templates: int | None = 2
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Subject:
    """Someone a template is about; `unit` is what scores are averaged over: the gender of a name, else the subject."""

    unit: str
    text: str
    demonym: str

    def written(self, form: str) -> str:
        """Return the subject as a place of a template wants it."""
        return self.demonym if form else self.text


@dataclass(frozen=True, slots=True)
class Template:
    """A context with a question, or a statement with a blank, and the same with the attribute denied."""

    number: int
    context: str
    question: str
    negated: str

    @property
    def head(self) -> str:
        """What is asked about: persons (p) or places (l)."""
        found = _ACT.search(self.question)
        return found["head"] if found else ""

    @property
    def form(self) -> str:
        """How it writes its subjects: plainly, or as demonyms."""
        found = _SUBJECT.search(self.context)
        return found["form"] if found else ""

    @property
    def flaw(self) -> str:
        """Why it is known to be bad."""
        same = _ACT.sub("", self.question) == _ACT.sub("", self.negated)
        return "" if same else "the template denies the attribute of another number of persons"


@cache
def source() -> Source:
    """Return where the lists are, and where they can be downloaded."""
    listed = resources.files("evenhand.scenarios._shared").joinpath("unqover_sha256.txt").read_text(encoding="utf-8")
    return Source(
        folder="unqover",
        licence="Apache-2.0",
        citation='T. Li, T. Khot, D. Khashabi, A. Sabharwal, V. Srikumar, "UnQovering Stereotyping Biases via '
        'Underspecified Questions", Findings of EMNLP 2020',
        origin="https://github.com/allenai/unqover, word_lists/",
        pinned={file: (f"{_FROM}/{file}", sha256) for sha256, file in map(str.split, listed.splitlines())},
    )


Ask = Callable[[str, str, tuple[str, str]], tuple[str, tuple[str, ...]]]
"""Makes prompt and options of a context, a question (or statement) about it, and the two subjects."""


def load_form(data: Path | None, name: str, masked: bool, ask: Ask, size: Size = Size()) -> Scenario:
    """Return the quadruples of all four domains; raises CannotRun where a file is absent or damaged.

    `masked`: the templates with a blank and, of the subjects, those that are one token for BERT and for RoBERTa.
    """
    cases: list[Case] = []
    for domain, (files, slot, activity) in DOMAINS.items():
        templates = _templates(data, f"slots/{slot}_noact{'_lm' if masked else ''}")
        kept = _drawn(templates, size.templates, f"{size.seed}:{domain}:templates")
        acts = _listed(data, f"activities/{activity}")
        few = [
            _drawn(_subjects(data, file, masked), size.subjects and size.subjects // len(files),
                   f"{size.seed}:{domain}:{file}")
            for file in files
        ]  # fmt: skip
        pairs = list(product(few[0], few[1]) if len(few) == 2 else combinations(few[0], 2))
        for template in kept:
            numbers = range(len(acts[f"{template.head}_act"]))
            for number in _drawn(numbers, size.attributes, f"{size.seed}:{domain}:{template.head}"):
                attribute = {form: texts[number][1] for form, texts in acts.items() if form[0] == template.head}
                for pair in pairs:
                    cases += _quadruple(domain, pair, template, (f"{template.head}{number}", attribute), ask)
    return Scenario(
        name=name,
        cases=tuple(cases),
        contexts=tuple(Context(domain, "pair") for domain in DOMAINS),
        licence=source().licence,
        citation=source().citation,
        pooled=False,
        measures=("unqover",),
        masked_only=_MASKED_ONLY if masked else "",
        source=source().folder,
    )


def _quadruple(
    domain: str, pair: tuple[Subject, Subject], template: Template, attribute: tuple[str, dict[str, str]], ask: Ask
) -> Iterator[Case]:
    """Yield the four questions: the subjects in both orders, the attribute affirmed and denied."""
    one, two = (subject.written(template.form) for subject in pair)
    name, written = attribute
    cluster = f"{domain}/{one}|{two}" if not template.form else f"{domain}/{pair[0].text}|{pair[1].text}"
    quadruple = f"{cluster}/{template.number}/{name}"
    misspelt = [subject.text for subject in pair if template.form and _MISSPELT.get(subject.text) == subject.demonym]
    for order, placed in (("12", (one, two)), ("21", (two, one))):
        context = _SUBJECT.sub(lambda found, placed=placed: _placed(found, placed), template.context)
        for negated, question in (("no", template.question), ("yes", template.negated)):
            said = _ACT.sub(lambda found: written[found.group()[1:-1]], question)
            prompt, options = ask(context, said, (one, two))
            yield Case(
                id=f"{quadruple}/{order}{'-negated' if negated == 'yes' else ''}",
                prompt=prompt,
                context=domain,
                cluster=cluster,
                options=options,
                facts=(("order", order), ("negated", negated), ("quadruple", quadruple), ("x1", pair[0].unit),
                       ("x2", pair[1].unit), ("attribute", f"{domain}/{name}")),
                flaw=template.flaw or (f"the demonym of {misspelt[0]} is misspelt" if misspelt else ""),
            )  # fmt: skip


def _placed(found: re.Match[str], subjects: tuple[str, str]) -> str:
    """Return a subject with the article it needs."""
    subject, article = subjects[int(found["place"]) - 1], found["article"] or ""
    return f"{article[0]}n {subject}" if article and _AN.match(subject) else f"{article}{subject}"


def _drawn(things: Sequence[_Thing], n: int | None, seed: str) -> list[_Thing]:
    order = random.Random(seed).sample(range(len(things)), len(things))
    return [things[i] for i in sorted(order[:n])]


def _listed(data: Path | None, file: str) -> dict[str, list[tuple[str, str]]]:
    """Return form → (kind, text) in the order of a list, whose forms must be aligned."""
    found: dict[str, list[tuple[str, str]]] = {}
    for line in read_lines(data, source(), file):
        entry = _ENTRY.fullmatch(line.strip())
        if entry:
            found.setdefault(entry["form"], []).append((entry["kind"] or "", entry["text"]))
        elif not line.lstrip().startswith("#"):
            raise CannotRun(f"{source().folder}/{file}: no entry of a list: {line!r}; get the file again")
    for form, texts in found.items():
        plain = form.replace(":neg", "").replace(":dem", "")
        if len(texts) != len(found.get(plain, ())):
            raise CannotRun(f"{source().folder}/{file}: {form} has {len(texts)} entries, not as many as {plain}")
    return found


def _subjects(data: Path | None, file: str, masked: bool) -> list[Subject]:
    """Return the subjects of a list, or those in both of its lists for masked models."""
    lists = [_listed(data, f"nouns/subjects/{file}{end}") for end in (("_bert", "_roberta") if masked else ("",))]
    found = [
        [Subject(kind or text, text, demonym) for (kind, text), (_, demonym) in
         zip(each["subj"], each.get("subj:dem", each["subj"]), strict=True)]
        for each in lists
    ]  # fmt: skip
    return [subject for subject in dict.fromkeys(found[0]) if all(subject in each for each in found)]


def _templates(data: Path | None, file: str) -> list[Template]:
    parts = [line.strip().split("\t") for line in read_lines(data, source(), file)]
    if not all(len(each) == 3 and _ACT.search(each[1]) and _ACT.search(each[2]) for each in parts):
        raise CannotRun(f"{source().folder}/{file}: a template has a context and two questions; get the file again")
    return [Template(number, *each) for number, each in enumerate(parts)]
