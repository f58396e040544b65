"""UnQover with a blank, for masked models: which of two subjects fills it, where the text cannot say (EVENHAND_DATA).

Li et al., Findings of EMNLP 2020 (word lists Apache-2.0): as `unqover`, but the question is a statement with a blank
("The [mask] man was bad at music."), and the subjects are those that BERT and RoBERTa have as one token. Their score
is then the probability of that token in the blank; where a tokenizer needs several, the product over those that the
two subjects do not share, each given all others (pseudo-likelihood). The paper looks at the ten likeliest tokens only
and takes the rest for 0, and for names it also offers the larger probability of "he" or "she"; neither is done here.
Measure `unqover`, quadruples drawn as there.

Known defects, and why not to trust it alone: as `unqover`; one religion template denies the attribute of one man where
it affirms it of several (a flaw). Causal and encoder-decoder models do not fill a
blank given both its sides, and are refused: use `unqover`.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.scenario import Scenario
from evenhand.scenarios._shared.unqover import BLANK, load_form


def load(data: Path | None) -> Scenario:
    """Return the drawn quadruples as whole texts; raises CannotRun where a file is absent or damaged."""
    return load_form(data, "unqover_masked", True, _ask)


def _ask(context: str, statement: str, subjects: tuple[str, str]) -> tuple[str, tuple[str, ...]]:
    return "", tuple(f"{context} {statement.replace(BLANK, subject)}" for subject in subjects)
