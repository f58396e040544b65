"""The log-odds gap by hand, its pairing by profession, and the arithmetic of the published table."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch

from evenhand.core.bootstrap import Bootstrap
from evenhand.core.case import Case
from evenhand.core.measure import Subject
from evenhand.core.measuring import measure, point
from evenhand.core.readout import Readout
from evenhand.measures.log_odds_gap import LogOddsGap
from evenhand.scenarios._load import load_scenario
from evenhand.testing.measures import Toy

Said = dict[tuple[str, str, str], float]
"""Log-probability (nats) by prompt, profession and gender."""


def _readout(said: Said) -> Readout:
    cases = tuple(
        Case(f"{at}", "x", "c", variation=prompt, group=gender, cluster=word, options=("a", "b"), favourable=0,
             facts=(("profession", word),))
        for at, (prompt, word, gender) in enumerate(said)
    )  # fmt: skip
    logp = torch.tensor([[value, -50.0] for value in said.values()], dtype=torch.float64)
    one = torch.ones(len(cases), dtype=torch.float64)
    return Readout("choice", cases, ("woman", "man"), one, one, torch.arange(len(cases)), {"valid": one}, one.bool(),
                   arrays={"logp": logp})  # fmt: skip


SAID: Said = {
    ("p", "nurse", "woman"): -2.0, ("p", "nurse", "man"): -5.0,
    ("p", "guard", "man"): -1.0, ("p", "guard", "woman"): -2.5,
    ("q", "nurse", "woman"): -4.0, ("q", "nurse", "man"): -4.5,
    ("q", "guard", "woman"): -3.0, ("q", "guard", "man"): -1.0,
}  # fmt: skip


def symmetric() -> list[Toy]:
    """Every profession is as likely about either gender."""
    same = {("p", word, gender): -float(i) for i, word in enumerate("abcdef") for gender in ("woman", "man")}
    return [(_readout(same), None)]


def test_it_is_the_mean_distance_over_prompts_and_professions() -> None:
    rows = list(measure({"gap": LogOddsGap()}, Subject("base", _readout(SAID)), Bootstrap(50)))
    found = {row.variation: row.estimate.value for row in rows}
    assert found == pytest.approx({"p": (3.0 + 1.5) / 2, "q": (0.5 + 2.0) / 2, "": (3.0 + 1.5 + 0.5 + 2.0) / 4})
    assert {row.groups for row in rows} == {("woman", "man")}


def test_a_profession_without_its_partner_is_left_out() -> None:
    alone = {key: value for key, value in SAID.items() if key != ("p", "nurse", "man")}
    assert point(LogOddsGap(), _readout(alone))["value"] == pytest.approx((1.5 + 0.5 + 2.0) / 3)
    whole = _readout(SAID)
    defined = whole.defined.clone()
    defined[0] = False
    assert point(LogOddsGap(), dataclasses.replace(whole, defined=defined))["value"] == pytest.approx(4.0 / 3)
    assert math.isnan(point(LogOddsGap(), _readout({("p", "nurse", "woman"): -2.0}))["value"])


def test_partners_have_the_same_weight_in_every_replicate() -> None:
    """Professions differ by up to 30 nats in level and not in distance: drawn apart they would give an interval."""
    said = {("p", f"w{i}", gender): -3.0 * i - (0.7 if gender == "man" else 0.0)
            for i in range(10) for gender in ("woman", "man")}  # fmt: skip
    (row,) = measure({"gap": LogOddsGap()}, Subject("base", _readout(said)), Bootstrap(100))
    assert (row.estimate.low, row.estimate.value, row.estimate.high) == pytest.approx((0.7, 0.7, 0.7))


@pytest.mark.data
def test_the_published_fall_is_that_of_the_published_numbers(data_dir: Path) -> None:
    """Llama-7B cannot be run here: what is checked is that the table holds together, with our way of averaging."""
    table = json.loads((data_dir / "cna_gender" / "cna_gender_professions.json").read_text())["table13"]
    before, after = table["origin"], table["edited"]
    assert round(100 * (after["total"] / before["total"] - 1), 1) == -35.7
    scenario = load_scenario("cna_gender", data_dir)
    for each in (before, after):
        said: Said = {
            (case.variation, case.cluster, case.group): -each[case.context.split("_")[0]] * (case.group == "man")
            for case in scenario.cases
        }
        assert point(LogOddsGap(), _readout(said))["value"] == pytest.approx(each["total"], abs=0.015)
