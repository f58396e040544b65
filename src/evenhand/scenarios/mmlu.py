"""MMLU without examples: 14,042 questions of 57 school and university subjects with four options each.

Hendrycks et al., "Measuring Massive Multitask Language Understanding", ICLR 2021 (MIT); read from EVENHAND_DATA, or
downloaded file by file. Contexts are the subjects. Prompts are those of lm-eval's `mmlu`: a line that names the
subject, the question, the four options with their letters, "Answer:"; the letters are compared. Guessing gives 0.25.
`option_mass` says how far the model means to answer with a letter at all: small and untuned models do not, and their
accuracy is then noise around the share of the letter they like best.

Known defects: 9 questions with two equal options and 105 that repeat an earlier one are marked as flawed; label errors
are not (Gema et al. 2024, "Are We Done with MMLU?", find 6.5 % of the questions wrong, 57 % of those of virology).

Why not to trust it alone: much of it stands in training corpora, and numbers move by several points with the wording of
the prompt.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.scenario import Scenario
from evenhand.scenarios._shared.mmlu import mmlu


def load(data: Path | None) -> Scenario:
    """Return the test questions; raises CannotRun where a file is absent or damaged."""
    return mmlu("mmlu", 0, data)
