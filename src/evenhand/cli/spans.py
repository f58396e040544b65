"""`evenhand spans`: which words of the texts to be unlearned a selector takes, to be looked at before training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evenhand.cli import options

if TYPE_CHECKING:
    from evenhand.core.case import Case
    from evenhand.core.marked import MarkedTexts
    from evenhand.core.spans import Spans
    from evenhand.lm.model import LM

SHOWN = 30
"""Words printed."""
NEUTRAL = 64
"""Texts to compare with, where the scenario has none: as many as unlearning takes if not told otherwise."""


def spans(
    model: options.Model,
    scenario: options.ScenarioName,
    selector: Annotated[
        str, typer.Option("--selector", "-l", help="Which selector (see `evenhand list spans`), or a file of yours.")
    ] = "given",
    set_: Annotated[list[str] | None, typer.Option("--set", help="A setting of the selector, key=value.")] = None,
    groups: Annotated[
        list[str] | None, typer.Option("--groups", "-g", help="Only texts about this group; may be repeated.")
    ] = None,
    utility: Annotated[
        list[str] | None,
        typer.Option(help="Neutral texts to compare with, if the scenario has none; may be repeated."),
    ] = None,
    chat: options.Chat = None,
    dtype: options.DType = "float32",
    device: options.Device = None,
    device_map: options.DeviceMap = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
    out: Annotated[Path | None, typer.Option(help="Write all texts with their spans to this JSON file.")] = None,
    replace: options.Replace = False,
    json_: options.Json = False,
) -> None:
    """Show which words unlearning would select in a scenario's texts, and how much of these it is.

    What --out writes can be corrected, and trained on with the selector "given" and its setting file.

    Example: evenhand spans gpt2 --scenario hatecheck --groups women --selector pmi --set least=0.5 --out women.json
    """
    from evenhand import find
    from evenhand.cli.screen import working
    from evenhand.spans._chosen import selected
    from evenhand.study.utility import together
    from evenhand.train.forget import forgettable

    if out is not None:
        options.check_out(out, replace)
    settings = options.settings(set_)
    chosen = find.build("spans", selector, settings)
    asked = options.open_scenario(scenario, None)
    texts = together(tuple(utility or ("neutral_text",)))
    lm = options.open_lm(model, chat, dtype=dtype, device=device, device_map=device_map, revision=revision,
                         trust_remote_code=trust_remote_code)  # fmt: skip
    with working(lm, "only what the selector keeps itself is kept"):
        found = forgettable(lm, asked, groups or ())
        taken = selected(chosen, lm, found.cases, found.neutral or texts.running_texts[:NEUTRAL])
    about = {"selector": selector, "settings": settings, "scenario": asked.name,
             "scenario_fingerprint": asked.fingerprint, "groups": tuple(groups or ())}  # fmt: skip
    marked = _marked(lm, found.cases, taken, about)
    if out is not None:
        options.write_text(out, marked.model_dump_json(indent=1))
    _print(marked, out, json_)


def _marked(lm: LM, cases: Sequence[Case], taken: Sequence[Spans], about: dict[str, Any]) -> MarkedTexts:
    from evenhand.core.marked import Marked, MarkedTexts
    from evenhand.study.models import identity
    from evenhand.train.coverage import coverage
    from evenhand.train.objectives import passages

    texts = [case.prompt for case in cases]
    marked = tuple(
        Marked(id=case.id, text=case.prompt, spans=few, words=tuple(_words(case.prompt, few)))
        for case, few in zip(cases, taken, strict=True)
    )
    covered = coverage(lm, texts, passages(lm, texts, taken))
    return MarkedTexts(**about, model=identity(lm), coverage=covered, texts=marked)


def _words(text: str, spans: Spans) -> list[str]:
    """The words of a text, or parts of them, that stand in spans; marks where there is no word."""
    from evenhand.core.spans import words

    pieces = [text[start:end] for start, end in spans]
    return [word for piece in pieces for word in ([piece[a:b] for a, b in words(piece)] or [piece.strip()])]


def _print(marked: MarkedTexts, out: Path | None, json_: bool) -> None:
    from evenhand.cli.screen import document, table

    times = Counter(word.lower() for each in marked.texts for word in each.words)
    texts = Counter(word for each in marked.texts for word in {word.lower() for word in each.words})
    if json_:
        document(
            {**marked.model_dump(mode="json"), "words": dict(times.most_common()), "out": str(out) if out else None}
        )
        return
    body = [[word, str(count), str(texts[word])] for word, count in times.most_common(SHOWN)]
    about = " and ".join(marked.groups) or "all groups"
    table(f"{marked.selector}, {marked.scenario} about {about}", ["selected word", "times", "texts"], body)
    if len(times) > SHOWN:
        print(f"and {len(times) - SHOWN} other words")
    print(marked.coverage)
    if out is not None:
        print(f"saved in {out}")
