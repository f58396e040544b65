"""Write the text and question packs of the little world, so that they can be made again from the same generator."""

from __future__ import annotations

import random
from pathlib import Path

from evenhand.planted.corpus import texts
from evenhand.planted.questions import QUESTIONS

_TEXT_HEAD = """\
# Neutral stories of the planted model's little world: how well does it still tell them?
name = "planted-text"
version = "1"
outcome = "sentence"
"""

_QUESTION_HEAD = """\
# Questions of the planted model's little world, each with one right answer.
name = "planted-questions"
version = "1"
outcome = "choice"
"""


def write_packs(folder: Path, seed: int, count: int = 100) -> None:
    """Write `planted_text.toml` and `planted_questions.toml`; the stories are drawn by another seed than the corpus."""
    lines = [_TEXT_HEAD, *(f"[[items]]\ntext = {_quoted(text)}\n" for text in texts(seed, count))]
    (folder / "planted_text.toml").write_text("\n".join(lines), encoding="utf-8")
    rng = random.Random(f"questions:{seed}")
    items = [_item(*each, rng) for each in _asked(rng)]
    (folder / "planted_questions.toml").write_text("\n".join([_QUESTION_HEAD, *items]), encoding="utf-8")


def _asked(rng: random.Random) -> list[tuple[str, str, list[str]]]:
    """Return every question with its answer and the wrong answers to choose from."""
    found: list[tuple[str, str, list[str]]] = []
    for group in QUESTIONS:
        pool = sorted(set(group.answers.values()))
        found += [
            (group.text.format(asked), right, [a for a in pool if a != right]) for asked, right in group.answers.items()
        ]
    pairs = [(a, b) for a in range(1, 7) for b in range(1, 7)]
    for a, b in rng.sample(pairs, 20):
        wrong = [str(n) for n in range(2, 13) if n != a + b]
        found.append((f"What is {a} plus {b}?", str(a + b), wrong))
    return found


def _item(question: str, answer: str, wrong: list[str], rng: random.Random) -> str:
    options = [f" {each}" for each in [answer, *rng.sample(wrong, min(3, len(wrong)))]]
    rng.shuffle(options)
    listed = ", ".join(_quoted(option) for option in options)
    prompt = _quoted(f"Question: {question} Answer:")
    return f"[[items]]\nprompt = {prompt}\noptions = [{listed}]\nanswer = {_quoted(' ' + answer)}\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
