"""The cells of a study: every model × method × what it is fitted on × seed, written out as specs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from importlib import metadata
from typing import Any

from evenhand import __version__, find
from evenhand.core.contracts import fitted_to
from evenhand.core.errors import UsageError, nearest
from evenhand.core.record import CellSpec, Protocol_
from evenhand.core.scenario import Scenario
from evenhand.study.code import fingerprints
from evenhand.study.config import MethodConfig, StudyConfig

Fit = tuple[Protocol_, tuple[str, ...], tuple[str, ...]]
"""Protocol, contexts, variations (empty: all of them)."""


@dataclasses.dataclass(frozen=True)
class Made:
    """What all cells of a model have in common."""

    model: dict[str, Any]
    scenario: Scenario
    utility: Scenario


def specs(config: StudyConfig, made: Made) -> list[CellSpec]:
    """Return the cells of one model, in the order they are run."""
    cells = [
        spec(config, made, method, fit, seed)
        for seed in config.seeds
        for method, _ in config.entries
        for fit in fits(config, made.scenario)
    ]
    return list({cell.hash: cell for cell in cells}.values())


def only_controls(config: StudyConfig, made: Made) -> set[str]:
    """Return the hashes of the cells that are there only for others to be set against."""
    found: dict[str, bool] = {}
    for seed in config.seeds:
        for method, control in config.entries:
            for fit in fits(config, made.scenario):
                hash_ = spec(config, made, method, fit, seed).hash
                found[hash_] = found.get(hash_, True) and control
    return {hash_ for hash_, control in found.items() if control}


def spec(config: StudyConfig, made: Made, method: MethodConfig, fit: Fit, seed: int) -> CellSpec:
    """Return one cell."""
    protocol, contexts, variations = fit
    settings = settings_of(method, seed)
    return CellSpec(
        model=made.model,
        method=method.name,
        settings=settings,
        scenario=made.scenario.name,
        scenario_fingerprint=made.scenario.fingerprint,
        utility_fingerprints=(made.utility.fingerprint,),
        fitted_on=contexts,
        variations=variations,
        fitted_to=fitted_to(find.build("methods", method.name, settings)),
        protocol=protocol,
        seed=seed,
        run=_run(config, method),
    )


def fits(config: StudyConfig, scenario: Scenario) -> list[Fit]:
    """Return what methods are fitted on: each entry of `fitted_on` under each protocol that applies to it.

    An entry is a list of contexts, or of `context/variation` of one context. specific: the entry, reported there on
    names that were not fitted on (and everywhere else, as transfer). leave-one-out: all variations of a single context
    but one, which is measured. cross-context: all the other contexts of the scenario, for each entry. Source:
    pruning.md section 7.
    """
    written = config.fitted_on or tuple((context.name,) for context in scenario.contexts)
    found: list[Fit] = []
    for protocol in config.protocols:
        for entry, variations in (_entry(scenario, each) for each in written):
            if protocol == "specific":
                found.append((protocol, entry, variations))
            elif protocol == "leave-one-out" and len(entry) == 1 and not variations:
                found += _left_out(scenario, entry)
            elif protocol == "cross-context":
                others = tuple(c.name for c in scenario.contexts if c.name not in entry)
                if others:
                    found.append((protocol, others, ()))
    missing = [p for p in config.protocols if p not in {protocol for protocol, _, _ in found}]
    if missing:
        raise UsageError(
            f"protocols: {missing[0]!r} gives no cell with scenario {scenario.name!r}: leave-one-out needs a context "
            "with at least two variations, cross-context at least two contexts"
        )
    if config.split.by == "variation" and any(variations for _, _, variations in found):
        raise UsageError(
            "split: by = 'variation' deals the variations out to fit, choose and report, so cells cannot be fitted on "
            "chosen ones; use by = 'name' with leave-one-out and with context/variation"
        )
    return list(dict.fromkeys(found))


def _entry(scenario: Scenario, written: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Contexts and variations (empty: all) of one entry of `fitted_on`; unknown names raise naming the nearest."""
    known = {context.name for context in scenario.contexts}
    places = [(name, "") if name in known else name.partition("/")[::2] for name in written]
    for (context, variation), name in zip(places, written, strict=True):
        variations = scenario.variations(scenario.context(context).name)
        if name not in known and variation not in variations:
            raise UsageError(
                f"fitted_on: context {context!r} has no variation {variation!r}{nearest(variation, variations)} "
                f"(it has: {', '.join(variations)})"
            )
    contexts = tuple(dict.fromkeys(context for context, _ in places))
    single = tuple(dict.fromkeys(variation for (_, variation), name in zip(places, written, strict=True)
                                 if name not in known))  # fmt: skip
    if single and (len(contexts) > 1 or any(name in known for name in written)):
        raise UsageError(
            f"fitted_on: {', '.join(written)}: single variations are taken together only inside one context; write "
            "separate entries, or whole contexts"
        )
    return contexts, single


def _left_out(scenario: Scenario, entry: tuple[str, ...]) -> Iterator[Fit]:
    variations = scenario.variations(entry[0])
    for held_out in variations if len(variations) > 1 else ():
        yield "leave-one-out", entry, tuple(v for v in variations if v != held_out)


def settings_of(method: MethodConfig, seed: int) -> dict[str, Any]:
    """Return every hyper-parameter of a method, defaults filled in; a `seed` not given is the cell's."""
    built = find.build("methods", method.name, method.settings)
    settings = dataclasses.asdict(built)
    if "seed" in settings and "seed" not in method.settings:
        settings["seed"] = seed
    plain: dict[str, Any] = json.loads(json.dumps(settings, sort_keys=True))
    return plain


def _run(config: StudyConfig, method: MethodConfig) -> dict[str, Any]:
    """Return the run settings that change a cell's numbers."""
    run = config.model_dump(
        mode="json",
        include={"split", "reading", "bootstrap", "budget", "measures", "utility_measures", "measure_settings",
                 "units_shown", "units_explained"},
    )  # fmt: skip
    sizes = (config if method.sizes is None else method).model_dump(mode="json")["sizes"]
    if config.goal is not None:  # absent without one, so that cells of before are found again
        run["goal"] = config.goal.model_dump(mode="json")
    return run | {
        "sizes": sizes,
        "layers": method.layers and list(method.layers),
        "versions": versions(),
        "code": fingerprints(
            [("methods", method.name), *(("measures", name) for name in (*config.measures, *config.utility_measures))],
            [method.settings, *config.measure_settings.values()],
        ),
    }


def versions() -> dict[str, str]:
    """Return the versions of what numbers depend on."""
    return {"evenhand": __version__, **{name: metadata.version(name) for name in ("torch", "transformers")}}
