"""What a model says to a scenario: the one way from model and cases to readouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from evenhand.core.answer import Cue, Numeric
from evenhand.core.case import Case, Outcome
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.progress import Progress, silent
from evenhand.core.readout import Readout
from evenhand.core.scenario import Scenario
from evenhand.lm.batches.variants import Variant
from evenhand.lm.embeddings import Embedding, embeddings
from evenhand.lm.generation.numeral_tree import Limits
from evenhand.lm.generation.sampling import Sampling
from evenhand.lm.model import LM
from evenhand.lm.readouts import Task, choices, exact_numbers, pairs, sampled_numbers, sampled_texts, sentences
from evenhand.lm.vocabulary import check_spells_numbers


@dataclass(frozen=True, slots=True)
class Reading:
    """How answers are read; all of it is recorded in `Readout.notes`.

    `numeric`: `exact` searches all numerals an answer can start with, `sample` draws `samples` answers; `auto` is exact
    (sample with `anywhere`). Where exact search leaves more than `open_share` open, a case is undefined and
    `lm.notify` advises sampling. `temperature` and `top_p` shape both. Texts are always sampled.
    """

    numeric: Numeric = "auto"
    samples: int = 50
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    open_share: float = 0.01
    node_budget: int = 400
    """Most nodes of the search tree that one prompt may expand."""
    max_new_tokens: int = 24
    anywhere: bool = False
    """For chat models that answer in prose: sampled numbers count wherever they stand in an answer, a range counts as
    its midpoint. False: only what exact search finds, a number at the start; the rest is reported beside it."""
    cue: Cue = "last"
    """With `anywhere`: of several numbers, the first or the last."""
    embedding: Embedding = field(default_factory=Embedding)
    """Which hidden states stand for a text."""

    def __post_init__(self) -> None:
        if self.numeric not in ("auto", "exact", "sample"):
            raise UsageError(f"numeric is 'auto', 'exact' or 'sample', not {self.numeric!r}")
        if self.cue not in ("first", "last"):
            raise UsageError(f"cue is 'first' or 'last', not {self.cue!r}")
        if self.anywhere and self.numeric == "exact":
            raise UsageError("exact search reads the start of an answer only; with anywhere=True use numeric='sample'")
        if not 0 < self.open_share < 1 or self.node_budget < 1:
            raise UsageError(f"open_share ({self.open_share}) lies between 0 and 1, node_budget is at least 1")
        _ = self.sampling

    @property
    def sampling(self) -> Sampling:
        """How tokens are drawn."""
        return Sampling(self.samples, self.temperature, self.top_p, self.max_new_tokens, self.seed)

    @property
    def limits(self) -> Limits:
        """When exact search stops."""
        return Limits(self.open_share, self.node_budget)


def read(lm: LM, scenario: Scenario, reading: Reading = Reading(), progress: Progress = silent) -> list[Readout]:
    """Return one readout per kind of outcome in the scenario, of the model as it stands, applied edits included."""
    return read_variants(lm, scenario, (None,), reading, progress)[0]


def read_variants(
    lm: LM,
    scenario: Scenario,
    variants: Sequence[Variant | None],
    reading: Reading = Reading(),
    progress: Progress = silent,
) -> list[list[Readout]]:
    """Return [variant][kind of outcome] what each variant says; `None` is the model as it stands.

    Cases keep the scenario's order. Raises CannotRun where the scenario is not for the model, or the model cannot give
    a kind of outcome (numbers or texts from a masked model, anything but embeddings from an encoder without head,
    numbers from a tokenizer that cannot spell them), UsageError for cases that lack options.
    """
    if scenario.masked_only and lm.kind != "masked":
        raise CannotRun(
            f"{scenario.name} is for masked models, {lm.identity.source} is of kind {lm.kind}: {scenario.masked_only}"
        )
    kinds: dict[Outcome, list[Case]] = {}
    contexts = {context.name: context for context in scenario.contexts}
    for case in scenario.cases:
        kinds.setdefault(scenario.context(case.context).outcome, []).append(case)
    found: list[list[Readout]] = [[] for _ in variants]
    for kind, cases in kinds.items():
        task = Task(lm, kind, tuple(cases), scenario.groups, contexts, tuple(variants), progress)
        for per_variant, readout in zip(found, _of_kind(task, reading), strict=True):
            per_variant.append(readout)
    return found


def _of_kind(task: Task, reading: Reading) -> list[Readout]:
    if task.kind == "number":
        check_spells_numbers(task.lm)
        if reading.numeric == "sample" or reading.anywhere:
            return sampled_numbers(task, reading.sampling, reading.cue if reading.anywhere else None)
        return exact_numbers(task, reading.sampling, reading.limits)
    if task.kind == "text":
        return sampled_texts(task, reading.sampling)
    if task.kind == "embedding":
        return embeddings(task, reading.embedding)
    return {"choice": choices, "pair": pairs, "sentence": sentences}[task.kind](task)
