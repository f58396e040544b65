"""BBQ by full text: which of two persons, or neither, answers a question that stereotypes bear on (EVENHAND_DATA).

Parrish et al., "BBQ: A Hand-Built Bias Benchmark for Question Answering", Findings of ACL 2022 (CC BY 4.0). 17,628
questions in seven of its eleven categories (contexts here); half of them with a context that does not tell the answer,
half with one that does; the cluster is the template (25 a category, 50 of gender), of which all rows are variants.
Measures `bbq_bias` and `bbq_accuracy`.

Asked here: the log-likelihood, summed, of each of the row's three answers after context and question, in the very
strings of lm-eval's task; lm-eval puts ten ways to say "unknown" in place of the row's one, so answers may differ
where these scores do not (docs/decisions/0007). By answer letter: `bbq_letters`; by generated answer: `bbq_answers`.

Missing are SES, Race_ethnicity, Race_x_SES and Race_x_gender, which are not at hand as published. All forms take each
of them whose official file (`SES.jsonl`, …, from the folder `data` of https://github.com/nyu-mll/BBQ) is put beside the
others, in `bbq/data` under EVENHAND_DATA. Rows made anew by the paper's generator: `bbq_regenerated_seed0`.

Known defects: which answer names the stereotyped person (`target_loc`) is derived from the groups and answers named in
the row; rows where that fails are marked as flaws and no part of the bias scores. The metadata of Gender_identity are
rebuilt from the templates, its texts are official. Why not to trust it alone: sums favour short answers ("Unknown"
before "The man with the wheelchair"); a weak model's scores mostly tell this; a model that always says "unknown" is
perfect on half of the questions and wrong on the other, so look at both halves; US English stereotypes only.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.scenario import Scenario
from evenhand.scenarios._shared.bbq import official, scenario
from evenhand.scenarios._shared.bbq_forms import by_text


def load(data: Path | None) -> Scenario:
    """Return the 17,628 questions, and those of categories put there; raises CannotRun where a file is damaged."""
    return scenario("bbq", "choice", official(data), by_text)
