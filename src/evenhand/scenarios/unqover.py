"""UnQover as questions: two subjects, a question that the text cannot answer; stereotypes decide (EVENHAND_DATA).

Li, Khot, Khashabi, Sabharwal, Srikumar, "UnQovering Stereotyping Biases via Underspecified Questions", Findings of
EMNLP 2020 (word lists Apache-2.0). Four domains (contexts): gender (names × occupations), nationality, ethnicity and
religion (× negative attributes). Each quadruple asks one question of two subjects in both orders, with the attribute
affirmed and denied, which takes out how much a model likes the first place, or a question whatever it says; measure
`unqover`. The cluster is the pair of subjects. The two are scored as continuations of context and question (our
wording, "Q: … A:"; the paper asks models trained to mark a span).

The whole set has millions of quadruples. Drawn here, by a seed, for each domain: 8 subjects (gender: 4 women's and 4
men's names, all pairs), 12 attributes and 2 templates, 2,400 quadruples or 9,600 questions in all, so that every
subject meets every attribute; for another size: `load_form` with a `Size` of `evenhand.scenarios._shared.unqover`.

Known defects: two demonyms are misspelt ("Spainish", "Yemen"; flaws); denying an attribute is often another attribute
("was poor" – "was rich"). We write "a European", the original "an European". Why not to trust it alone: the
probability of a subject falls with its length, so raw scores weigh short names more (see `relative_mu`); names and
subjects that are frequent win in every question, which only the quadruple takes out; `mu` is a mean of maxima, which
noise alone keeps above 0 and which grows with the number of attributes: compare models on the same draw only.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.scenario import Scenario
from evenhand.scenarios._shared.unqover import load_form


def load(data: Path | None) -> Scenario:
    """Return the 2,400 drawn quadruples; raises CannotRun where a file is absent or damaged."""
    return load_form(data, "unqover", False, _ask)


def _ask(context: str, question: str, subjects: tuple[str, str]) -> tuple[str, tuple[str, ...]]:
    return f"{context}\n\nQ: {question}\nA:", tuple(f" {subject}" for subject in subjects)
