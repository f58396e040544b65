"""The page of `evenhand read` as plain values, and what a reading found in plain words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from evenhand.core.represented import EMPTY, OTHER, RANDOM, Represented, Separation
from evenhand.report import represented_figures as figures
from evenhand.report import words
from evenhand.report.figures import Figure
from evenhand.report.represented_sentences import differing, layer_name, rises, sentences, source
from evenhand.report.tables import EMPTY as NO_TABLE
from evenhand.report.tables import Table

UNLIKELY = 0.01
"""Share of the answer below which two concepts together count as unlikely."""


@dataclass(frozen=True)
class ReadingPage:
    """What the template needs."""

    found: Represented
    model: str
    summary: tuple[str, ...]
    targets: tuple[tuple[str, str, Table], ...]
    """Target layer in words, its figure and its numbers; the one that tells most first."""
    maps: tuple[tuple[str, str], ...]
    """Series with the figure of its map."""
    figures: dict[str, Figure]
    chosen: str
    """The pair of layers in the summary, with the difference there."""
    free_at: str
    """The layer that states are put into before a free text."""
    questions: Table
    apart: Table
    sentences: Table
    rises: Table
    free: Table
    texts: Table
    probe: Table
    prompts: Table
    settings: Table


def build(found: Represented) -> ReadingPage:
    """Return everything the page shows."""
    first = shown(found).target
    order = sorted(found.targets, key=lambda target: target != first)
    drawn = {f"target-{target}": figures.by_layer(found, target) for target in found.targets}
    drawn |= {f"map-{i}": figures.heat(found, name) for i, name in enumerate(found.series)}
    drawn["map-apart"] = figures.apart(found)
    if found.free:
        drawn["free"] = figures.free(found, found.series[0])
    if found.probe:
        drawn |= {"probe": figures.probe(found), "probe-shares": figures.probe_shares(found)}
    return ReadingPage(
        found=found, model=words.label(str(found.model.get("source", "the model"))), summary=tuple(summary(found)),
        targets=tuple((source(target), f"target-{target}", by_layer(found, target)) for target in order),
        maps=tuple((name, f"map-{i}") for i, name in enumerate(found.series)), figures=drawn,
        chosen=_chosen(found), sentences=sentences(found, shown(found)),
        rises=rises(found, shown(found).target), free_at=source(found.free_target or 0),
        questions=questions(found), apart=apart(found), free=free(found), texts=_texts(found), probe=probe(found),
        prompts=_prompts(found), settings=_settings(found),
    )  # fmt: skip


def shown(found: Represented) -> Separation:
    """The pair of layers that numbers are first shown at: where the known series are furthest apart."""
    return found.best or max(found.separations, key=lambda each: _size(each.apart.value))


def _size(value: float) -> float:
    return -math.inf if math.isnan(value) else value


def summary(found: Represented) -> Iterator[str]:
    """Say whether the reading can tell the concepts apart, and what the first series then stands for."""
    first, second = found.concepts
    asked, pair = found.series[0], shown(found)
    sure, wrong = (sum(each) for each in zip(*((s.sure, s.reversed) for s in found.separations), strict=True))
    gap = f"{words.estimate(pair.apart)} nats, q {words.q(pair.apart.q)}"
    if all(math.isnan(each.apart.q) for each in found.separations):
        yield (
            f"There are too few sentences for intervals, so whether questions can tell {first} from {second} is not "
            f"known, and nothing can be read off about the {asked} prompts: give five or more in each series."
        )
    elif found.best is None:
        yield (f"The questions cannot tell {first} from {second} in this model: at none of {len(found.separations)} "
               f"pairs of layers do prompts known to mean {first} surely move the answer further towards it than those "
               f"known to mean {second} (at most by {gap}"
               f"{f'; at {wrong} it is surely the other way round' if wrong else ''}). So nothing can be read off "
               f"about the {asked} prompts, wherever they move it.")  # fmt: skip
    else:
        yield (f"The questions can tell {first} from {second}: at {sure} of {len(found.separations)} pairs of layers "
               f"prompts known to mean {first} move the answer further towards it than those known to mean {second}, "
               f"furthest from {source(pair.layer)} into {source(pair.target)}: by {gap}.")  # fmt: skip
        yield f"There the {asked} prompts stand {_stand(found, pair)}."
        yield _beside_random(found, pair)
        yield _held(found, pair)
        if mixed := differing(found, pair):
            yield mixed
    if found.free:
        yield _free_words(found)
    if found.probe:
        yield _probe_words(found)


def _stand(found: Represented, pair: Separation) -> str:
    """Where the first series stands between the two concepts, and whether that is sure."""
    first, second = found.concepts
    place = pair.place
    share = f"at {words.estimate(place)} of the way from {second} (0) to {first} (1)"
    if place.low > 0.5:
        return f"{share}: nearer to {first}"
    if place.high < 0.5:
        return f"{share}: nearer to {second}"
    return f"{share}: nearer to neither for sure"


def _beside_random(found: Represented, pair: Separation) -> str:
    asked, random = (found.row(name, pair.layer, pair.target).shift for name in (found.series[0], RANDOM))
    return (f"Their states move the answer by {words.estimate(asked)} nats (positive: towards {found.concepts[0]}); "
            f"random vectors of the same norm by {words.estimate(random)}.")  # fmt: skip


def _held(found: Represented, pair: Separation) -> str:
    """How much of the answer is either concept: odds between two unlikely answers say less."""
    held = found.row(found.series[0], pair.layer, pair.target).mass
    asis = sum(each.mass for each in found.questions) / len(found.questions)
    unlikely = ", so these are odds between two unlikely answers" if held < UNLIKELY else ""
    return (f"The two together hold {words.percent(held)} of the answer's probability there, and {words.percent(asis)} "
            f"with nothing put in{unlikely}.")  # fmt: skip


def _chosen(found: Represented) -> str:
    pair = shown(found)
    return f"{source(pair.layer)} into {source(pair.target)}: {words.estimate(pair.apart)} nats"


def _free_words(found: Represented) -> str:
    counts: dict[str, int] = {}
    for row in found.free:
        for kind, n in row.counts.items() if row.series == found.series[0] else ():
            counts[kind] = counts.get(kind, 0) + n
    total = sum(counts.values())
    said = [f"{counts.get(kind, 0)} of {kind}" for kind in found.concepts]
    return (f"Of {total} texts written freely with {found.series[0]} states in place, {' and '.join(said)} speak, "
            f"{counts.get(OTHER, 0)} of neither, and {counts.get(EMPTY, 0)} are empty: without words, repeating "
            "themselves, or the same as with nothing in place.")  # fmt: skip


def _probe_words(found: Represented) -> str:
    sure = [row for row in found.probe if row.selectivity.value > 0 and row.selectivity.q < 0.05]
    best = max(sure or found.probe, key=lambda row: _size(row.selectivity.value))
    right, chance = words.estimate(best.accuracy, True), words.estimate(best.control, True)
    told = f"with words and sentences it never saw {right} are told right, {chance} with shuffled labels"
    if not sure:
        return (f"No linear probe surely tells the known prompts apart (at best, at {source(best.layer)}: {told}), so "
                "what probes take the others for says nothing.")  # fmt: skip
    text = f"A linear probe tells the known prompts apart best at {source(best.layer)}: {told}"
    share = best.shares.get(found.series[0])
    if share is None:
        return f"{text}."
    return f"{text}; it gives the {found.series[0]} prompts {words.estimate(share, True)} {found.concepts[0]}."


def by_layer(found: Represented, target: int) -> Table:
    """Shift of every series by source layer, at one target layer; of the first one how likely the first concept is."""
    asked, first = found.series[0], found.concepts[0]
    rows = tuple(
        (layer_name(layer), *(words.estimate(found.row(name, layer, target).shift) for name in found.series),
         words.percent(found.row(asked, layer, target).share))
        for layer in found.layers
    )  # fmt: skip
    return Table(f"Shift towards {first} in nats, put into {source(target)}",
                 ("source layer", *found.series, f"{first} of the two, {asked}"), rows)  # fmt: skip


def questions(found: Represented) -> Table:
    """The questions with nothing put into them."""
    first, second = found.concepts
    rows = tuple(
        (each.text, each.placeholder.strip(), words.number(each.log_odds, sign=True), words.percent(each.mass),
         *(words.listing(list(dict.fromkeys(form.strip() for form in few)), 8) for few in each.counted),
         "; ".join(each.left_out) or "none")
        for each in found.questions
    )  # fmt: skip
    head = ("question", "placeholder", f"log-odds of {first}", "share of both", f"counted as {first}",
            f"counted as {second}", "not counted")  # fmt: skip
    return Table("The questions as they are", head, rows)


def apart(found: Represented) -> Table:
    """How far apart the known series are at every pair of layers, and where the first series stands."""
    rows = tuple(
        (f"{layer_name(each.layer)} → {layer_name(each.target)}", words.estimate(each.apart), words.q(each.apart.q),
         words.estimate(each.place) if each.sure else "not sure that they are apart")
        for each in found.separations
    )  # fmt: skip
    first, second = found.concepts
    return Table("Whether the questions can tell the concepts apart",
                 ("source → target layer", f"known {first} − known {second}, nats", "q",
                  f"{found.series[0]} between {second} (0) and {first} (1)"), rows)  # fmt: skip


def free(found: Represented) -> Table:
    """How many free texts are of which kind."""
    kinds = (*found.concepts, OTHER, EMPTY)
    rows = tuple((row.series, layer_name(row.layer), *(str(row.counts.get(kind, 0)) for kind in kinds))
                 for row in found.free)  # fmt: skip
    return Table("Free texts by what they speak of", ("series", "source layer", *kinds), rows) if rows else NO_TABLE


def _texts(found: Represented) -> Table:
    rows = tuple(
        (
            f"{each.series}, layer {layer_name(each.layer)}",
            found.prompts[each.prompt].word,
            each.text.strip(),
            each.kind,
        )
        for each in found.texts
    )
    return Table("Every free text", ("series and source layer", "word", "what was written", "speaks of"), rows)


def probe(found: Represented) -> Table:
    """The probes in numbers."""
    others = list(dict.fromkeys(name for row in found.probe for name in row.shares))
    rows = tuple(
        (layer_name(row.layer), words.estimate(row.accuracy, True), words.estimate(row.control, True),
         words.points(row.selectivity),
         *(words.estimate(row.shares[name], True) for name in others))
        for row in found.probe
    )  # fmt: skip
    head = ("layer", "told right", "shuffled labels", "selectivity",
            *(f"{found.concepts[0]}, {name}" for name in others))  # fmt: skip
    return Table("Linear probes", head, rows) if rows else NO_TABLE


def _prompts(found: Represented) -> Table:
    rows = tuple((each.series, each.text, each.word, words.token(each.matched)) for each in found.prompts)
    return Table("Prompts, and the characters whose tokens were read",
                 ("series", "prompt", "word", "characters of its tokens"), rows)  # fmt: skip


def _settings(found: Represented) -> Table:
    rows = [("reading", f"{found.name}, version {found.reading.get('version', '')}"), ("made", found.created),
            ("command", found.command or "not recorded"), ("time of computing", f"{found.seconds:.0f} s"),
            *((f"model, {key}", str(value)) for key, value in found.model.items() if value not in ("", None)),
            *((f"version of {name}", version) for name, version in found.versions.items())]  # fmt: skip
    return Table("Run", ("what", "value"), tuple(rows))
