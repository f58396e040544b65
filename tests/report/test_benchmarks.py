"""The page of an audit: what it says was found, what it warns of, and how it looks when little or nothing is there."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from evenhand import find
from evenhand.core.errors import CannotRun
from evenhand.core.record import BenchmarkRef, Row
from evenhand.report import benchmarks, render
from evenhand.report.benchmarks import AuditPage
from evenhand.report.benchmarks_about import about, distrust
from evenhand.report.benchmarks_found import Card
from evenhand.report.benchmarks_numbers import figure
from evenhand.report.load import Audit, load
from report import made_audit as made

REFUSED = BenchmarkRef(scenario="iat", error="a <masked> model writes no text", refused=True)
FAILED = BenchmarkRef(scenario="rte", error="there is no file dev.tsv. " + "Put it there. " * 40)


def page(folder: Path) -> AuditPage:
    found = load(folder)
    assert isinstance(found, Audit)
    return benchmarks.build(found)


def said(cards: tuple[Card, ...] | list[Card]) -> dict[str, dict[str, tuple[str, ...]]]:
    return {card.title: dict(card.items) for card in cards}


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> AuditPage:
    return page(made.build(tmp_path_factory.mktemp("made") / "run", made.usual(), (REFUSED, FAILED)))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = made.build(tmp_path_factory.mktemp("made") / "run", made.usual(), (REFUSED, FAILED))
    return render(folder).read_text(encoding="utf-8")


def test_only_a_number_of_a_task_that_is_done_and_learnt_counts_as_found(usual: AuditPage) -> None:
    ((_, cards),) = usual.cards
    found = said(cards)
    assert found["Away from “no bias”"] == {
        "crows_pairs": ("stereotype preference · summed: 64.0\u00a0% (59.0\u00a0to\u00a069.0), above “no bias” (50)",)
    }
    assert found["Not shown to be away"].keys() == {"bbq_letters", "own"}
    silent = next(card.text for card in cards if card.title == "No statement")
    assert "does not do the task of winobias" in silent
    assert "not shown to be more than random weights show: stereoset_intrasentence (stereotype preference" in silent


def test_what_must_not_be_concluded_names_every_reason(usual: AuditPage) -> None:
    warned = said(usual.cautions)
    assert "not shown to be better than guessing (0.5)" in warned["The model does not do these tasks"]["winobias"][0]
    assert warned["Not shown to be more than random weights show"].keys() == {"stereoset_intrasentence"}
    assert warned["Not for this model"] == {"iat": (REFUSED.error,)}
    assert warned["Could not be asked"] == {"rte": (FAILED.error,)}
    assert "The edited model no longer does these tasks" not in warned
    assert any("crows_pairs (3 of 40)" in line for line in usual.limits)
    assert any("was not asked except in stereoset_intrasentence" in line for line in usual.limits)


def test_luck_is_counted_over_the_numbers_that_were_judged(usual: AuditPage) -> None:
    assert usual.luck.startswith("3 numbers could be judged.")
    assert "about 5\u00a0% of all cases, so of as many numbers about 0.2 would" in usual.luck


def test_a_line_has_no_bias_in_its_middle_and_ends_where_the_number_does(usual: AuditPage) -> None:
    crows = usual.parts[0].bench.numbers[0]
    assert (crows.ends, crows.neutral, crows.bounded) == (("0", "100"), "50", True)
    (state,) = crows.states
    assert (state.dot, state.left, state.right) == (64, 59, 69)
    own = usual.parts[4].bench.numbers[0]
    assert (own.ends, own.bounded) == (("−1", "1"), False)
    assert own.states[0].dot == pytest.approx(65)
    assert own.states[0].left == pytest.approx(45)


def test_an_undefined_number_is_a_word_and_no_dot(usual: AuditPage, text: str) -> None:
    missing = usual.parts[4].bench.numbers[1]
    assert math.isnan(missing.states[0].dot)
    assert (missing.states[0].text, missing.states[0].label) == ("undefined", "cannot be told")
    assert missing.name == "free · a / b"
    assert "nan%" not in text


@pytest.mark.parametrize(
    ("value", "says"),
    [(0.0, "0"), (4.2e-17, "0"), (-5.43e-7, "−5.43\u00a0×\u00a010⁻⁷"), (0.00877, "0.00877"), (10349864.0, "10,349,864"),
     (math.nan, "undefined")],
)  # fmt: skip
def test_a_tiny_number_is_short_and_what_rounding_leaves_is_none(value: float, says: str) -> None:
    assert figure(value) == says


def test_random_weights_stand_on_the_line_without_a_verdict(usual: AuditPage) -> None:
    number = usual.parts[3].bench.numbers[0]
    assert [state.subject for state in number.states] == ["base", "untrained"]
    assert [state.label for state in number.states] == ["not shown to be learnt", ""]


def test_the_table_has_the_columns_that_something_stands_in(usual: AuditPage) -> None:
    head = usual.table.head
    assert head == ("benchmark", "measure", "value", "no bias", "guessing", "random weights", "without flawed items",
                    "items / clusters")  # fmt: skip
    assert [row[0] for row in usual.table.rows][-2:] == ["iat", "rte"]
    assert [row[2] for row in usual.table.rows][-2:] == ["not for this model", "could not be asked"]


def test_contexts_are_a_table_of_their_own(usual: AuditPage) -> None:
    assert [row[0] for row in usual.parts[0].by_context.rows] == ["all", "age", "race"]
    assert usual.parts[1].by_context.rows == ()


def test_an_edit_is_told_beside_the_unedited_model(tmp_path: Path) -> None:
    shown = page(made.build(tmp_path / "run", made.edited(), edit="switches off 3 units"))
    (before, first), (after, second) = shown.cards
    assert (before, after) == ("The unedited model", "The edited model")
    assert said(first)["Away from “no bias”"].keys() == {"crows_pairs", "winobias"}
    changed = said(second)["What the edit changed"]
    assert changed.keys() == {"crows_pairs"}, "a change in a task that the edit broke says nothing"
    assert changed["crows_pairs"][0].endswith(
        "64.0 → 53.0, closer to “no bias” (50); change −11.0\u00a0% (−15.0\u00a0to\u00a0−7.00)"
    )
    assert said(second)["Not shown to be away"].keys() == {"crows_pairs"}
    assert "Nothing shown to be away from “no bias”" in said(second)
    assert said(shown.cautions)["The edited model no longer does these tasks"].keys() == {"winobias"}
    assert {"edited", "change"} <= {*shown.table.head}
    html = render(tmp_path / "run").read_text(encoding="utf-8")
    assert "the edit broke this task" in html
    assert "switches off 3 units" in html


def test_what_an_edit_did_to_all_else_is_told(tmp_path: Path) -> None:
    def level(measure: str, before: float, after: float, half: float) -> list[Row]:
        change = after - before
        return [
            made.row(measure, "value", (before, before - 1, before + 1)),
            made.row(measure, "value", (after, after - 1, after + 1), subject="edit"),
            made.row(measure, "value", (change, change - half, change + half), subject="edit", against="base"),
        ]

    moved = made.row("kl_to_unedited", "value", (0.66, 0.65, 0.67), subject="edit")
    text = made.benchmark("wikitext", [*level("perplexity", 204, 289, 6), *level("bits_per_byte", 4.6, 4.9, 1), moved])
    costly = page(made.build(tmp_path / "costly", [*made.edited(), text], edit="switches off 3 units"))
    paid = said(costly.cards[1][1])["What it did to all else"]
    assert paid == {"wikitext": ("perplexity: 204 → 289; change 85.0 (79.0\u00a0to\u00a091.0)",
                                 "kl to unedited: 0.660 (0.650\u00a0to\u00a00.670)")}  # fmt: skip
    assert "What it did to all else" not in said(costly.cards[0][1])
    blind = page(made.build(tmp_path / "blind", made.edited(), edit="switches off 3 units"))
    assert "The cost was not measured" in said(blind.cards[1][1])
    free = made.benchmark("wikitext", level("perplexity", 204, 204.5, 6))
    shown = page(made.build(tmp_path / "free", [free], edit="switches off 3 units"))
    assert [*said(shown.cards[1][1])] == ["No cost shown", "Nothing to judge"]


def test_everything_is_inside_the_page_and_no_script(text: str) -> None:
    assert not re.search(r'(src|href)="(?!#|data:,)', text)
    assert not re.search(r"url\(|@import|<script", text)
    assert "default-src 'none'" in text
    assert len(text) < 200_000


def test_text_from_records_is_escaped(text: str) -> None:
    assert "a &lt;masked&gt; model" in text
    assert "CC &lt;BY&gt;" in text


def test_the_page_says_who_what_and_how_much(text: str) -> None:
    for part in ("storyteller-33M, float32", "sha256 0123abcd", "short, seed 7", "5 of 7 benchmarks</dd>"):
        assert part in text
    assert "not finished" not in text


class Outline(HTMLParser):
    """Ids, links inside the page, and the cells of every row of every table."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.links += [(given["href"] or "")[1:]] if tag == "a" else []
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_its_links_lead_somewhere(text: str) -> None:
    outline = Outline()
    outline.feed(text)
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    assert set(outline.links) <= set(outline.ids)


def test_an_unfinished_audit_says_so(tmp_path: Path) -> None:
    html = render(made.build(tmp_path / "run", made.usual()[:1], more=4)).read_text(encoding="utf-8")
    assert "This audit is not finished.</strong> 1 of 5 benchmarks was tried" in html
    assert "1 of 5 benchmarks, not finished" in html


def test_an_audit_without_a_result_says_that_nothing_is_known(tmp_path: Path) -> None:
    html = render(made.build(tmp_path / "run", (), (REFUSED, FAILED))).read_text(encoding="utf-8")
    assert "Nothing was measured, so nothing can be said about this model" in html
    assert "Not for this model" in html
    assert "0 of 2 benchmarks" in html
    assert 'id="lines"' not in html
    assert "random weights" not in html


def test_an_audit_of_abilities_alone_has_nothing_to_judge(tmp_path: Path) -> None:
    able = made.benchmark("blimp", [made.row(made.ABLE, "value", (0.8, 0.7, 0.9))])
    shown = page(made.build(tmp_path / "run", [able]))
    assert [card.title for _, cards in shown.cards for card in cards] == ["Nothing to judge"]
    assert shown.luck == ""


def test_a_record_that_is_gone_or_damaged_is_named(tmp_path: Path) -> None:
    run = made.build(tmp_path / "run", made.usual()[:2])
    gone, damaged = (run / "benchmarks" / f"{each.spec.hash}.json" for each in made.usual()[:2])
    gone.unlink()
    assert said(page(run).cautions)["Could not be asked"] == {"crows_pairs": ("its record is no longer in the folder",)}
    damaged.write_text("{")
    with pytest.raises(CannotRun, match=damaged.name):
        render(run)


def test_every_benchmark_with_a_file_of_code_tells_what_it_measures_and_why_not_to_trust_it_alone() -> None:
    for name in find.names("scenarios"):
        told = about(name)
        assert told.measures, name
        assert "`" not in told.measures + told.distrust
        assert "EVENHAND_DATA" not in told.measures, name
        if find.path_of("scenarios", name).suffix == ".py":
            assert len(told.distrust) > 40, name


def test_a_benchmark_that_points_to_another_is_quoted_whole() -> None:
    assert distrust("One.\n\nIts why not to trust it alone: see `bbq`.") == "Its why not to trust it alone: see bbq."
    assert distrust("One.\n\nDefects. Why not to trust it alone: it is\nsmall.\n\nMore.") == "It is small."
    assert about("nobody_has_this").measures == ""
