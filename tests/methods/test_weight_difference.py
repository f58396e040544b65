"""Weights by set difference against tables of scores, and what the edit leaves alone."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
import torch

from evenhand.core.errors import UsageError
from evenhand.core.select import describe
from evenhand.locate.snip import Snip
from evenhand.locate.wanda import Wanda
from evenhand.methods.weight_difference import WeightDifference
from evenhand.testing.tiny import tiny_lm
from oracles.people import prose, use_case
from oracles.weights import Table, snip, wanda, weight


def _two_items() -> Any:
    """The cases of the car and of the lamp as two variations."""
    whole = use_case()
    cases = tuple(dataclasses.replace(case, variation=case.id.split("/")[-1]) for case in whole.cases)
    return dataclasses.replace(whole, cases=cases)


def _top(table: Table, share: float, among: str) -> set[tuple[str, int]]:
    """(path, entry) of the highest by full sorts."""
    pools: list[list[tuple[float, str, int]]] = []
    for path, scores in table.items():
        width = scores.shape[1]
        entries = [(-float(s), path, i) for i, s in enumerate(scores.flatten())]
        if among == "row":
            pools += [entries[i : i + width] for i in range(0, len(entries), width)]
        elif among == "matrix" or not pools:
            pools.append(entries)
        else:
            pools[0] += entries
    return {(path, i) for pool in pools for _, path, i in sorted(pool)[: int(share * len(pool))]}


def _chosen(edit: Any) -> set[tuple[str, int]]:
    return {(site.path, int(unit)) for site, units in edit.selection.by_site() for unit in units}


def _of(lm: Any, part: Any, score: str) -> Table:
    """Scores as the locators make them, all at once: that they are right is tested beside them."""
    made = Wanda().score(lm, part) if score == "wanda" else Snip().of_weights(lm, part)
    return dict(zip((site.path for site in made.layout.sites), made.matrices(), strict=True))


@pytest.mark.parametrize("among", ["matrix", "row", "global"])
@pytest.mark.parametrize("score", ["wanda", "snip"])
@pytest.mark.parametrize("combine", ["intersection", "vote", "pooled"])
def test_the_set_is_the_difference_of_the_tops(score: Any, among: Any, combine: Any) -> None:
    lm, scenario = tiny_lm("gpt2"), _two_items()
    method = WeightDifference(score, 0.2, 0.15, among, combine=combine, votes=1, modules=r"h\.1\.")
    found = _chosen(method.fit(lm, scenario, prose()))
    parts = [scenario] if combine == "pooled" else [scenario.where(lambda c, v=v: c.variation == v) for v in
                                                    ("car", "lamp")]  # fmt: skip
    sets = []
    for part in parts:
        sides = [_of(lm, part.where(lambda c, g=g: c.group == g), score) for g in ("a", "b")]
        majority, minority = ({p: s for p, s in side.items() if ".h.1." in p} for side in sides)
        sets.append(_top(minority, 0.2, among) - _top(majority, 0.15, among))
    expected = set.union(*sets) if combine == "vote" else set.intersection(*sets)
    assert found == expected
    assert found


def test_paths_are_nested_and_pass_through_the_fitted_set() -> None:
    lm, scenario = tiny_lm("llama"), _two_items()
    kinds: list[dict[str, Any]] = [{"among": "row"}, {"among": "global"}, {"combine": "vote", "votes": 1}]
    for kind in kinds:
        method = WeightDifference(**kind)
        fitted = method.fit(lm, scenario, prose()).selection
        sizes = [0, 1, len(fitted) // 2, len(fitted), 2 * len(fitted)]
        path = [edit.selection for edit in method.path(lm, scenario, prose(), sizes)]
        assert [len(each) for each in path] == sizes
        assert all(len(a - b) == 0 for a, b in itertools.pairwise(path))
        if method.among == "global":  # places are rounded there
            assert fitted.jaccard(path[3]) > 0.98
        else:
            assert path[3] == fitted


def test_swapped_groups_and_utility() -> None:
    lm, scenario = tiny_lm("llama"), use_case()
    minority = WeightDifference(combine="pooled")
    swapped = dataclasses.replace(minority, prune="majority")
    turned = dataclasses.replace(scenario, groups=scenario.groups[::-1])
    assert swapped.fit(lm, scenario, prose()).selection == minority.fit(lm, turned, prose()).selection
    general = dataclasses.replace(minority, less="utility").fit(lm, scenario, prose())
    utility = wanda(lm, prose(), "all")
    of_b = wanda(lm, scenario.where(lambda case: case.group == "b"), "all")
    expected = _top(of_b, 0.15, "matrix") - _top(utility, 0.15, "matrix")
    assert len(_chosen(general) ^ expected) <= 4, "but for what rounding moves over a threshold"


def test_scores_are_those_of_the_oracles() -> None:
    lm, scenario = tiny_lm("t5"), use_case().where(lambda case: case.name in ("Jo", "Jamal"))
    for score, expected in (("wanda", wanda(lm, scenario, "all")), ("snip", snip(lm, scenario))):
        for path, scores in _of(lm, scenario, score).items():
            torch.testing.assert_close(scores, expected[path], atol=1e-6, rtol=1e-3)


def test_the_edit_puts_zeros_where_it_says_and_they_are_told_by_layer_and_module() -> None:
    lm, scenario = tiny_lm("gpt2"), use_case()
    said: list[str] = []
    lm.notify = said.append
    edit = WeightDifference(modules="mlp").fit(lm, scenario, prose())
    before = {site.path: weight(lm, site.path).clone() for site in edit.selection.layout.sites}
    with edit.applied(lm):
        for site, units in zip(edit.selection.layout.sites, edit.selection.pieces(), strict=True):
            now = weight(lm, site.path).flatten()
            assert bool((now[units] == 0).all())
            assert int((now != before[site.path].flatten()).sum()) == len(units)
    line = describe(edit.selection)
    assert "attn.c_attn" not in line, "kinds of matrix without one are left out"
    share = len([1 for path, _ in _chosen(edit) if "c_fc" in path]) / (3 * 32 * 48)
    assert f"mlp.c_fc: {share:.2%}" in line
    assert any("of the input columns" in each for each in said)
    assert edit.describe().startswith(f"switches off {len(edit.selection)} of {edit.selection.layout.size:,} weights (")


def test_what_cannot_be_asked_is_refused() -> None:
    lm, scenario = tiny_lm("llama"), _two_items()
    with pytest.raises(UsageError, match="regular expression"):
        WeightDifference(modules="(")
    with pytest.raises(UsageError, match="no matrix has 'c_fc'"):
        WeightDifference(modules="c_fc").fit(lm, scenario, prose())
    with pytest.raises(UsageError, match="3 votes asked for, there are 2 variations"):
        WeightDifference(combine="vote", votes=3).fit(lm, scenario, prose())
    with pytest.raises(UsageError, match=r"only .* have a score"):
        WeightDifference(majority=0.9).path(lm, scenario, prose(), [lm.layout("weight").size // 2])
    with pytest.raises(UsageError, match="no cases"):
        WeightDifference(less="utility").fit(lm, scenario, prose().where(lambda case: False))
