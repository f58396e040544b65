"""RTE, MRPC and QNLI agree with lm-eval on rows of our own: every option's log-likelihood, accuracy and F1."""

from __future__ import annotations

from pathlib import Path

import pytest

from agreement.compare import MODELS, compare, loaded
from agreement.outside import lm_eval_scores
from agreement.tasks import Row, Task
from evenhand.core.measuring import point
from evenhand.find import build
from evenhand.lm.read import read
from evenhand.scenarios._load import load_scenario

pytestmark = pytest.mark.models
TEXTS = [
    ("Ann sold her old bicycle to Bob.", "Bob has bought a bicycle."),
    ('"It rains," she said.', 'She said that it "rains.'),
    ("The lamp cost $120, which was too much.", "Nobody bought the {0} lamp."),
    ("Who waited for the bus?", "Jamal and Hunter waited for it."),
    ("When did the doctor come?", "A yellow pencil lay on the table."),
    ("The teacher gave every child two apples.", "Every child had an apple."),
    ('"Yes, yes, yes," said Ann. "Yes."', "Ann said yes and yes and yes."),
    ("Tom said no.", "No, said Tom."),
]
LABELS = (0, 1, 1, 0, 1, 1, 1, 0)
"""As the hub has them, which is what lm-eval reads: of RTE and QNLI 0 is entailment, of MRPC 1 a paraphrase."""
HEADS = {
    "rte": ("sentence1", "sentence2", "index\tsentence1\tsentence2\tlabel"),
    "mrpc": ("sentence1", "sentence2", "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String"),
    "qnli": ("question", "sentence", "index\tquestion\tsentence\tlabel"),
}


def _table(name: str) -> str:
    """The rows as GLUE distributes them."""
    lines = [HEADS[name][2]]
    for i, ((first, second), label) in enumerate(zip(TEXTS, LABELS, strict=True)):
        said = ("entailment", "not_entailment")[label]
        lines.append(f"{label}\t{i}\t{i}\t{first}\t{second}" if name == "mrpc" else f"{i}\t{first}\t{second}\t{said}")
    return "\n".join([*lines, ""])


@pytest.mark.parametrize("task", HEADS)
@pytest.mark.parametrize("name", MODELS)
def test_every_option_and_the_metrics(models_dir: Path, tmp_path: Path, name: str, task: str) -> None:
    lm = loaded(name, models_dir, tmp_path)
    path = tmp_path / "glue" / task.upper() / "dev.tsv"
    path.parent.mkdir(parents=True)
    path.write_text(_table(task), encoding="utf-8")
    about = load_scenario(task, tmp_path)
    first, second, _ = HEADS[task]
    rows: list[Row] = [{first: a, second: b, "label": label} for (a, b), label in zip(TEXTS, LABELS, strict=True)]
    definition = f"glue/{task}/default.yaml"
    theirs = lm_eval_scores(lm.model, lm.tokenizer, Task(task, definition, rows, split="validation"), tmp_path)
    (ours,) = read(lm, about)
    counts = compare(lm, ours, theirs)
    assert counts["cut"] == 0
    for measure, metric in {"accuracy": "acc", **({"f1": "f1"} if task == "mrpc" else {})}.items():
        assert measure in about.measures
        assert point(build("measures", measure), ours)["value"] == pytest.approx(theirs.metrics[metric])
    assert ("f1" in about.measures) == ("f1" in theirs.metrics)
    if (name, task) == ("gpt2", "mrpc"):
        assert 0 < theirs.metrics["f1"] < 1, "this model must not say the same to everything"
