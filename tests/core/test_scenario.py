"""Splits share nothing and follow their seed; a fingerprint follows every number-changing edit and nothing else."""

from __future__ import annotations

import dataclasses

import pytest

from evenhand.core.case import Case
from evenhand.core.errors import UsageError
from evenhand.core.scenario import PARTS, Context, Scenario, split_clusters, split_variations

NAMES = {"white": [f"W{i}" for i in range(12)], "black": [f"B{i}" for i in range(13)]}


def toy(variations: int = 6) -> Scenario:
    cases = tuple(
        Case(f"{c}/{v}/{g}/{n}", f"{c} {v} {n}?", c, f"v{v}", g, n, n)
        for c in ("buy", "hire")
        for v in range(variations)
        for g, names in NAMES.items()
        for n in names
    )
    return Scenario("toy", cases, (Context("buy", "number"), Context("hire", "number", "low")), ("white", "black"))


def test_parts_by_name_share_no_name_and_lose_none():
    parts = [toy().part(part, seed=3) for part in PARTS]
    seen = [{(case.group, case.cluster) for case in part.cases} for part in parts]
    assert sum(map(len, seen)) == len(set.union(*seen)) == 25
    assert sum(len(part.cases) for part in parts) == len(toy().cases)
    assert [sum(g == "white" for g, _ in part) for part in seen] == [4, 4, 4]


def test_parts_by_variation_share_no_variation_and_keep_every_name():
    parts = [toy().part(part, seed=3, by="variation") for part in PARTS]
    seen = [{(case.context, case.variation) for case in part.cases} for part in parts]
    assert sum(map(len, seen)) == len(set.union(*seen)) == 12
    assert all(len({(case.group, case.cluster) for case in part.cases}) == 25 for part in parts)


def test_a_seed_gives_one_split_and_another_seed_another():
    for split in (split_clusters, split_variations):
        assert split(toy(), 1) == split(toy(), 1)
        assert split(toy(), 1) != split(toy(), 2)
    shuffled = dataclasses.replace(toy(), cases=toy().cases[::-1])
    assert split_clusters(shuffled, 1) == split_clusters(toy(), 1)


def test_a_name_falls_into_the_same_part_in_every_context():
    whole, alone = split_clusters(toy(), 5), split_clusters(toy().only(["hire"]), 5)
    assert whole == alone


def test_shares_are_kept_and_no_wanted_part_is_empty():
    sizes = [len({c.cluster for c in toy().part(p, shares=(1, 0, 3)).cases if c.group == "white"}) for p in PARTS]
    assert sizes == [3, 0, 9]
    tight = [len({c.cluster for c in toy().part(p, shares=(98, 1, 1)).cases if c.group == "white"}) for p in PARTS]
    assert tight == [10, 1, 1]


@pytest.mark.parametrize("shares", [(0, 0, 0), (1, 1), (-1, 1, 1)])
def test_impossible_shares_are_refused(shares: tuple[float, ...]):
    with pytest.raises(UsageError, match="shares of fit, choose, report"):
        toy().part("fit", shares=shares)


def test_a_cluster_of_several_groups_is_in_one_part_in_all_of_them() -> None:
    cases = [Case(f"{job}/{group}", "x", "c", "", group, str(job)) for job in range(12) for group in ("woman", "man")]
    cases += [Case(f"own/{name}", "x", "c", "", "man", f"own {name}") for name in range(6)]
    both = Scenario("jobs", tuple(cases), (Context("c", "choice"),), ("woman", "man"))
    place = split_clusters(both, 1)
    assert all(place["woman", str(job)] == place["man", str(job)] for job in range(12))
    assert [sum(place["woman", str(job)] == part for job in range(12)) for part in PARTS] == [4, 4, 4]
    assert [sum(place["man", f"own {name}"] == part for name in range(6)) for part in PARTS] == [2, 2, 2]
    turned = Scenario("jobs", tuple(reversed(cases)), both.contexts, both.groups)
    assert split_clusters(turned, 1) == place


def test_too_few_to_split_says_where_and_how_many():
    with pytest.raises(UsageError, match=r"context 'buy': 2 variation\(s\) cannot be split into fit, choose, report"):
        toy(2).part("fit", by="variation")
    few = toy().where(lambda case: case.cluster in ("W0", "W1") or case.group == "black")
    with pytest.raises(UsageError, match=r"group 'white': 2 name\(s\) cannot be split"):
        few.part("fit")


def _with_case(**changes: object) -> Scenario:
    first, *rest = toy().cases
    return dataclasses.replace(toy(), cases=(dataclasses.replace(first, **changes), *rest))


@pytest.mark.parametrize(
    "change",
    [{"prompt": "x"}, {"options": ("a", "b")}, {"favourable": 0}, {"answer_prefix": " $"}, {"system": ""},
     {"cluster": "other"}, {"name": "other"}, {"group": "black"}, {"variation": "x"}, {"context": "hire"}],
)  # fmt: skip
def test_every_field_of_a_case_changes_the_fingerprint(change: dict[str, object]):
    assert _with_case(**change).fingerprint != toy().fingerprint


def test_contexts_groups_order_and_version_change_the_fingerprint():
    base = toy()
    others = [
        dataclasses.replace(base, groups=("black", "white")),
        dataclasses.replace(base, contexts=(Context("buy", "number", "low"), base.contexts[1])),
        dataclasses.replace(base, contexts=(Context("buy", "number", unit="dollars"), base.contexts[1])),
        dataclasses.replace(base, cases=base.cases[1:]),
        dataclasses.replace(base, cases=base.cases[::-1]),
        dataclasses.replace(base, version="2"),
    ]
    assert len({s.fingerprint for s in [base, *others]}) == 1 + len(others)


def test_what_is_told_beside_the_cases_does_not_change_the_fingerprint():
    other = dataclasses.replace(toy(), licence="CC BY 4.0", citation="Somebody 2024", source="elsewhere.toml",
                                masked_only="it has a blank")  # fmt: skip
    assert other.fingerprint == toy().fingerprint
    assert len(toy().fingerprint) == 16


def test_unknown_context_and_variation_name_the_nearest():
    with pytest.raises(UsageError, match="no context 'hire2'; did you mean 'hire'"):
        toy().only(["hire2"])
    with pytest.raises(UsageError, match="no variation 'vv1'; did you mean 'v1'"):
        toy().only(variations=["vv1"])


def test_only_drops_the_contexts_left_out():
    kept = toy().only(["hire"], ["v1", "v2"])
    assert [c.name for c in kept.contexts] == ["hire"]
    assert kept.variations("hire") == ("v1", "v2")
    assert len(kept.cases) == 2 * 25
