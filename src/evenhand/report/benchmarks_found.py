"""What an audit found, in plain words, and what must not be concluded from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from evenhand.core.record import UNTRAINED, BenchmarkRecord, BenchmarkRef
from evenhand.judge.benchmarks import Line, broken, idle, shown, unlearnt
from evenhand.judge.verdict import Tone
from evenhand.report import words
from evenhand.report.benchmarks_numbers import CHIPS, SILENT, UNLEARNT, Number, State, amount, figure, several, title
from evenhand.report.load import Audit

LIMITS = (
    "This is a measurement, not a certificate. A number near “no bias” does not show that the model is fair: it may "
    "rest on too few items, ask the wrong question, or come from a model that hardly understands it.",
    "Benchmarks measure different things in different units, and often disagree. Do not add them up, and do not "
    "compare the size of one with that of another; how far a number lies from “no bias” can be compared with the same "
    "number of another model only.",
    "The intervals cover the choice of items only: with other items of the same kind the numbers would fall in them "
    "most of the time. Other wordings, other languages and other ways of asking are not covered.",
    "Several numbers of one benchmark are conventions for the same answers and move together: they are no independent "
    "evidence.",
)


@dataclass(frozen=True)
class Bench:
    """A benchmark that was measured, with its numbers that have a value without bias."""

    record: BenchmarkRecord
    numbers: tuple[Number, ...]

    @property
    def name(self) -> str:
        """The name of the benchmark."""
        return self.record.spec.scenario


@dataclass(frozen=True)
class Card:
    """One thing that was found, or must not be concluded, with the benchmarks it is about."""

    title: str
    tone: Tone
    text: str
    items: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Benchmark → what to say of it, a line each."""


def cards(benches: Sequence[Bench], subject: str) -> list[Card]:
    """Return what was found of the unedited model (`base`) or of the edited one (`edit`)."""
    with_value = [bench for bench in benches if bench.numbers]
    paid = [_cost(benches)] if subject == "edit" else []
    if not with_value:
        nothing = "No benchmark was measured that has a value meaning “no bias”."
        return [*paid, Card("Nothing to judge", "none", nothing)]
    off = _items(with_value, subject, lambda state: state.off, _told)
    near = _items(with_value, subject, lambda state: state.label == CHIPS["unsure"][1])
    silent = _items(with_value, subject, lambda state: state.label == SILENT)
    doubted = _items(with_value, subject, lambda state: state.label == UNLEARNT)
    found = [_change(benches), *paid] if subject == "edit" else []
    found.append(_away(off, _amount(off)))
    if near:
        text = (
            f"{words.count(_amount(near), 'number')} whose interval holds “no bias”: a bias is not shown there, and "
            "not ruled out either."
        )
        joined = tuple((name, (", ".join(lines),)) for name, lines in near)
        found.append(Card("Not shown to be away", "none", text, joined))
    if silent or doubted:
        said = [
            f"the{' edited' if subject == 'edit' else ''} model does not do the task of "
            f"{words.listing([name for name, _ in silent], 12)}"
            if silent
            else "",
            "not shown to be more than random weights show: "
            + words.listing([f"{name} ({', '.join(lines)})" for name, lines in doubted], 12)
            if doubted
            else "",
        ]
        text = f"No bias and no fairness can be read from these: {'; '.join(filter(None, said))}. Reasons stand below."
        found.append(Card("No statement", "mixed", text))
    return found


def _change(benches: Sequence[Bench]) -> Card:
    """Return what the edit changed."""
    moved = tuple((bench.name, tuple(f"{n.name}: {n.moved}" for n in bench.numbers if n.moved)) for bench in benches)
    moved = tuple((name, lines) for name, lines in moved if lines)
    if not moved:
        return Card(
            "No change of bias shown",
            "none",
            "No number that has a value without bias is shown to have changed with the edit, in tasks that both do.",
        )
    text = f"{words.count(_amount(moved), 'number')} changed, in tasks that both models do:"
    return Card("What the edit changed", "none", text, moved)


def _cost(benches: Sequence[Bench]) -> Card:
    """Return what the edit did to all else: numbers of benchmarks that have no value without bias."""
    others = [bench for bench in benches if not bench.numbers]
    lines = [(bench.name, tuple(_paid(shown(bench.record)))) for bench in others]
    paid = tuple((name, told) for name, told in lines if told)
    if not others:
        return Card("The cost was not measured", "mixed", "No benchmark of what the model can do was asked, so whether "
                    "the edit broke it is not known. Put some in the suite, such as wikitext and blimp.")  # fmt: skip
    if not paid:
        return Card("No cost shown", "none", "No number of what the model can do is shown to have changed.")
    return Card("What it did to all else", "mixed", "Of what the model can do, these changed with the edit:", paid)


def _paid(lines: Sequence[Line]) -> Iterable[str]:
    for line in lines:
        name = title(line, several(lines))
        if line.row.subject == "edit":
            yield f"{name}: {amount(line.row.estimate)}"
        elif line.edit and line.change and line.change.estimate.excludes(0.0):
            before, after = figure(line.row.estimate.value), figure(line.edit.estimate.value)
            yield f"{name}: {before} → {after}; change {amount(line.change.estimate)}"


def _away(off: tuple[tuple[str, tuple[str, ...]], ...], n: int) -> Card:
    if not off:
        text = (
            "No number of a task that the model does is shown to lie away from “no bias”. That is no proof of fairness."
        )
        return Card("Nothing shown to be away from “no bias”", "none", text)
    text = f"{words.count(n, 'number')} with an interval that excludes “no bias”, in tasks that the model does:"
    return Card("Away from “no bias”", "bad", text, off)


def _told(number: Number, state: State) -> str:
    return f"{number.name}: {state.text}, {state.label} ({number.neutral})"


def _items(
    benches: Iterable[Bench],
    subject: str,
    wanted: Callable[[State], bool],
    tell: Callable[[Number, State], str] = lambda number, state: number.name,
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found = [
        (bench.name, tuple(tell(n, state) for n in bench.numbers if (state := n.of(subject)) and wanted(state)))
        for bench in benches
    ]
    return tuple((name, lines) for name, lines in found if lines)


def _amount(items: Sequence[tuple[str, tuple[str, ...]]]) -> int:
    return sum(len(lines) for _, lines in items)


def luck(benches: Sequence[Bench]) -> str:
    """Return how many numbers would lie away by luck alone; empty where none was judged."""
    labels = {label for _, label in (CHIPS["above"], CHIPS["below"], CHIPS["unsure"])}
    states = [state for bench in benches for number in bench.numbers for state in number.states]
    judged = [state for state in states if state.label in labels]
    if not judged:
        return ""
    level = next(row.estimate.level for bench in benches for row in bench.record.rows)
    return (
        f"{words.count(len(judged), 'number')} could be judged. An interval of {words.percent(level)} misses the truth "
        f"in about {words.number(100 * (1 - level), 0)}\u00a0% of all cases, so of as many numbers about "
        f"{words.number(len(judged) * (1 - level), 1)} would lie away from “no bias” by luck alone."
    )


def cautions(audit: Audit) -> list[Card]:
    """Return what must not be concluded: of tasks not done, broken edits, random weights, and what is missing."""
    done = audit.finished
    found = [
        Card("The model does not do these tasks", "mixed",
             "What is measured there says nothing of its bias, whichever way it points; in a benchmark of abilities it "
             "is the result.", _reasons(done, idle)),
        Card("The edited model no longer does these tasks", "bad",
             "It is broken there, not unbiased.", _reasons(done, broken)),
        Card("Not shown to be more than random weights show", "mixed",
             "They lie away from “no bias”, but not shown to be further away, to that side, than those of the same "
             "model with random weights: they may come from the tokens alone. One draw of random weights was asked; "
             "another gives other numbers.",
             _reasons(done, unlearnt)),
        Card("Not for this model", "none", "It cannot be asked in this way, so nothing is known.",
             _errors(audit, refused=True)),
        Card("Could not be asked", "mixed", "Run the same command again when this is mended.",
             _errors(audit, refused=False)),
    ]  # fmt: skip
    return [card for card in found if card.items]


def _reasons(
    done: Sequence[BenchmarkRecord], why: Callable[[BenchmarkRecord], list[str]]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((each.spec.scenario, tuple(reasons)) for each in done if (reasons := why(each)))


def _errors(audit: Audit, refused: bool) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((ref.scenario, (_why(ref),)) for ref, found in audit.benchmarks
                 if found is None and ref.refused is refused)  # fmt: skip


def _why(ref: BenchmarkRef) -> str:
    return ref.error or "its record is no longer in the folder"


def limits(audit: Audit) -> list[str]:
    """Return what this audit does not show, as sentences; those that follow from it first."""
    found: list[str] = []
    controlled = [each.spec.scenario for each in audit.finished if any(r.subject == UNTRAINED for r in each.rows)]
    if len(controlled) < len(audit.finished):
        where = f" except in {words.listing(controlled, 12)}" if controlled else ""
        found.append(
            f"The same model with random weights was not asked{where}: what comes from the length, number and "
            "frequency of tokens cannot be told apart there from what was learnt (“untrained = true” in a suite "
            "asks it)."
        )
    if audit.record.edit:
        found.append(
            "No random edit of the same size was measured beside this one: a change may be no more than what any "
            "damage of that size does. A study (evenhand run) measures both."
        )
    if flawed := [
        f"{each.spec.scenario} ({each.flawed:,} of {each.cases:,})" for each in audit.finished if each.flawed
    ]:
        found.append(
            f"Some items are known to be bad, and are part of the numbers: {words.listing(flawed, 20)}. The numbers "
            "without them stand beside."
        )
    return [*found, *LIMITS]
