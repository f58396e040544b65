"""What a study asks for: one TOML file, read into frozen values; an unknown key is an error that names the nearest."""

from __future__ import annotations

import os
import re
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from evenhand.core.answer import Cue, Numeric
from evenhand.core.asked import Asked, asked, entries, mistake_in
from evenhand.core.dtype import DTypeName
from evenhand.core.errors import UsageError
from evenhand.core.record import Protocol_
from evenhand.study._explain import explain
from evenhand.study._named import build_measure, named_measures

Read = TypeVar("Read", bound=BaseModel)
Sizes = Literal["paper", "grid"] | tuple[int | float, ...]


class Part(BaseModel):
    """A frozen piece of the configuration; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelConfig(Part):
    """Which model, and how it is loaded; `chat` has no default because it changes every number."""

    source: str
    """A folder, a hub id, or `planted` (the bundled model); `${VARIABLES}` are filled in from the environment."""
    chat: bool | None
    """Whether prompts go through the chat template; None (only on the command line) where there is none."""
    dtype: DTypeName = "float32"
    device: str | None = None
    device_map: str | dict[str, Any] | None = None
    revision: str | None = None
    trust_remote_code: bool = False

    def where(self) -> str:
        """Return the source with its environment variables filled in; raises naming one that is not set."""
        for name in re.findall(r"\$\{?(\w+)\}?", self.source):
            if name not in os.environ:
                raise UsageError(
                    f"models: source {self.source!r} needs the environment variable {name}, which is not set; "
                    f"set it ({name}=/path/to/models) or write the folder itself"
                )
        return os.path.expanduser(os.path.expandvars(self.source))  # noqa: PTH111 — hub ids must stay as they are


class ControlConfig(Part):
    """What a method is to do more than: itself with other settings, or another method."""

    label: str = Field(pattern=r"\S")
    """In words, such as "random tokens of the same texts"."""
    name: str = ""
    """Another method; empty: the same one."""
    settings: dict[str, Any] = {}
    """Of the same method: those that differ."""
    sizes: Sizes | None = None
    """None: those of the method; of another method its own size."""
    layers: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    """None: those of the method; of another method all."""


class MethodConfig(Part):
    """A method by name with its settings; `sizes` overrides the study's, `layers` keeps its units to these layers."""

    name: str
    settings: dict[str, Any] = {}
    vary: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = {}
    """Setting → values: an edit for each of them (each combination), as if it were written so many times."""
    controls: tuple[ControlConfig, ...] = ()
    """Fitted wherever it is, with the same seeds; the report says what it did beyond every one of them."""
    sizes: Sizes | None = None
    layers: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    """Layers (from 0) whose units are kept of each candidate; the sizes recorded are those after."""


class SampleConfig(Part):
    """How much of a scenario is asked; without limits, all of it."""

    contexts: tuple[str, ...] = ()
    clusters: Annotated[int, Field(ge=1)] | None = None
    """At most so many clusters (pairs, words, questions) of each group in each context."""
    cases: Annotated[int, Field(ge=1)] | None = None
    """At most so many cases of each of these clusters; not where the cases of a cluster are scored together."""


class SplitConfig(Part):
    """Shares of the names (and utility texts) that methods see, that choose the size, and that are reported."""

    fit: float = Field(default=1.0, gt=0)
    choose: float = Field(default=1.0, gt=0)
    report: float = Field(default=1.0, gt=0)
    by: Literal["name", "variation"] = "name"
    """What the parts do not share: names, or the variations of each context (utility texts: always the texts)."""

    @property
    def shares(self) -> tuple[float, float, float]:
        """The three shares in the order fit, choose, report."""
        return self.fit, self.choose, self.report


class ReadingConfig(Part):
    """How numeric answers are read (see `evenhand.lm.read.Reading`)."""

    numeric: Numeric = "auto"
    samples: int = Field(default=50, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    node_budget: int = Field(default=400, ge=1)
    open_share: float = Field(default=0.01, gt=0, lt=1)
    max_new_tokens: int = Field(default=24, ge=1)
    anywhere: bool = False
    cue: Cue = "last"


class BootstrapConfig(Part):
    """How intervals are made."""

    replicates: int = Field(default=1000, ge=20)
    level: float = Field(default=0.95, gt=0.5, lt=1)


class BudgetConfig(Part):
    """The damage an edit may do and still be chosen, judged on names and texts of the choose part."""

    perplexity_rise: float = Field(default=0.02, ge=0)
    """Relative rise of perplexity on the utility texts."""
    valid_drop: float = Field(default=0.01, ge=0)
    """Absolute fall of the share of valid answers in the fitted-on contexts."""
    tolerance: float = Field(default=0.01, ge=0)
    """Gaps (in standard deviations) closer than this count as equal, and the smaller edit wins."""


class GoalConfig(Part):
    """A measure that an edit is to raise or lower, and that its size is chosen by, in place of the gap."""

    measure: str
    key: str = "value"
    better: Literal["high", "low"] = "high"
    tolerance: float = Field(default=0.005, ge=0)
    """Values closer than this count as equal, and the smaller edit wins."""


class StudyConfig(Part):
    """A grid of cells: models × methods × what they are fitted on × seeds."""

    name: str = Field(pattern=r"^[\w.-]+$")
    models: tuple[ModelConfig, ...] = Field(min_length=1)
    scenario: str
    utility: tuple[str, ...] = Field(min_length=1)
    methods: tuple[MethodConfig, ...] = Field(min_length=1)
    fitted_on: tuple[tuple[str, ...], ...] = ()
    """`context` or `context/variation`, or lists of these taken together; empty: every context alone."""
    protocols: tuple[Protocol_, ...] = Field(default=("specific",), min_length=1)
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    sizes: Sizes = "grid"
    """Numbers of units (whole) or shares of the space (below 1); `grid`: 0 and a log grid up to 5 % of the space;
    `paper`: the method's own size, nothing chosen."""
    sample: SampleConfig = SampleConfig()
    """Drawn by the first of `seeds`, the same for every cell."""
    split: SplitConfig = SplitConfig()
    reading: ReadingConfig = ReadingConfig()
    bootstrap: BootstrapConfig = BootstrapConfig()
    budget: BudgetConfig = BudgetConfig()
    goal: GoalConfig | None = None
    """None: the size is chosen by the gap between groups."""
    measures: tuple[str, ...] = (
        "standardised_mean_difference", "ratio_of_means", "earth_movers_distance", "mean", "answer_shares",
        "inlier_ratio", "option_mass",
    )  # fmt: skip
    """Names, or in a file tables { name = "…", settings = { … } }, whose settings are moved to `measure_settings`."""
    utility_measures: tuple[str, ...] = ("perplexity", "kl_to_unedited", "accuracy", "option_mass")
    measure_settings: dict[str, dict[str, Any]] = {}
    """Measure → settings that differ from its defaults; they hold wherever it is measured, and where a size is chosen
    by it."""
    units_shown: int = Field(default=200, ge=0)
    """Edited units listed with the tokens they promote; the edit itself always holds all of them."""
    units_explained: int = Field(default=16, ge=0)
    """Of those, the first ones that are also switched off alone and traced on prompts and neutral text."""
    output: str = ""
    """Run folder; empty: `runs/<name>`."""

    @model_validator(mode="before")
    @classmethod
    def _settings(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        given = cast("dict[str, Any]", data)
        settings: dict[str, Any] = dict(given.get("measure_settings", {}))
        names = {
            key: named_measures(key, given[key], settings) for key in ("measures", "utility_measures") if key in given
        }
        for name, chosen in settings.items():
            build_measure(name, chosen, ("measure_settings", name))
        return given | names | ({"measure_settings": settings} if settings else {})

    @field_validator("fitted_on", mode="before")
    @classmethod
    def _lists(cls, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [[each] if isinstance(each, str) else each for each in cast("list[Any]", value)]

    @field_validator("sizes")
    @classmethod
    def _sizes(cls, value: Sizes) -> Sizes:
        if isinstance(value, tuple):
            if not value:
                raise ValueError("at least one size")
            if any(size < 0 or (size > 1 and not float(size).is_integer()) for size in value):
                raise ValueError("sizes are counts (0, 1, 2, …) or shares of the space between 0 and 1")
        return value

    @model_validator(mode="after")
    def _gap_is_measured(self) -> StudyConfig:
        if self.goal is not None and self.goal.measure not in self.measures:
            raise ValueError(f"measures must hold {self.goal.measure}, the goal that the size of an edit is chosen by")
        gap = self.goal is not None or "standardised_mean_difference" in self.measures
        if not gap or "perplexity" not in self.utility_measures:
            raise ValueError("measures must hold standardised_mean_difference, utility_measures perplexity: "
                             "the size of an edit is chosen by them")  # fmt: skip
        return self

    @model_validator(mode="after")
    def _controls_differ(self) -> StudyConfig:
        if wrong := mistake_in(method.model_dump() for method in self.methods):
            raise ValueError(f"methods: {wrong}")
        return self

    @cached_property
    def asked(self) -> list[Asked]:
        """Every method with its settings, and its controls."""
        return asked(method.model_dump() for method in self.methods)

    @property
    def controlled(self) -> bool:
        """Whether any method is set against controls of its own."""
        return any(method.controls for method in self.methods)

    @cached_property
    def entries(self) -> list[tuple[MethodConfig, bool]]:
        """Every method and control once, and whether it is only a control."""
        found = entries(method.model_dump() for method in self.methods)
        return [(MethodConfig.model_validate(entry), control) for entry, control in found]

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.output or f"runs/{self.name}")


def load_study(path: Path) -> StudyConfig:
    """Read a study; raises UsageError naming file, line, key and the nearest valid key."""
    text, data = read_toml(path, "a study file")
    if "models" not in data and {"template", "contexts", "groups"} & set(data):
        raise UsageError(
            f"{path}: is a scenario, not a study; to run it on a model: evenhand run MODEL --scenario {path}"
        )
    return validated(StudyConfig, path, text, data)


def read_toml(path: Path, what: str) -> tuple[str, dict[str, Any]]:
    """Return a TOML file as text and as data; raises UsageError where it is none."""
    try:
        text = path.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error}); give the path of {what}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8 text ({error.reason})") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: is not valid TOML ({error})") from error


def validated(model: type[Read], path: Path, text: str, data: dict[str, Any]) -> Read:
    """Return the file as its model; raises UsageError naming file, line, key and the nearest valid key."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise UsageError(explain(error, model, path, text)) from error
