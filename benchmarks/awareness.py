"""Do steering and awareness adapters change what `planted-ambiguous` associates, while it still answers, and where?

The model takes "teal" and "ochre" for colours where nothing tells, and puts bad words with ochre there; where they are
groups of people it is fair. An intervention that makes it see groups should bring `open` to one half, leave `group`
there, and leave `colour` (surroundings that say so) where it was: an intervention that sees groups everywhere does not.

Rows: steering at the two words, of prompts alone, in pairs of blocks (early, middle, late) and in pairs drawn at
random; the same of the model's own answer too; equally long vectors of random directions; adapters on ranges of layers,
trained with several seeds (`random` draws its layers by the seed as well), and random changes of the same norms.

Columns: per condition the share of the probability of both assignments that the stereotype has, the mean over both
directions of copying (0.5: fair), its change against the unedited model, and the probability of a valid answer; where
nothing tells, the same of answers drawn at temperature 1 and parsed (`said`), and how probable it is that the model
calls the words a group; perplexity of stories. In brackets 95 % intervals, resampled over pairs of words, of the mean
over seeds; in braces the smallest and the largest of the seeds. Pairs share words (5 good and 5 bad ones make 25), of
which the intervals know nothing.

All is asked of held-out pairs of words in held-out surroundings. The strength of steering is chosen on pairs that the
model was trained on: of those that leave 95 % of the answers valid, the one that leaves `open` nearest one half. So
were the settings of the adapter.

Run `python benchmarks/awareness.py [--samples 2] [--seeds 0 1 2] [--lr 5e-4] [--epochs 40] [--rank 16]
[--only steer adapter]`.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from statistics import mean
from typing import Any

import torch
from jaxtyping import Float
from rich.console import Console
from torch import Tensor

from evenhand.core.bootstrap import Bootstrap, interval, smallest_stratum
from evenhand.core.edit import Edit
from evenhand.core.readout import Readout
from evenhand.core.scenario import Context, Scenario
from evenhand.edits.compose import Compose
from evenhand.edits.steer import Steer
from evenhand.lm.load import load
from evenhand.lm.model import LM
from evenhand.lm.read import Reading, read
from evenhand.lm.states.steering import between_texts
from evenhand.measures.implicit_association import ImplicitAssociation
from evenhand.measures.perplexity import Perplexity
from evenhand.methods.awareness_adapter import AwarenessAdapter, Layers
from evenhand.planted import model_path, spec_path
from evenhand.planted.ambiguous.audit import meaning
from evenhand.scenarios._load import load_scenario
from evenhand.scenarios._shared.ambiguous import CONDITIONS, asked, world
from evenhand.scenarios._shared.association import Stimuli

CONSOLE = Console(width=220, soft_wrap=True)
BLOCKS = 6
WINDOWS = {"early": (0, 1), "middle": (2, 3), "late": (4, 5)}
STRENGTHS = (0.25, 0.5, 0.75, 1.0)
LAYERS: tuple[Layers, ...] = ("early", "late", "middle", "random", "all", "first")
BEFORE = ("Of all the {noun} some are {one} and some are {other}.\n", "The {noun} here are {one} or {other}.\n")
QUESTIONS = (
    "Words: kind, cruel\nLabels: {one}, {other}\n",
    "For the words sly and honest, choose between {one} and {other};",
)
"""Beginnings of questions: vectors are what the words are there behind people, less what they are behind things."""
VALID = 0.95

Values = dict[str, Float[Tensor, " boot"]]


@dataclass(frozen=True)
class Measured:
    """What is measured of the model with one edit."""

    p: Float[Tensor, "case assignment"]
    """Probability of the stereotype and of the reverse."""
    said: Float[Tensor, "case stat"]
    group: float
    perplexity: float


@cache
def _implicit() -> Scenario:
    return load_scenario("ambiguous_words").only(CONDITIONS)


@cache
def _generated() -> Scenario:
    return load_scenario("ambiguous_words_generated").only(["open"])


def measured(lm: LM, edit: Edit | None, samples: int) -> Measured:
    """Return everything that is measured of the model with an edit."""
    with (Compose(()) if edit is None else edit).applied(lm):
        p = probabilities(lm, _implicit())
        (said,) = read(lm, _generated(), Reading(samples=samples, max_new_tokens=12))
        group = meaning(lm, "open")["mean"]
        (texts,) = read(lm, load_scenario("planted_text"))
    return Measured(p, ImplicitAssociation().per_case(said), group, _perplexity(texts))


def probabilities(lm: LM, scenario: Scenario) -> Float[Tensor, "case assignment"]:
    """Return how probable both assignments are of every question."""
    (readout,) = read(lm, scenario)
    return readout.arrays["logp"].double().exp()


def _perplexity(texts: Readout) -> float:
    stats = Perplexity().per_case(texts)
    return float(Perplexity().combine(stats, torch.ones(1, len(stats), dtype=torch.float64))["value"][0])


def shares(scenario: Scenario, p: Float[Tensor, "case assignment"], weights: Float[Tensor, "boot case"]) -> Values:
    """Return by condition the share of the stereotype, balanced for the direction of copying, and of valid answers."""
    share, found = p[:, 0] / p.sum(1), Values()
    for context in scenario.contexts:
        sides: list[Tensor] = []
        for copying in ("stereotype", "reverse"):
            here = [c.context == context.name and c.fact("copying") == copying for c in scenario.cases]
            sides.append(weights[:, here] @ share[here] / weights[:, here].sum(1))
        here = [case.context == context.name for case in scenario.cases]
        found[context.name] = (sides[0] + sides[1]) / 2
        found[f"{context.name}: valid"] = weights[:, here] @ p[here].sum(1) / weights[:, here].sum(1)
    return found


def values(each: Measured, draw: Callable[[Scenario], Tensor]) -> Values:
    """Return all values of one model under these weights of cases."""
    said = ImplicitAssociation().combine(each.said, draw(_generated()))
    found = shares(_implicit(), each.p, draw(_implicit()))
    return found | {"said": said["balanced"], "said: valid": 1 - said["invalid"]}


def row(base: Measured, seeds: Sequence[Measured]) -> list[str]:
    """Return what is shown of edits that differ only in a seed: means, intervals, ranges."""
    plain = [values(each, _ones) for each in seeds]
    drawn = _mean([values(each, _drawn) for each in seeds])
    before, drawn_before = values(base, _ones), values(base, _drawn)
    clusters = smallest_stratum(_generated().cases)
    cells: list[str] = []
    for name in (*CONDITIONS, "said"):
        each = [float(one[name][0]) for one in plain]
        spread = f" {{{min(each):.2f}–{max(each):.2f}}}" if len(each) > 1 else ""
        low, high = interval(drawn[name], clusters, 0.95)
        less, more = interval(drawn[name] - drawn_before[name], clusters, 0.95)
        valid = [float(one[f"{name}: valid"][0]) for one in plain]
        cells.append(
            f"{mean(each):.2f} [{low:.2f}, {high:.2f}]{spread}; change {mean(each) - float(before[name][0]):+.2f} "
            f"[{less:+.2f}, {more:+.2f}]; valid {mean(valid):.3f} (least {min(valid):.3f})"
        )
    return [*cells, f"{mean(each.group for each in seeds):.2f}", f"{mean(each.perplexity for each in seeds):.2f}"]


def _mean(all_: Sequence[Values]) -> Values:
    return {name: torch.stack([each[name] for each in all_]).mean(0) for name in all_[0]}


def _ones(scenario: Scenario) -> Float[Tensor, "1 case"]:
    return torch.ones(1, len(scenario.cases), dtype=torch.float64)


@cache
def _drawn(scenario: Scenario) -> Float[Tensor, "boot case"]:
    return torch.cat([*Bootstrap().weights(scenario.cases)])


def steered(lm: LM, seeds: Sequence[int]) -> Iterator[tuple[str, list[Edit]]]:
    """Yield steering of every window, of windows drawn at random, and along random directions."""
    for place, window in WINDOWS.items():
        edit, strength = _chosen(lm, window)
        yield f"steered, {place}, {strength:.0%}", [edit]
        yield f"  in answers too, {place}, {strength:.0%}", [steer(lm, window, strength, prompt_only=False)]
        controls = [edit.control(seed) for seed in seeds]
        yield f"  random directions, {place}, {strength:.0%}", [each for each in controls if each is not None]
    found = [_chosen(lm, _random_window(seed)) for seed in seeds]
    told = "; ".join(f"{_random_window(seed)} {s:.0%}" for seed, (_, s) in zip(seeds, found, strict=True))
    yield f"steered, random blocks: {told}", [edit for edit, _ in found]


def _random_window(seed: int) -> tuple[int, ...]:
    """Two blocks that are no window of their own."""
    source = random.Random(seed)
    while (drawn := tuple(sorted(source.sample(range(BLOCKS), 2)))) in WINDOWS.values():
        pass
    return drawn


def _chosen(lm: LM, layers: Sequence[int]) -> tuple[Compose, float]:
    """Return the steering of the strength that does best on pairs of words that were trained, and it."""
    choose = choosing(["open"])
    best: dict[float, tuple[Compose, float]] = {}
    for strength in STRENGTHS:
        edit = steer(lm, layers, strength)
        with edit.applied(lm):
            found = shares(choose, probabilities(lm, choose), _ones(choose))
        lost = float(found["open: valid"][0]) < VALID
        best.setdefault(abs(float(found["open"][0]) - 0.5) + lost, (edit, strength))
    return best[min(best)]


def choosing(conditions: Sequence[str]) -> Scenario:
    """Return questions about 25 pairs of words that the model was trained on, in surroundings that were held out."""
    trained = world().trained[0]
    few = Stimuli("choose", trained.default, trained.stigmatised, trained.positive[:5], trained.negative[:5])
    cases = tuple(case for case in asked(few)[0] if case.context in conditions)
    return Scenario("choose", cases, tuple(Context(condition, "pair") for condition in conditions))


def steer(lm: LM, layers: Sequence[int], strength: float, prompt_only: bool = True) -> Compose:
    """Return steering at both words, of prompts or wherever they are read, each along its own vector."""
    kinds = (world().group.nouns[2:4], world().colour.nouns[2:4])
    pairs = [
        ((before + question).format(noun=people, one=one, other=other),
         (before + question).format(noun=things, one=one, other=other))
        for one, other in (world().ambiguous, world().ambiguous[::-1])
        for before in BEFORE
        for question in QUESTIONS
        for people, things in zip(*kinds, strict=True)
    ]  # fmt: skip
    found = [(word, between_texts(lm, pairs, layers, word=word)) for word in world().ambiguous]
    return Compose(
        tuple(
            Steer(each.layers, each.vectors, strength=strength, words=(word,), prompt_only=prompt_only)
            for word, each in found
        )
    )


def adapted(lm: LM, seeds: Sequence[int], given: Any) -> Iterator[tuple[str, list[Edit]]]:
    """Yield adapters of the paper's ranges and of ranges of equal size, and random ones of their size."""
    pairs = str(spec_path("planted-ambiguous").with_name("pairs.toml"))
    nothing = Scenario("", (), ())
    method = AwarenessAdapter(
        loss="answer", pairs=pairs, lr=given.lr, epochs=given.epochs, rank=given.rank, batch_size=16, accumulate=1
    )
    controls: dict[str, list[Edit]] = {}
    for layers in LAYERS:
        edits = [replace(method, layers=layers, seed=seed).fit(lm, nothing, nothing) for seed in seeds]
        controls[layers] = [edit.control(seed) for edit, seed in zip(edits, seeds, strict=True)]
        yield f"adapter, {layers}", [*edits]
    for layers, few in controls.items():
        yield f"  random change, {layers}", few


def main() -> None:
    """Print one line per row, as it comes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--only", nargs="*", choices=("steer", "adapter"), default=("steer", "adapter"))
    parser.add_argument("--model", default=str(model_path("planted-ambiguous")))
    given = parser.parse_args()
    torch.set_num_threads(1)
    lm = load(given.model)
    base = measured(lm, None, given.samples)
    CONSOLE.print("", *CONDITIONS, "said, open", "called a group, open", "perplexity", sep=" | ")
    CONSOLE.print("none", *row(base, [base]), sep=" | ", markup=False)
    for kind, edits in (("steer", steered(lm, given.seeds)), ("adapter", adapted(lm, given.seeds, given))):
        if kind in given.only:
            for name, few in edits:
                found = row(base, [measured(lm, edit, given.samples) for edit in few])
                CONSOLE.print(name, *found, sep=" | ", markup=False)


if __name__ == "__main__":
    main()
