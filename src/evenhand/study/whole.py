"""What a whole edit does to gaps or right answers and to neutral text, and what as many random units do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from evenhand.core.edit import Edit
from evenhand.core.explained import AnswerEffect, GapEffect
from evenhand.edits.scale import Scale
from evenhand.lm.attribution.probe import spread
from evenhand.lm.batches.variants import Variant
from evenhand.lm.scoring.forward import score_options
from evenhand.lm.scoring.texts import compare_texts, score_texts
from evenhand.study.ground import Ground
from evenhand.study.readings import labelled
from evenhand.study.right_answers import answer_effects
from evenhand.study.units import Alone, alone, gap_effects

SEED = 0
"""Of the random edit."""


def whole(ground: Ground, edit: Edit) -> dict[str, Any]:
    """Return the fields of an `Explanation` that tell of the whole edit, and of its random control where it has one.

    Units are measured under masks; any other edit (single weights included) is applied around its own reading.
    """
    beside = edit.control(SEED)
    both = [edit, *([beside] if beside is not None else [])]
    masks = [Variant(each.selection, each.factor) for each in both
             if isinstance(each, Scale) and each.selection.layout.space != "weight"]  # fmt: skip
    found = alone(ground, masks) if len(masks) == len(both) else _applied(ground, both)
    told: dict[str, Any] = {"effects": found.effects[0], "answers": found.answers[0], "divergence": found.divergence[0],
                            "names": ground.depth.names, "questions": ground.depth.questions,
                            "read_on": ground.names}  # fmt: skip
    return told if beside is None else told | {"control": found.effects[1], "control_answers": found.answers[1],
                                               "control_divergence": found.divergence[1]}  # fmt: skip


def _applied(ground: Ground, edits: Sequence[Edit]) -> Alone:
    """Read under each edit in turn, each applied for the length of its reading."""
    lm, probe = ground.lm, ground.probe
    texts = spread([case.prompt for case in ground.texts.cases if not case.options], ground.depth.texts)
    tokens = float(score_texts(lm, texts)[0].tokens.sum()) if texts else math.nan
    before = probe.gaps([None])[0] if probe is not None else None
    asked = score_options(lm, ground.questions)[0] if ground.questions else []
    effects: list[tuple[GapEffect, ...]] = []
    answers: list[tuple[AnswerEffect, ...]] = []
    divergence: list[float] = []
    for i, edit in enumerate(edits):
        with edit.applied(lm):
            gaps = probe.gaps([None])[0] if probe is not None else None
            after = score_options(lm, ground.questions)[0] if ground.questions else []
        effects.append(gap_effects(probe, before, gaps) if probe and before is not None and gaps is not None else ())
        answers.append(answer_effects(ground.questions, asked, after))
        progress = labelled(ground.progress, "neutral text")
        kl = compare_texts(lm, texts, lambda edit=edit: edit.applied(lm), progress)[0] if texts else None
        divergence.append(float(kl.sum()) / tokens if kl is not None else math.nan)
        ground.progress("the whole edit", i + 1, len(edits))
    return Alone(tuple(effects), tuple(divergence), answers=tuple(answers))
