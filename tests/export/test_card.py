"""The model card says what was measured, and plainly what was not."""

from __future__ import annotations

from pathlib import Path

import pytest

from evenhand.core.errors import UsageError
from evenhand.export.card import Checked, Licence, ModelCard, costs, licence_of, text
from evenhand.judge.facts import Facts
from evenhand.lm.model import Identity
from export.records import around, cell, gap_rows, level_rows, run

CHECKED = Checked("switches off 3 of 144 neuron units", 96, 1, 0.0, 0.31, "cd" * 32)
IDENTITY = Identity("somewhere/model", revision="abc123", dtype="bfloat16")


def _evidence() -> str:
    rows = [
        *gap_rows("loan", around(0.8), around(0.1), around(-0.7), around(0.0, 0.05)),
        *gap_rows("sport|ball", around(0.5), around(0.45), around(-0.05), around(0.0, 0.05)),
        *level_rows("perplexity", "value", "prose", 20.0, 21.0),
    ]
    return text(ModelCard(cell(rows), run(), licence="mit"), IDENTITY, CHECKED)


def _section(card: str, title: str) -> str:
    return card.split(f"## {title}\n")[1].split("\n## ")[0]


def test_front_matter_is_what_the_hub_reads() -> None:
    front = _evidence().split("---\n")[1]
    assert "base_model: somewhere/model\n" in front
    assert "license: mit\n" in front
    assert "library_name: transformers\n" in front


def test_evidence_has_intervals_and_the_random_edit() -> None:
    evidence = _section(_evidence(), "On what evidence")
    assert "95% bootstrap intervals" in evidence
    (loan,) = (line for line in evidence.splitlines() if line.startswith("| loan"))
    assert loan == (
        "| loan | white − black | yes | 0.8 SD [0.7, 0.9] | 0.1 SD [0, 0.2] | -0.7 SD [-0.8, -0.6] "
        "| 0 SD [-0.05, 0.05] | fell |"
    )


def test_use_cases_not_helped_are_listed_and_helped_ones_are_not() -> None:
    not_shown = _section(_evidence(), "Where it was not shown to help")
    assert "sport\\|ball (white − black): no fall shown." in not_shown
    assert "loan" not in not_shown
    assert "not tested" in not_shown


def test_costs_provenance_and_notes() -> None:
    card = _evidence()
    assert "| prose | perplexity | 20 [20, 20] | 21 [21, 21] | not measured |" in _section(card, "What it cost")
    provenance = _section(card, "Provenance")
    for fact in ("revision `abc123`", "cd" * 32, "f00d", "prices, 2025-01-02", "torch 2.13.0", "bfloat16"):
        assert fact in provenance
    assert "evenhand run prices.toml" not in card, "a command names folders of the machine it ran on"
    assert "12 \\| of the units are listed." in _section(card, "Limits")
    assert "seed 3" in _section(card, "What was edited")
    assert "`units = 12`" in _section(card, "What was edited")


def test_every_table_row_has_the_columns_of_its_head() -> None:
    lines = [line.replace("\\|", "") for line in _evidence().splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {9, 6}


def test_without_measurements_the_card_says_so() -> None:
    card = text(
        ModelCard(provenance={"method": "contrast", "fitted_on": ["loan", "sport"], "settings": {}}), IDENTITY, CHECKED
    )
    assert "**None came with this edit.**" in card
    assert "- Anywhere." in card
    assert "- method: contrast\n- fitted on: loan, sport\n\n" in card
    assert "license: unknown\n" in card
    assert "**Unknown: ask the maker of the base model**" in _section(card, "Licence")


def test_a_local_model_is_named_by_its_folder_and_its_licence_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "base_model"
    folder.mkdir()
    assert licence_of(folder) == Licence()
    (folder / "README.md").write_text("---\ntags:\n- x\nlicense: apache-2.0\n---\nlicense: none of this\n")
    card = text(ModelCard(), Identity(str(folder), sha256="ef" * 32), CHECKED)
    assert "license: apache-2.0" in card
    assert str(tmp_path) not in card
    assert "# base\\_model, edited" in card
    assert "ef" * 32 in card
    (folder / "README.md").write_text("license: apache-2.0\n")
    assert licence_of(folder) == Licence()


@pytest.mark.parametrize(
    ("front", "tag", "name"),
    [
        ("license: other\nlicense_name: Our Own  # see below", "other", "Our Own"),
        ('license: "mit"', "mit", "mit"),
        ("licence: cc-by-4.0", "cc-by-4.0", "cc-by-4.0"),
        ("license: other", "unknown", Licence().name),
        ("license: unknown", "unknown", Licence().name),
        ("license:\ntags: [x]", "unknown", Licence().name),
    ],
)
def test_a_licence_is_read_from_the_models_own_card(front: str, tag: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"---\n{front}\n---\n")
    assert licence_of(tmp_path) == Licence(tag, name)


@pytest.mark.parametrize(
    ("given", "front", "said"),
    [
        ("Apache-2.0", "license: apache-2.0\ntags:", "stated as Apache-2.0;"),
        ("Llama 3 terms", 'license: other\nlicense_name: "Llama 3 terms"\ntags:', "stated as Llama 3 terms;"),
    ],
)
def test_a_licence_that_is_given_comes_first(given: str, front: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    card = text(ModelCard(licence=given), Identity(str(tmp_path)), CHECKED)
    assert front in card.split("---\n")[1]
    assert said in _section(card, "Licence")


def test_costs_are_those_of_everyone_and_only_what_was_measured() -> None:
    rows = [
        *level_rows("answer_shares", "valid", "loan", 0.95, 0.9),
        *level_rows("perplexity", "value", "prose", 20.0, 21.0),
    ]
    found = costs(Facts(run().scenario, cell(rows)))
    assert [(c.context, c.what, c.before.value, c.after.value) for c in found] == [
        ("loan", "share of valid answers", 0.95, 0.9),
        ("prose", "perplexity", 20.0, 21.0),
    ]
    assert not found[0].random.defined


def test_fitted_use_cases_come_first() -> None:
    rows = gap_rows("loan", around(0.8), around(0.1), around(-0.7), around(0.0, 0.05))
    card = text(ModelCard(cell(rows), run(("sport", "loan"))), IDENTITY, CHECKED)
    lines = [line for line in _section(card, "On what evidence").splitlines() if line.startswith("| ")][1:]
    assert [line.split(" | ")[::2][:2] for line in lines] == [["| loan", "yes"], ["| sport", "no"]]


def test_without_a_random_edit_the_card_claims_no_help() -> None:
    rows = gap_rows("loan", around(0.8), around(0.1), around(-0.7))
    card = text(ModelCard(cell(rows), run(("loan",))), IDENTITY, CHECKED)
    said = _section(card, "Where it was not shown to help")
    assert "loan (white − black): fell; no random edit was measured beside it." in said


def test_an_edit_that_broke_the_model_helped_nowhere() -> None:
    rows = [
        *gap_rows("loan", around(0.8), around(0.1), around(-0.7), around(0.0, 0.05)),
        *level_rows("perplexity", "value", "prose", 20.0, 90.0),
    ]
    said = _section(text(ModelCard(cell(rows), run()), IDENTITY, CHECKED), "Where it was not shown to help")
    assert "- Anywhere: the edit broke the model" in said
    assert "- loan" in said


def test_a_cell_needs_its_run() -> None:
    with pytest.raises(UsageError, match="run record"):
        ModelCard(cell([]))
