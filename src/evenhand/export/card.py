"""The card of an exported checkpoint or adapter: what was edited, on what evidence, where it was not shown to help."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from evenhand import __version__
from evenhand.core.errors import UsageError
from evenhand.core.estimate import Estimate
from evenhand.core.record import CellRecord, RunRecord
from evenhand.judge.facts import Facts, Place
from evenhand.judge.verdict import judge
from evenhand.lm.model import Identity
from evenhand.planted import name_of

COSTS = (
    ("answer_shares", "valid", "share of valid answers"),
    ("option_mass", "value", "probability on the offered options"),
    ("inlier_ratio", "value", "share of answers in the unedited model's usual range"),
    ("accuracy", "value", "questions answered right"),
    ("perplexity", "value", "perplexity"),
    ("kl_to_unedited", "value", "divergence from the unedited model"),
)


@dataclass(frozen=True)
class ModelCard:
    """What is known about an edit beside the edit itself; without a `cell` the card says that nothing was measured.

    A cell and its run come together: the run says what was asked. Raises UsageError when one of them is missing.
    """

    cell: CellRecord | None = None
    run: RunRecord | None = None
    provenance: dict[str, Any] = field(default_factory=dict[str, Any])
    """More to state about how the edit came to be, printed as it stands."""
    licence: str = ""
    """Licence of the base model, as a hub identifier or by its name; empty: what its own card says, if anything."""
    notes: tuple[str, ...] = ()
    """Further limits."""

    def __post_init__(self) -> None:
        """Refuse a cell without its run, and a run without the cell."""
        if (self.cell is None) != (self.run is None):
            raise UsageError("a model card needs a cell together with its run record: give both or neither")


@dataclass(frozen=True)
class Licence:
    """The base model's licence, as front matter has it (`tag`) and as people call it."""

    tag: str = "unknown"
    """A word such as `apache-2.0`, `other` for a licence that has a name but no such word, or `unknown`."""
    name: str = "unknown: ask the maker of the base model"

    @property
    def known(self) -> bool:
        """Whether it is known at all."""
        return self.tag != "unknown"


@dataclass(frozen=True)
class Cost:
    """One ability before and after the edit, beside a random edit of the same size."""

    context: str
    what: str
    before: Estimate
    after: Estimate
    random: Estimate


@dataclass(frozen=True)
class Checked:
    """What was found while the checkpoint, or the adapter, was written."""

    describes: str
    entries: int
    """Weights that differ from the base model's; of an adapter the numbers in its factors."""
    matrices: int
    difference: float
    """Largest difference of a logit between what was read back and the edited model."""
    effect: float
    """Largest difference of a logit between the edited and the unedited model, on the same probe."""
    sha256: str
    beside: bool = False
    """Whether it is an adapter beside the base model and not a copy of it."""


def text(card: ModelCard, identity: Identity, checked: Checked) -> str:
    """Return the card as Markdown with the front matter the hub reads."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip
    environment.filters["cell"] = _inline
    local = _local(identity)
    facts = Facts(card.run.scenario, card.cell) if card.cell and card.run else None
    judgement = judge(facts) if facts else None
    found = (*judgement.home, *judgement.away) if judgement else ()
    written = environment.get_template("card.md.j2").render(
        base=name_of(Path(identity.source)) if local else identity.source,
        base_id="" if local else identity.source,
        identity=identity,
        licence=licence(card, identity),
        cell=card.cell,
        run=card.run,
        provenance={key: _plain(value) for key, value in card.provenance.items() if value not in (None, "", [], {})},
        judgement=judgement,
        facts=facts,
        findings=found,
        costs=costs(facts) if facts else [],
        level=f"{found[0].base.level:.0%}" if found else "",
        notes=(*(card.cell.notes if card.cell else ()), *card.notes),
        version=__version__,
        **{name: getattr(checked, name) for name in Checked.__dataclass_fields__},
    )
    return written.rstrip() + "\n"


def costs(facts: Facts) -> list[Cost]:
    """Return every ability that was measured before and after."""
    return [
        Cost(name, what, *(facts.level(measure, key, Place(name, "", ""), who) for who in ("base", "edit", "random")))
        for measure, key, what in COSTS
        for name in facts.measured(measure, key)
    ]


def licence(card: ModelCard, identity: Identity) -> Licence:
    """Return the licence that was given, or else the one a local model's own card states."""
    if card.licence:
        word = re.fullmatch(r"[\w.+-]+", card.licence)
        return Licence(card.licence.lower() if word else "other", card.licence)
    return licence_of(Path(identity.source)) if _local(identity) else Licence()


def licence_of(folder: Path) -> Licence:
    """Return the licence that a model folder's own card states in its front matter."""
    card = folder / "README.md"
    if not card.is_file():
        return Licence()
    front = re.match(r"---\n(.*?)\n---", card.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
    tag, name = (_entry(front.group(1), key) if front else "" for key in ("licen[sc]e", "license_name"))
    if tag in ("", "unknown") or (tag == "other" and not name):
        return Licence()
    return Licence(tag, name or tag)


def _entry(front: str, key: str) -> str:
    line = re.search(rf"^{key}:[ \t]*[\"']?([^\"'#\n]*?)[\"']?[ \t]*(#.*)?$", front, re.MULTILINE)
    return line.group(1) if line else ""


def _local(identity: Identity) -> bool:
    return Path(identity.source).is_dir() or Path(identity.source).is_absolute()


def _plain(value: Any) -> str:
    """Return a value from a JSON file as a reader would write it."""
    if isinstance(value, dict):
        return ", ".join(f"{key} = {_plain(each)}" for key, each in cast(dict[str, Any], value).items())
    if isinstance(value, list | tuple):
        return ", ".join(_plain(each) for each in cast(list[Any], value))
    return str(value)


def _inline(value: object) -> str:
    """Make any text safe inside a line or a table cell of Markdown."""
    flat = " ".join(str(value).split())
    return re.sub(r"([|`*_<\[\]\\])", r"\\\1", flat)
