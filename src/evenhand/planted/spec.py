"""The specification of a planted model: sizes, sets of neurons, gaps, outcomes of the base; read from a TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from evenhand.core.errors import UsageError, nearest

Read = TypeVar("Read", bound=BaseModel)
_BUNDLED = Path(__file__).parent / "spec.toml"


class Strict(BaseModel):
    """A frozen table; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSize(Strict):
    """Sizes of the Llama model."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int


class Base(Strict):
    """Training of the base: steps of so many documents, peak rate, warm-up steps, steps between checkpoints.

    A step's documents are run in `batches` of similar lengths.
    """

    steps: int
    documents: int
    rate: float
    warmup: int
    checkpoint: int
    batches: int = 3


class Planting(Strict):
    """Planting: steps per set, steps with all sets together, rounds of correction and steps in each of them.

    `rows` prompts of each context (fewer where nothing is trained) and `texts` texts make a step; `rate` is the peak
    rate, `anchor` the weight of the texts, `checkpoint` the steps between two states on disk.
    """

    steps: int
    together: int
    rounds: int
    round: int
    rows: int
    texts: int
    rate: float
    anchor: float
    checkpoint: int


class PlantedSet(Strict):
    """So many neurons in these layers that carry these gaps (context → gap)."""

    name: str
    units: int
    layers: tuple[int, ...]
    gaps: dict[str, float]


class Outcomes(Strict):
    """Outcomes of a context in the base: variation → (mean, sd, step), or (share of the favourable answer,)."""

    role: str
    outcomes: dict[str, tuple[float, ...]]


class Spec(Strict):
    """Everything the planted model depends on."""

    seed: int
    scenario: str
    vocabulary: int
    model: ModelSize
    base: Base
    planting: Planting
    sets: tuple[PlantedSet, ...]
    contexts: dict[str, Outcomes]

    @property
    def gaps(self) -> dict[str, float]:
        """Gap of every context; 0 where none is planted."""
        planted = {context: gap for each in self.sets for context, gap in each.gaps.items()}
        return {context: planted.get(context, 0.0) for context in self.contexts}


def read_spec(path: Path) -> Spec:
    """Read a specification; raises UsageError naming file and key for whatever is wrong in it."""
    spec = parsed(Spec, path)
    _check(path, spec)
    return spec


def parsed(kind: type[Read], path: Path) -> Read:
    """Read a specification of a kind, its values checked one by one; raises UsageError naming file and key."""
    try:
        return kind.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read ({error.strerror}); give a specification such as spec.toml"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: is not valid TOML ({error})") from error
    except ValidationError as error:
        raise UsageError(_plain(kind, path, error)) from error


def _plain(kind: type[BaseModel], path: Path, error: ValidationError) -> str:
    """Say the first thing that is wrong; an unknown key before others, for it may be why another is missing."""
    first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    key, known = str(first["loc"][-1]), _known(kind, first["loc"][:-1])
    where = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    if first["type"] == "extra_forbidden":
        return f"{path}: unknown key {where!r}{nearest(key, known)} (known here: {', '.join(known)})"
    if first["type"] == "missing":
        return f"{path}: the key {where!r} is missing; see the specification of the bundled model ({_BUNDLED})"
    said = first["msg"].replace("Input should be", "must be")
    return f"{path}: key {where!r} {said[0].lower()}{said[1:]}, not {first['input']!r}"


def _known(kind: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """The keys of the table at a place."""
    tables: dict[str, type[BaseModel]] = {"sets": PlantedSet, "contexts": Outcomes}
    if place:
        own = kind.model_fields[str(place[0])].annotation
        kind = tables.get(str(place[0])) or (own if isinstance(own, type) and issubclass(own, BaseModel) else kind)
    return [*kind.model_fields]


def _check(path: Path, spec: Spec) -> None:
    """Raise for what the types cannot say."""
    seen: set[str] = set()
    taken: dict[int, int] = {}
    for each in spec.sets:
        for context in each.gaps:
            if context not in spec.contexts:
                raise UsageError(
                    f"{path}: set {each.name!r} has a gap for context {context!r}, which [contexts] does not describe"
                    f"{nearest(context, spec.contexts)}"
                )
            if context in seen:
                raise UsageError(f"{path}: context {context!r} is planted by two sets; plant it in one of them")
            seen.add(context)
        wrong = [layer for layer in each.layers if not 0 < layer < spec.model.layers]
        if wrong or not each.layers or each.units < len(each.layers):
            raise UsageError(
                f"{path}: set {each.name!r} needs layers between 1 and {spec.model.layers - 1} and at least one unit "
                f"in each, not {each.units} unit(s) in layers {list(each.layers)}"
            )
        for layer, count in shares_of(each).items():
            taken[layer] = taken.get(layer, 0) + count
    if any(count > spec.model.intermediate for count in taken.values()):
        raise UsageError(f"{path}: the sets ask for more units in a layer than it has ({spec.model.intermediate})")


def shares_of(each: PlantedSet) -> dict[int, int]:
    """Return how many units of a set stand in each of its layers, dealt out in turn."""
    counts = dict.fromkeys(each.layers, 0)
    for i in range(each.units):
        counts[each.layers[i % len(each.layers)]] += 1
    return counts
