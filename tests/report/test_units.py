"""Units on the page: which way their words stand, which way they move the gap; what was not measured is left out."""

import math
from pathlib import Path

from evenhand.cli.explained import tell
from evenhand.core.estimate import Estimate
from evenhand.core.explained import Driver, Explanation, GapEffect, GroupEffect, MatrixRecord, UnitRecord
from evenhand.core.record import CellRecord
from evenhand.report import render_explanation, tables, units

SEEN = Driver(where="loan", before="\nThe bank will", token=" lend", after=" $", value=-81.94)


def _unit(**more):
    given = {"path": "m.3.down", "layer": 3, "stack": "decoder", "unit": 107, "drivers": (SEEN,)}
    given |= {"promotes": (" a",), "suppresses": (" b",)}
    return UnitRecord(**given | more)


def test_one_random_unit_is_no_plural(capsys):
    for n, said in ((1, "The largest of 1 random unit of"), (8, "The largest of 8 random units of"), (0, "")):
        tell(Path("edit"), [Explanation(describes="e", units=(_unit(),), random_units=n)], None, None, False)
        told = capsys.readouterr().out
        assert said in told
        assert ("The largest" in told) == bool(n)


def test_the_terminal_tells_both_sides_of_the_words_within_100_columns(capsys):
    towards, away = ([f" {word}{i}" for i in range(8)] for word in ("encourage", "deny"))
    moves = tuple(GroupEffect(context="loan", group=g, change=-0.123) for g in ("northmere", "southmere"))
    unit = _unit(positive=0.9, promotes=tuple(towards), suppresses=tuple(away), outcomes=moves, matrix="mlp.gate_proj",
                 groups={"northmere": -1.234, "southmere": 1.0}, neutral=0.5, first=0.2, delimiters=0.01,
                 divergence=0.0012)  # fmt: skip
    part = Explanation(describes="e", units=(unit, unit.model_copy(update={"positive": 0.6})), random_units=8)
    tell(Path("edit"), [part], None, None, False)
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= 100
    plain, mixed = told.partition("makes less likely\n")[2].splitlines()[:2]
    assert plain.startswith("  3 mlp.gate_proj  107   ' encourage0' ' encourage1'")
    assert "  ' deny0' ' deny1' ' deny2'" in plain
    assert "mixed signs: " in mixed
    assert mixed.endswith("those of the other sign")


def test_words_stand_the_way_the_activation_points():
    negative, positive, mixed = units.told([_unit(positive=0.1), _unit(positive=0.9), _unit(positive=0.6)], math.nan)
    assert (negative.towards, negative.away) == (("␣b",), ("␣a",))
    assert negative.sign.startswith("Its activation is negative (90")
    assert (positive.towards, positive.away) == (("␣a",), ("␣b",))
    assert (negative.mixed, positive.mixed, mixed.mixed) == (False, False, True)
    assert mixed.sign.startswith("Its activation has both signs: 60")
    assert not _unit().mixed, "how its activation points is unknown"


def test_mixed_signs_are_not_told_as_one_side(capsys, tmp_path):
    unit = _unit(positive=0.6, effects=(GapEffect(context="loan", other="x", before=0.7, after=0.2),))
    part = Explanation(describes="e", units=(unit,), first=0.1, delimiters=0.1)
    page = render_explanation([part], None, "e", tmp_path / "page.html").read_text(encoding="utf-8")
    chip = page.split("<summary>")[1].split("</summary>")[0]
    assert "mixed signs: writes <q>␣a</q> or <q>␣b</q>" in chip
    assert "Mixed signs: pushes the next word towards <q>␣a</q> or towards <q>␣b</q>." in page
    assert "a unit far above that may follow the place" in page
    tell(Path("edit"), [part], None, None, False)
    assert "mixed signs: ' a' or ' b'" in capsys.readouterr().out
    (row,) = tables.units(CellRecord.model_construct(units=(unit,))).rows
    assert row[2:] == ("mixed signs: ␣a  or  ␣b", "those of the other sign")


def test_a_change_is_marked_only_beyond_what_random_units_do():
    effects = (GapEffect(context="loan", other="x", before=0.7, after=0.2),)
    widens = (GapEffect(context="loan", other="x", before=0.7, after=-0.9),)
    found = units.told([_unit(effects=effects), _unit(effects=widens), _unit()], 0.3)
    assert [(each.change, each.tone) for each in found] == [
        ("closes the gap by 0.50 SD", "fell"),
        ("widens the gap by 0.20 SD", "none"),
        ("effect on the gap not measured", "none"),
    ]
    assert ("Gap in loan, x names, it alone edited", "0.70 → 0.20 SD") in found[0].facts


def test_a_unit_that_leaves_the_gap_as_it_is_is_not_marked():
    """Not even where no random unit did as much; and without random units nothing says what is much."""
    told = {
        0.7049: ("leaves the gap as it is", "none"), 0.72: ("widens the gap by 0.02 SD", "rose"),
        0.6951: ("leaves the gap as it is", "none"), 0.68: ("closes the gap by 0.02 SD", "fell"),
    }  # fmt: skip
    for after, expected in told.items():
        unit = _unit(effects=(GapEffect(context="loan", other="x", before=0.7, after=after),))
        ((known,), (unknown,)) = units.told([unit], 0.001), units.told([unit], math.nan)
        assert (known.change, known.tone) == expected
        assert unknown.tone == "none"


def test_a_unit_that_moves_all_groups_alike_is_told_of(capsys, tmp_path):
    level = (GapEffect(context="loan", other="x", before=0.7, after=0.701),)
    alike, one = ([GroupEffect(context="loan", group=g, change=c) for g, c in (("w", -0.3), ("x", d))]
                  for d in (-0.301, 0.0))  # fmt: skip
    many = _unit(effects=level, outcomes=tuple(alike))
    found = units.told([many, _unit(effects=level, outcomes=tuple(one)), _unit(effects=level)], math.nan)
    assert [each.change for each in found] == [
        "leaves the gap as it is, lowers every group's outcome by 0.30 SD or more",
        "leaves the gap as it is",
        "leaves the gap as it is",
    ]
    fact = "Change of each group's outcome in loan, it alone edited"
    assert [dict(each.facts).get(fact) for each in found] == ["w −0.30, x −0.30 SD", "w −0.30, x 0.00 SD", None]
    part = Explanation(describes="e", units=(many,), effects=level)
    tell(Path("edit"), [part], None, None, False)
    told = capsys.readouterr().out
    assert "outcome, w" in told
    assert "-0.301" in told
    page = render_explanation([part], None, "e", tmp_path / "page.html").read_text(encoding="utf-8")
    assert "w −0.30, x −0.30 SD" in page
    assert "so they differ from those of a study&#39;s verdict" in page


def test_facts_leave_out_what_was_not_measured():
    (bare,) = units.told([_unit()], math.nan)
    assert bare.facts == ()
    assert bare.sign == ""
    (full,) = units.told(
        [_unit(divergence=0.00002, groups={"x": -3.456}, neutral=0.5, first=0.2, delimiters=0.01,
               differences={"x": Estimate(value=1.0, low=0.5, high=1.5)})], math.nan
    )  # fmt: skip
    assert dict(full.facts) == {
        "Shift of predictions on neutral text": "under 0.0001 nats per token",
        "Mean activation, x names": "−3.46",
        "Difference to x names": "1.00 (0.50 to 1.50)",
        "Mean activation, neutral text": "0.500",
        "Activation on first tokens, on delimiters": "20\u00a0%, 1.0\u00a0%",
    }
    (spot,) = full.spots
    assert (spot.before, spot.token, spot.value) == ("⏎The bank will", " lend", "−81.9")


def test_units_of_which_only_the_words_are_known_are_left_to_the_table():
    assert units.told([_unit(drivers=())], 0.1) == []


def test_the_yardstick_and_the_matrices():
    assert units.yardstick(0, math.nan, math.nan, math.nan) == ""
    assert units.yardstick(8, 0.0021, math.nan, 0.001).startswith(
        "Of 8 random units of the same layers, each alone, the "
    )
    assert "largest change of the gap is 0.00210 SD" in units.yardstick(8, 0.0021, math.nan, 0.001)
    assert units.yardstick(1, 0.0021, math.nan, 0.001).startswith("Of 1 random unit of")
    assert units.yardstick(0, 0.0021, math.nan, 0.001).startswith("Of random units of"), "a record of before"
    record = MatrixRecord(path="q", layer=0, stack="decoder", rows=10, columns=20, entries=4, rows_hit=3, columns_hit=2,
                          top_columns=((3, 3), (5, 1)), crowded_columns=0.75, crowded_rows=0.5)  # fmt: skip
    (row,) = units.crowded([record]).rows
    assert row == ("q", "4", "2.0\u00a0%", "3 of 10", "2 of 20", "50\u00a0%", "75\u00a0%", "3 (3), 5 (1)")
