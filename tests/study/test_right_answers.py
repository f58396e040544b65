"""Edits of questions that compare no groups are explained by what they do to the right answers."""

import math
from pathlib import Path

import pytest
import torch

from evenhand.cli.explained import tell
from evenhand.core.bootstrap import Bootstrap
from evenhand.core.case import Case
from evenhand.core.component import Selection
from evenhand.core.scenario import Context, Scenario
from evenhand.edits.scale import Scale
from evenhand.lm.scoring.forward import score_options
from evenhand.report import render_explanation
from evenhand.scenarios._load import load_scenario
from evenhand.study.explanation import explain
from evenhand.study.ground import Depth, Ground
from evenhand.study.right_answers import answer_effects
from evenhand.study.utility import together
from evenhand.testing.tiny import tiny_lm

WORDS = (" lamp", " car", " bus", " pencil", " apple", " child", " doctor", " teacher", " question", " table")
CASES = tuple(
    Case(f"{context}/{i}", f"She bought a{word} and a", context, cluster=str(i), options=(" 1", " lamp", " car")[:n],
         favourable=i % n)
    for context, n in (("quiz", 3), ("pairs", 2)) for i, word in enumerate(WORDS)
)  # fmt: skip
QUIZ = Scenario("quiz", CASES, (Context("quiz", "choice"), Context("pairs", "choice")))


def _ground(shop, **depth):
    depth = Depth(names=2, texts=2, drivers=2, bootstrap=Bootstrap(40), **depth)
    return Ground(tiny_lm("llama"), QUIZ, together([str(shop / "texts.toml")]), depth, names="It is so.")


def _by_hand(lm, cases, context):
    """Share of right answers and mean log-probability of the right option among the options."""
    hits, logps = [], []
    for case in (case for case in cases if case.context == context):
        logp = score_options(lm, [case])[0][0].tolist()
        total = math.log(sum(math.exp(each) for each in logp))
        hits.append(logp[case.favourable] == max(logp))
        logps.append(logp[case.favourable] - total)
    return sum(hits) / len(hits), sum(logps) / len(logps)


@pytest.mark.parametrize("space", ["neuron", "weight"])
def test_the_whole_edit_its_control_and_each_unit_are_measured(shop, space):
    ground = _ground(shop)
    lm, layout = ground.lm, ground.lm.layout(space)
    edit = Scale(Selection.of(layout, [3, layout.size - 5] if space == "neuron" else list(range(0, layout.size, 3))))
    (part,) = explain(ground, edit, 5)
    assert len(ground.questions) == 2 * ground.depth.questions == 16
    assert part.effects == part.control == ()
    assert [each.context for each in part.answers] == [each.context for each in part.control_answers]
    control = edit.control(0)
    assert control is not None
    measured = [(edit, part.answers), (control, part.control_answers)]
    measured += [(Scale(Selection.of(layout, [layout.starts()[unit.layer] + unit.unit])), unit.answers)
                 for unit in part.units]  # fmt: skip
    assert len(measured) == (4 if space == "neuron" else 2)
    for each, effects in measured:
        for effect in effects:
            before = _by_hand(lm, ground.questions, effect.context)
            with each.applied(lm):
                after = _by_hand(lm, ground.questions, effect.context)
            assert (effect.right_before, effect.right_after) == (before[0], after[0])
            assert (effect.before, effect.after) == pytest.approx((before[1], after[1]), abs=1e-5)
            assert effect.change != 0
    assert not any("gap" in note for note in part.notes if "to first order" not in note)
    if space == "neuron":
        assert [abs(unit.answer) for unit in part.units] == sorted((abs(u.answer) for u in part.units), reverse=True)
        assert part.random_answer > 0
        assert math.isnan(part.random_change)


def test_they_are_told_on_the_terminal_and_the_page(shop, capsys, tmp_path):
    ground = _ground(shop)
    (part,) = explain(ground, Scale(Selection.of(ground.lm.layout("neuron"), [3, 9])), 5)
    tell(Path("edit"), [part], None, None, False)
    told = capsys.readouterr().out
    assert "gap" not in told
    quiz = part.answers[0]
    assert f"  quiz, right answers: {quiz.right_before:.0%} → " in told
    assert f"log-probability {quiz.before:.3f} → {quiz.after:.3f} nats (random edit: " in told
    assert "Read on at most 8 questions of each use case. It is so." in told
    assert "layer  unit  change of right answers' log-probability  KL" in told
    assert f"{part.units[0].answer:+.2g}" in told
    assert max(map(len, told.partition("Where they are most")[0].splitlines())) <= 120
    page = render_explanation([part], None, "e", tmp_path / "page.html").read_text(encoding="utf-8")
    assert "what it does to the right answers" in page
    assert "at most 8 questions of each use case" in page
    assert "<dt>Right answers in quiz</dt>" in page
    assert "<dt>Right answers in pairs, it alone edited</dt>" in page
    assert "the largest change of the right answers&#39; log-probability" in page
    assert "effect on the gap" not in page


def test_ties_are_shared_and_a_question_without_scores_is_left_out():
    cases = [CASES[0], CASES[1], CASES[2]]
    before = [torch.tensor([-1.0, -1.0, -9.0]), torch.tensor([-3.0, -1.0, -2.0]), torch.tensor([-1.0, math.nan, -2.0])]
    after = [torch.tensor([-2.0, -1.0, -9.0]), before[1], before[1]]
    (found,) = answer_effects(cases, before, after)
    assert (found.right_before, found.right_after) == (0.75, 0.5)
    (none,) = answer_effects(cases[2:], before[2:], after[2:])
    assert math.isnan(none.right_before)
    assert math.isnan(none.change)


def test_where_groups_are_compared_gaps_are_measured(shop):
    ground = _ground(shop)
    groups = Ground(ground.lm, load_scenario(str(shop / "shop.toml")), ground.texts, ground.depth)
    assert groups.questions == ()
    (part,) = explain(groups, Scale(Selection.of(groups.lm.layout("neuron"), [3])), 1)
    assert part.answers == part.units[0].answers == ()
    assert part.effects
    assert math.isnan(part.random_answer)
