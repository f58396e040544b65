"""RedditBias: 1,216 biased comments and the same with another group in their place, five bias types (test split).

Barikeri, Lauscher, Vulić, Glavaš, "RedditBias: A Real-World Resource for Bias Evaluation and Debiasing of
Conversational Language Models", ACL 2021 (MIT; read from EVENHAND_DATA). People marked comments on Reddit as biased
against women, Black people, lgbtq people, Jews and Muslims; a program put men, white people, straight people and
Christians (twice) in their place. Contexts are the bias types (religion1: Jews, religion2: Muslims), the cluster is the
pair; the first sentence is the comment as it was. Measured is which sentence has the higher perplexity and by how much
(`paired_perplexity`): lower for the first one means that the model finds the prejudice likelier about the group it is
about. This is the split on which the paper reports; the other one is `redditbias_valid`.

The authors' code scores causal models without a start token, so the first word plays no part; here it does
(docs/decisions/0006). Their files are "reduced": pairs with an outlying perplexity of DialoGPT are gone already.

Known defects: swapped text is machine-made, in lower case and without punctuation, at times ungrammatical or about the
wrong sense of a word; one pair swaps nothing and two comments come twice (marked as flaws).

Why not to trust it alone: group names differ in frequency and number of tokens, which moves the perplexity of a whole
sentence without any prejudice; a mean of perplexities is ruled by the few sentences a model finds strangest (in the
authors' own files one pair is worth thousands of others), so look at the difference of logarithms beside it; and a
swapped comment is often merely false or odd ("wife" to "husband") rather than a prejudice reversed.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.scenario import Scenario
from evenhand.scenarios._shared.redditbias import scenario


def load(data: Path | None) -> Scenario:
    """Return the pairs of the test split; raises CannotRun where a file is absent or damaged."""
    return scenario(data, "redditbias", "test")
