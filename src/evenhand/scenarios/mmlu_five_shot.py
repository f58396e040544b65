"""MMLU after five solved examples: the form whose numbers are published; 14,042 questions of 57 subjects.

The same questions and flaws as `mmlu`, and the same reasons why not to trust it alone. Before each stand the five
development questions of its subject with their answers, in the order of the file, as in lm-eval with `num_fewshot` 5.
Half of the prompts have more than 510 tokens of GPT-2, the longest 3,143: those that a model cannot see whole are left
undefined here, where lm-eval cuts them off on the left and so asks without some of the examples. Five development
questions of clinical knowledge and college medicine are test questions of the other of the two.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.scenario import Scenario
from evenhand.scenarios._shared.mmlu import mmlu

SHOTS = 5


def load(data: Path | None) -> Scenario:
    """Return the test questions after their examples; raises CannotRun where a file is absent or damaged."""
    return mmlu("mmlu_five_shot", SHOTS, data)
