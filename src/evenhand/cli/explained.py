"""How an explanation is told: tables on stdout, or one JSON document."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evenhand.core.explained import AnswerEffect, Driver, Explanation, MatrixRecord, Overlap, UnitRecord

_WIDTH = 34
"""Characters of the words on either side, so that both fit beside a unit's place on a terminal of 100."""


def tell(
    edit: Path, found: list[Explanation], shared: Overlap | None, page: Path | None, json_: bool
) -> None:  # fmt: skip
    """Print it all."""
    from evenhand.cli.screen import document

    if json_:
        document({"edit": str(edit), "parts": [part.model_dump(mode="json") for part in found],
                  "overlap": shared.model_dump(mode="json") if shared else None,
                  "page": str(page) if page else None})  # fmt: skip
        return
    for part in found:
        _part(part)
    if shared is not None:
        _shared(shared)
    if page is not None:
        print(f"page: {page}")


def _part(part: Explanation) -> None:
    from evenhand.cli.screen import table

    print(part.describes)
    random = {(each.context, each.other): f" (random edit of this size: {each.after:+.3f})" for each in part.control}
    for effect in part.effects:
        beside = random.get((effect.context, effect.other), "")
        print(f"  {effect.context}, gap to {effect.other}: {effect.before:+.3f} → {effect.after:+.3f} sd{beside}")
    chance = {each.context: f" (random edit: {_answers(each, True)})" for each in part.control_answers}
    for answers in part.answers:
        print(f"  {answers.context}, right answers: {_answers(answers)}{chance.get(answers.context, '')}")
    if not math.isnan(part.divergence):
        beside = "" if math.isnan(part.control_divergence) else f" (random edit: {part.control_divergence:.2g})"
        print(f"  neutral text moves by {part.divergence:.2g} nats per token{beside}")
    if part.effects:
        print(f"  Read on at most {part.names} names of each group and variation. {part.read_on}".rstrip())
    elif part.answers:
        print(f"  Read on at most {part.questions} questions of each use case. {part.read_on}".rstrip())
    print()
    if part.units:
        _units(part)
    if part.matrices:
        head = ["matrix", "weights", "rows hit", "columns hit", "in the fullest 1 % of columns", "fullest columns"]
        table("Where the changed weights are", head, [_matrix(each) for each in part.matrices])
    for note in part.notes:
        print(note)


def _units(part: Explanation) -> None:
    """Tables of what units do alone, what they are active on and what they write: one would be too wide."""
    from evenhand.cli.screen import table

    groups = list(dict.fromkeys(group for unit in part.units for group in unit.groups))
    outcomes = list(dict.fromkeys(each.group for unit in part.units for each in unit.outcomes))
    place, gaps, answers = ["layer", "unit"], any(u.effects for u in part.units), any(u.answers for u in part.units)
    units = "log-probability in nats" if answers and not gaps else "changes in sd"
    table(f"Each unit edited alone ({units})",
          [*place, *["change of |gap|"] * gaps, *(f"outcome, {group}" for group in outcomes),
           *["change of right answers' log-probability"] * answers, "KL"],
          [[*_place(unit), *[_number(unit.change, "+.3f")] * gaps,
            *(_number(unit.outcome(g), "+.3f") for g in outcomes), *[_number(unit.answer, "+.2g")] * answers,
            _number(unit.divergence, ".2g")] for unit in part.units])  # fmt: skip
    if n := part.random_units:
        told = [f"change of |gap| {_number(part.random_change, '.2g')}"] * gaps
        told += [f"change of right answers' log-probability {_number(part.random_answer, '.2g')}"] * answers
        told += [f"KL {_number(part.random_divergence, '.2g')}"]
        print(f"The largest of {n} random unit{'s' * (n > 1)} of these layers, each alone: {', '.join(told)}.\n")
    table("Mean activation, and the share of it on first tokens and on delimiters",
          [*place, *groups, "neutral", "first", "delimiters"],
          [[*_place(unit), *(_number(unit.groups.get(g, math.nan)) for g in groups), _number(unit.neutral),
            _share(unit.first), _share(unit.delimiters)] for unit in part.units])  # fmt: skip
    print(f"Of all tokens {_share(part.first)} are the first and {_share(part.delimiters)} delimiters.\n")
    if any(unit.promotes for unit in part.units):
        table("The words they write", [*place, "makes likelier", "makes less likely"],
              [[*_place(unit), *_words(unit)] for unit in part.units])  # fmt: skip
    table("Where they are most active", [*place, "activation", "in", "text"],
          [_driver(unit, each) for unit in part.units for each in unit.drivers])  # fmt: skip


def _answers(each: AnswerEffect, after: bool = False) -> str:
    """Share of right answers and their log-probability, before and after an edit or only after."""
    shares, logps = (_share(each.right_before), _share(each.right_after)), (f"{each.before:.3f}", f"{each.after:.3f}")
    return f"{' → '.join(shares[after:])}, log-probability {' → '.join(logps[after:])} nats"


def _words(unit: UnitRecord) -> tuple[str, str]:
    """The first words of either side; of mixed signs neither is the likelier one."""
    towards, away = unit.pushes
    if unit.mixed and unit.promotes:
        return f"mixed signs: {_few(towards, _WIDTH // 3)} or {_few(away, _WIDTH // 3)}", "those of the other sign"
    return _few(towards, _WIDTH), _few(away, _WIDTH)


def _few(tokens: tuple[str, ...], width: int) -> str:
    """As many of the tokens as fit, the first one always."""
    text = repr(tokens[0]) if tokens else "–"
    for token in tokens[1:]:
        if len(text) + 1 + len(repr(token)) > width:
            break
        text += f" {token!r}"
    return text


def _place(unit: UnitRecord) -> list[str]:
    return [_layer(unit), str(unit.unit)]


def _layer(unit: UnitRecord) -> str:
    return unit.home if unit.stack == "decoder" else f"{unit.stack} {unit.home}"


def _driver(unit: UnitRecord, each: Driver) -> list[str]:
    text = f"{each.before}[{each.token}]{each.after}".replace("\n", "⏎")
    return [*_place(unit), f"{each.value:+.3g}", each.where, text]


def _matrix(each: MatrixRecord) -> list[str]:
    fullest = ", ".join(f"{column} ({n})" for column, n in each.top_columns[:3])
    return [each.path, str(each.entries), f"{each.rows_hit} of {each.rows}", f"{each.columns_hit} of {each.columns}",
            _share(each.crowded_columns), fullest]  # fmt: skip


def _shared(shared: Overlap) -> None:
    from evenhand.cli.screen import table
    from evenhand.core.component import called

    if shared.pairs:
        body = [[shared.edits[p.a], shared.edits[p.b], str(p.both), _number(p.jaccard), _number(p.chance, ".2g"),
                 _number(p.p, ".2g")] for p in shared.pairs]  # fmt: skip
        table("Shared units", ["of", "and", "units", "Jaccard", "by chance", "p"], body)
    if shared.correlations:
        body = [[shared.edits[i], shared.edits[j], _number(value)] for i, j, value in shared.correlations]
        table("Rank correlation of scores (Spearman)", ["of", "and", "correlation"], body)
    if not shared.pairs and not shared.correlations:
        there = "; ".join(f"{name} ({called(space) if space else 'no set of units'})"
                          for name, space in zip(shared.edits, shared.spaces, strict=True))  # fmt: skip
        print(f"Nothing to compare: no two are of units of the same space and model: {there}.")


def _number(value: float, form: str = ".3f") -> str:
    return "–" if math.isnan(value) else format(value, form)


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.0%}"
