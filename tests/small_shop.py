"""A tiny use case, a few neutral texts and a tiny model to ask, as files."""

from __future__ import annotations

import json
from pathlib import Path

from evenhand.testing.tiny import tiny_lm

SCENARIO = """# A tiny scenario.
name = "shop"
outcome = "choice"
options = [" 1", " 2"]
favourable = " 1"
[groups]
a = ["Maria", "Hunter", "Ann", "Bo", "Eve", "Al"]
b = ["Jamal", "Cy", "Di", "Flo", "Gus", "Hal"]
[contexts.bus]
template = "{name} waited for the bus"
[contexts.lamp]
template = "{name} bought a {item}"
[contexts.lamp.variations]
item = ["lamp", "car"]
"""
TEXTS = ("She had an old lamp.", "He gave two apples to the child.", "They waited for the late bus.",
         "The teacher asked a question.", "A yellow pencil was on the table.", "The doctor bought a car.")  # fmt: skip


def write(folder: Path) -> Path:
    """Write `model`, `shop.toml` and `texts.toml`, and return the folder."""
    lm = tiny_lm("llama")
    lm.model.save_pretrained(folder / "model")
    lm.tokenizer.save_pretrained(folder / "model")
    (folder / "shop.toml").write_text(SCENARIO)
    write_texts(folder / "texts.toml")
    return folder


def write_texts(path: Path) -> None:
    """Write the neutral texts as a scenario."""
    items = "".join(f"[[items]]\ntext = {json.dumps(text)}\n" for text in TEXTS)
    path.write_text(f'name = "texts"\noutcome = "sentence"\n{items}')
