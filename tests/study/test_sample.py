"""A study of a part of its scenario: drawn by its first seed, recorded, told on the page, and other cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from evenhand.core.case import Case
from evenhand.core.errors import UsageError
from evenhand.core.record import CellRecord, RunRecord
from evenhand.core.scenario import Context, Scenario
from evenhand.report import render
from evenhand.study.config import SampleConfig, StudyConfig, load_study
from evenhand.study.engine import Listener, run_study
from evenhand.study.entry import sampled

Asked = Callable[..., StudyConfig]


def asked_in_instructions() -> Scenario:
    """Six templates of eight questions each, every one in three instructions that stand together, as in BBQ."""
    cases = [
        Case(f"q/{template}.{number}/{how}", "?", "q", how, "", str(template), "", (" a", " b"), 0)
        for template in range(6)
        for how in ("one", "two", "three")
        for number in range(8)
    ]
    return Scenario("made", tuple(cases), (Context("q", "choice"),))


def test_questions_are_kept_in_every_instruction_and_all_templates_stay() -> None:
    found = sampled(asked_in_instructions(), SampleConfig(cases=6), 0)
    questions = Counter(case.id.rpartition("/")[0] for case in found.cases)
    assert set(questions.values()) == {3}
    assert Counter(question.partition(".")[0] for question in questions) == {f"q/{n}": 2 for n in range(6)}


def test_clusters_are_drawn_whole_by_the_seed() -> None:
    whole = asked_in_instructions()
    draws = [sampled(whole, SampleConfig(clusters=2), seed) for seed in (0, 0, 1, 2, 3)]
    assert draws[0] == draws[1]
    assert len({draw.fingerprint for draw in draws}) > 1
    for draw in draws:
        assert set(Counter(case.cluster for case in draw.cases).values()) == {24}
        assert len({case.cluster for case in draw.cases}) == 2
    assert sampled(whole, SampleConfig(), 0) == whole


@pytest.mark.parametrize(
    ("sample", "says"),
    [
        ("cases = 0", "sample.cases"),
        ("clusters = -1", "sample.clusters"),
        ("clusters = 1.5", "sample.clusters"),
        ("instances = 3", "unknown key 'instances' in sample"),
    ],
)
def test_a_sample_that_is_none_is_refused(tmp_path: Path, sample: str, says: str) -> None:
    path = tmp_path / "study.toml"
    path.write_text(
        f'name = "s"\nscenario = "planted"\nutility = ["planted_text"]\n[sample]\n{sample}\n'
        '[[models]]\nsource = "planted"\nchat = false\n[[methods]]\nname = "random"\n'
    )
    with pytest.raises(UsageError, match=says):
        load_study(path)


def test_contexts_that_are_not_asked_cannot_be_fitted_on_and_unknown_ones_are_named(
    asked: Asked, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="has no context 'lamp'"):
        run_study(asked(sample={"contexts": ["bus"]}), tmp_path / "run")
    with pytest.raises(UsageError, match="has no context 'bsu'; did you mean 'bus'"):
        run_study(asked(sample={"contexts": ["bsu"]}), tmp_path / "run")


def test_another_sample_is_another_cell_and_the_page_tells_it(asked: Asked, tmp_path: Path) -> None:
    folder, fresh = tmp_path / "run", list[bool]()

    def cell(**sample: object) -> CellRecord:
        config = asked(sample=sample) if sample else asked()
        return run_study(config, folder, Listener(ended=lambda cell, place, total, new: fresh.append(new)))[0]

    whole, few, again = cell(), cell(clusters=4), cell(clusters=4)
    assert fresh == [True, True, False]
    assert whole.spec.hash != few.spec.hash == again.spec.hash
    assert few.spec == whole.spec.model_copy(update={"scenario_fingerprint": few.spec.scenario_fingerprint})
    record = RunRecord.model_validate_json((folder / "run.json").read_bytes())
    assert record.config["sample"] == {"contexts": [], "clusters": 4, "cases": None}
    dealt = [name for held in record.scenario.parts.values() for name in (*held["a"], *held["b"])]
    assert len(dealt) == len(set(dealt)) == 8
    page = render(folder).read_text(encoding="utf-8")
    assert page.count("at most 4 clusters of each group in each use case") == 2
    assert cell() == whole
    assert "at most 4 clusters" not in render(folder).read_text(encoding="utf-8")


def test_all_seeds_ask_the_same_part(asked: Asked, tmp_path: Path) -> None:
    cells = run_study(asked(sample={"clusters": 4}, seeds=[3, 5]), tmp_path / "run")
    assert len({cell.spec.scenario_fingerprint for cell in cells}) == 1
    assert [cell.spec.seed for cell in cells] == [3, 5]
