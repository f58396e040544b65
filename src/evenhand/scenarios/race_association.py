"""Race or colour? Implicit and explicit association of "black" and "white", of colours, of names, by likelihood.

Measures, beside each other, which assignment of good and bad words a model finds likelier (implicit) and whether it
agrees with such claims (explicit), after Sun et al. ("Aligned but Blind", ACL 2025): three sets of words (valence,
guilt, weapons) under four conditions. `colour words`: the identifiers are white and black, which may be colours or
races. `purely as colours`: the prompt says they are colours. `names`: first names of the name audit of Salinas et al.,
in turn, men with men and women with women. `capitalised`: White and Black. The contexts named "claims: …" are the
explicit ones. `value` is pooled over the word pairs, `macro` the mean over the three sets.

Words are those of Bai et al. (PNAS 2025). The prompts are ours: those of the paper have no licence. They are balanced,
which the paper's are not: there, copying the order of listing scores 25 %. So the numbers are not those of the paper.

Why not to trust it alone: the large effect lives in the ambiguous colour words; with names it is at or below one half,
so much of it may be about colours. See also `association` for what else limits such tests.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.case import Case
from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._shared.association import claims, questions
from evenhand.scenarios._shared.race_association import CITATION, LICENCE, READ, conditions


def load(data: Path | None) -> Scenario:
    """Return implicit and explicit questions, one context of each per condition; raises CannotRun without the data."""
    cases: list[Case] = []
    contexts: list[Context] = []
    for condition, prefix, sets in conditions(data):
        explicit = f"claims: {condition}"
        contexts += [Context(condition, "pair"), Context(explicit, "choice")]
        cases += [case for stimuli in sets for case in questions(condition, stimuli, prefix)]
        cases += [case for stimuli in sets for case in claims(explicit, stimuli, prefix)]
    return Scenario(
        name="race_association",
        cases=tuple(cases),
        contexts=tuple(contexts),
        licence=LICENCE,
        citation=CITATION,
        pooled=False,
        measures=("implicit_association", "explicit_association", "agreement_log_odds", "option_mass"),
        source=READ,
    )
