"""What units are explained on: a model, prompts about groups and neutral texts, and how much of them is looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from evenhand.core.bootstrap import Bootstrap
from evenhand.core.case import Case
from evenhand.core.progress import Progress, silent
from evenhand.core.scenario import Scenario
from evenhand.lm.attribution.probe import Probe, spread
from evenhand.lm.model import LM

PROBED = ("number", "choice", "pair")


@dataclass(frozen=True)
class Depth:
    """How much is looked at."""

    names: int = 12
    """Of each group and variation, for what units do alone; of questions that compare no groups see `questions`."""
    prompts: int = 600
    """At most so many prompts, evenly spaced, for what drives units."""
    texts: int = 24
    """Neutral texts."""
    drivers: int = 4
    """Tokens shown of the prompts, and half as many of neutral text."""
    bootstrap: Bootstrap = field(default_factory=Bootstrap)

    @property
    def questions(self) -> int:
        """Questions with a right answer of each use case that are tried, where no groups are compared."""
        return 4 * self.names


@dataclass(frozen=True, eq=False)
class Ground:
    """A model, prompts and texts."""

    lm: LM
    bias: Scenario
    texts: Scenario
    depth: Depth = Depth()
    progress: Progress = silent
    notes: list[str] = field(default_factory=list[str])
    """Gathers, in sentences, what could not be measured."""
    names: str = ""
    """Whose prompts these are, as a sentence for the reader: were they fitted on?"""

    @cached_property
    def probe(self) -> Probe | None:
        """Where single units are tried: the contexts whose gaps can be measured; None where no context's can."""
        bias, able = self.bias, list[str]()
        for context in bias.contexts:
            cases = [case for case in bias.cases if case.context == context.name]
            groups = [{c.group for c in cases if c.variation == v} for v in bias.variations(context.name)]
            compared = all(bool(bias.groups) and bias.groups[0] in each and len(each) > 1 for each in groups)
            if context.outcome in PROBED and compared:
                able.append(context.name)
        asked = {case.context for case in self.questions}
        if left := [
            context.name for context in bias.contexts if context.name not in able and context.name not in asked
        ]:
            self.say(f"What the edit and its units do to the gap in {', '.join(left)} is not measured: its answers are "
                     "no numbers or options that can be scored, or it compares no groups.")  # fmt: skip
        kept = bias.where(lambda case: case.context in able)
        return Probe(self.lm, kept, self.texts, self.depth.names, self.depth.texts) if able else None

    @cached_property
    def questions(self) -> tuple[Case, ...]:
        """Where single units are tried instead if no groups are compared: questions that name their right option."""
        if self.bias.groups:
            return ()
        choices = [context.name for context in self.bias.contexts if context.outcome == "choice"]
        asked = ([case for case in self.bias.cases if case.context == name and case.favourable is not None]
                 for name in choices)  # fmt: skip
        return tuple(case for few in asked for case in spread(few, self.depth.questions))

    def say(self, note: str) -> None:
        """Keep a note, once."""
        if note not in self.notes:
            self.notes.append(note)
