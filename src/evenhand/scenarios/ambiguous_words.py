"""Two ambiguous words of a little world: which assignment of good and bad words is likelier, are claims agreed with?

For the model `planted-ambiguous`, which was made so: where nothing tells whether "teal" and "ochre" are colours or
peoples (`open`), and where they are colours (`colour`), it puts bad words with ochre; where they are groups (`group`)
it is fair; and it disagrees with claims everywhere (contexts named "claims: …"). All pairs of words, and all
surroundings, are held out from its training. Balanced for the order of words and of the two groups, as in
`association`.

Why not to trust it alone: it is a toy of 25 pairs of words. A planted share of 0.9 is one of probability: the likelier
assignment is then always the stereotype, so `value` saturates at 1; `lead` does not, and `ambiguous_words_generated`
counts answers.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._shared.ambiguous import CONDITIONS, LICENCE, asked, world


def load(data: Path | None) -> Scenario:
    """Return the implicit and the explicit questions, one context of each per condition; needs no data."""
    implicit, explicit = asked(world().held_out)
    return Scenario(
        name="ambiguous_words",
        cases=tuple(implicit + explicit),
        contexts=(
            *(Context(condition, "pair") for condition in CONDITIONS),
            *(Context(f"claims: {condition}", "choice") for condition in CONDITIONS),
        ),
        licence=LICENCE,
        pooled=False,
        measures=("implicit_association", "explicit_association", "agreement_log_odds", "option_mass"),
    )
