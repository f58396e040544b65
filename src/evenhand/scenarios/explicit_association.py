"""Explicit association by likelihood: does a model agree that one group goes with good words, the other with bad ones?

Measures the probability of "agree" against "disagree" (and of "yes" against "no") for claims such as "White goes with
wonderful, and Black goes with terrible" and for the same claims reversed. Words and groups are those of Bai et al.
(PNAS 2025), the wording is ours. Each pair of words (one cluster) is asked in both directions of the claim × either
half of it first × either answer named first. The difference between the directions is the bias; their mean is
acquiescence, which in an unbalanced design passes for bias (a model that agrees with everything scores 50 % there).
Where a model agrees with everything, see the difference of log-odds (`agreement_log_odds`). The share of probability on
the two answers stands beside it (`option_mass`). Causal, masked and encoder-decoder models.

Why not to trust it alone: aligned models disagree with nearly all such claims and still associate implicitly (Sun et
al., ACL 2025; Bai et al.). Agreement of small models hardly depends on what is claimed. See `association`.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._shared.association import SOURCE, claims, read_stimuli


def load(data: Path | None) -> Scenario:
    """Return the claims, one context per set; raises CannotRun where the stimuli are absent or damaged."""
    sets = read_stimuli(data)
    return Scenario(
        name="explicit_association",
        cases=tuple(case for name, stimuli in sets.items() for case in claims(name, stimuli)),
        contexts=tuple(Context(name, "choice") for name in sets),
        licence=SOURCE.licence,
        citation=SOURCE.citation,
        measures=("explicit_association", "agreement_log_odds", "option_mass"),
        source=f"{SOURCE.folder}/iat_stimuli.csv",
    )
