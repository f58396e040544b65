"""A reading finds the layer that is known to hold the concept; controls stay where they are; mistakes in its file."""

from __future__ import annotations

import pytest

from evenhand.core.case import Case
from evenhand.core.errors import UsageError
from evenhand.core.represented import RANDOM, Represented
from evenhand.lm.load import load
from evenhand.lm.states.interpret import question
from evenhand.lm.states.places import place_of
from evenhand.study.concepts import ConceptConfig, ProbeConfig, load_reading
from evenhand.study.represent import represent
from evenhand.study.said import kind_of
from evenhand.testing.tiny import tiny_lm
from rigged_reading import TEXTS, reading, rigged


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> Represented:
    path = tmp_path_factory.mktemp("reading") / "rigged.toml"
    path.write_text(reading())
    return represent(rigged(), load_reading(str(path)))[0]


def test_the_layer_that_writes_the_concept_is_found(found: Represented) -> None:
    shifts = {name: [found.row(name, layer, 2).shift for layer in (0, 1, 2)] for name in found.series}
    for name, sign in (("ups", 1), ("downs", -1), ("asked", 1)):
        before, after, last = shifts[name]
        assert abs(before.value) < 1e-4
        assert sign * after.value > 2
        assert after.excludes()
        assert last.value == pytest.approx(after.value, abs=1e-4)
    assert [each.apart.q < 0.05 for each in found.separations] == [False, True, True]
    assert found.best is not None
    assert found.best.layer > 0
    assert found.best.place.value == pytest.approx(1.0, abs=1e-4)


def test_controls_stay_near_zero(found: Represented) -> None:
    for layer in (0, 1, 2):
        assert abs(found.row("names", layer, 2).shift.value) < 1e-4
        assert abs(found.row(RANDOM, layer, 2).shift.value) < 0.8
    (question,) = found.questions
    assert question.log_odds == pytest.approx(0, abs=1e-4)
    assert (question.placeholder, question.counted) == (" it", ((" should",), (" would",)))
    assert {each.matched for each in found.prompts if each.word == "man"} == {" man"}


def test_every_sentence_and_both_probabilities_are_told(found: Represented) -> None:
    one = [each for each in found.by_text if each.series == "ups"]
    assert [each.text for each in one] == list(TEXTS)
    mean = sum(each.shifts[1][0] for each in one) / len(one)
    assert mean == pytest.approx(found.row("ups", 1, 2).shift.value)
    (question,) = found.questions
    for name, sign in (("ups", 1), ("downs", -1)):
        row = found.row(name, 1, 2)
        assert row.rises is not None
        up, down = (each.value for each in row.rises)
        assert sign * up > 0.001
        assert sign * down < -0.001
        assert up + down == pytest.approx(row.mass - question.mass, abs=1e-6)


def test_free_text_and_probe_find_it_too(found: Represented) -> None:
    counts = {(row.series, row.layer): row.counts for row in found.free}
    assert counts["ups", 1] == {"up": 16}
    assert counts["downs", 2] == {"down": 16}
    assert counts["asked", 0] == {"empty": 16}
    assert [row.accuracy.value for row in found.probe] == [1, 1, 1]
    assert all(row.selectivity.value > 0.2 for row in found.probe)
    assert all(row.shares["asked"].value > 0.6 for row in found.probe)


def test_the_record_survives_json(found: Represented) -> None:
    text = found.model_dump_json()
    assert Represented.model_validate_json(text).model_dump_json() == text


def test_numbers_are_means_over_all_questions_and_q_is_corrected_for_all_pairs(found: Represented, tmp_path) -> None:
    path = tmp_path / "rigged.toml"
    path.write_text(reading())
    whole = load_reading(str(path))
    asked = (*whole.questions, whole.questions[0].model_copy(update={"prompt": "no man would offer it to the bus"}))
    few = {"free": None, "probe": ProbeConfig(folds=0), "layers": (1,)}
    shifts = [
        represent(rigged(), whole.model_copy(update={**few, "questions": each}))[0].row("ups", 1, 2).shift.value
        for each in (asked, asked[:1], asked[1:])
    ]
    assert shifts[0] == pytest.approx((shifts[1] + shifts[2]) / 2, abs=1e-5)
    assert abs(shifts[1] - shifts[2]) > 0.1
    nothing, one, other = (each.apart for each in found.separations)
    assert one.p == other.p < nothing.p
    assert (one.q, other.q, nothing.q) == pytest.approx((1.5 * one.p, 1.5 * one.p, nothing.p))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "rigged"', 'name = "rigged"\ntarget = 2', "unknown key 'target' in the file; did you mean 'targets'"),
        ("folds = 2", "fold = 2", "line 19: unknown key 'fold' in probe; did you mean 'folds'"),
        ('forms = [" would"]', 'forms = [" should"]', "' should' is a form of both concepts"),
        ('name = "down"\n', 'name = "up"\n', "both concepts are called 'up'"),
        ('name = "up"', 'name = "other"', "'other' is what free texts are called that speak of neither concept"),
        ('name = "down"\n', 'name = "empty"\n', "'empty' is what free texts are called"),
        ("name = 'names'", "name = 'random vectors'", "'random vectors' is the name of a control that is made"),
        ("targets = [2]", "targets = [2, 0, 2]", "line 3: targets: layer 2 stands there 2 times"),
        ("targets = [2]", "layers = [0, 0]", "layers: layer 0 stands there 2 times"),
        ("known = 'down'", "known = 'dwn'", "there is no concept 'dwn'; did you mean 'down'"),
        ("known = 'down'\n", "", "none is known to stand for 'down'"),
        ("name = 'asked'\n", "name = 'asked'\nknown = 'up'\n", "the first series is what is asked about"),
        (
            "words = ['gave']",
            "words = ['Should']",
            "'Should' is a form or word of a concept, so the answer could merely",
        ),
        ("words = ['gave']", "words = ['gave'], occurrence = 1", "stands 1 times in 'the gave'"),
        ("'no {word}', words = ['gave']", "'no one', words = ['gave']", "'gave' stands no times in 'no one'"),
    ],
)
def test_mistakes_in_the_file_are_named(tmp_path, old: str, new: str, said: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(reading().replace(old, new, 1))
    with pytest.raises(UsageError) as caught:
        load_reading(str(path))
    assert said in str(caught.value)


def test_the_shipped_reading_holds_together() -> None:
    shipped = load_reading("race_or_colour")
    assert [concept.name for concept in shipped.concepts] == ["race", "colour"]
    for series in shipped.series[1:3]:
        assert len({word for prompt in series.prompts for word in prompt.words}) >= 5


def test_the_paper_reading_keeps_to_the_paper() -> None:
    paper = load_reading("race_or_colour_paper")
    assert (paper.layers, paper.targets, paper.probe.folds, paper.free) == ("all", (2,), 0, None)
    (question,) = paper.questions
    assert (question.placeholder, question.occurrence) == ("something", -1)
    assert [concept.forms for concept in paper.concepts] == [(" race",), (" color",)]
    for series, labels in zip(
        paper.series[:3], (("black", "white"), ("black", "white"), ("Jamal", "Emily")), strict=True
    ):
        assert len(series.prompts) == 20
        orders = [[each.text.index(word) for word in (*labels, "honest", "cruel")] for each in series.prompts[:4]]
        if series.name != "said to be colours":
            assert [(black < white, good < bad) for black, white, good, bad in orders] == [
                (True, True), (False, False), (True, True), (True, False)]  # fmt: skip


@pytest.mark.models
@pytest.mark.parametrize(
    ("name", "forms"), [("race_or_colour", [" race", " Race", " racial"]), ("race_or_colour_paper", [" race"])]
)
def test_shipped_readings_can_be_put_to_a_real_tokenizer(models_dir, name: str, forms: list[str]) -> None:
    from transformers import AutoTokenizer

    lm = tiny_lm("gpt2", tokenizer=AutoTokenizer.from_pretrained(models_dir / "tokenizers" / "gpt2"))
    shipped = load_reading(name)
    race, colour = (concept.forms for concept in shipped.concepts)
    for each in (*shipped.questions, *([shipped.free] if shipped.free else [])):
        case = Case("question", each.prompt, "reading", answer_prefix=each.answer)
        asked = question(lm, case, each.placeholder, each.occurrence, (race, colour))
        assert [form.text for form in asked.forms[0] if not form.left_out][:3] == forms
    for series in shipped.series:
        for text, word in (written for prompt in series.prompts for written in prompt.written()):
            assert place_of(lm, Case("prompt", text, "reading"), word).matched == f" {word}"


@pytest.mark.models
def test_a_real_model_is_read(models_dir) -> None:
    asked = load_reading("animal_or_food")
    few = asked.model_copy(update={"layers": (0, 3), "targets": (0,), "free": None, "probe": ProbeConfig(folds=0)})
    found, _ = represent(load(models_dir / "stories260K"), few)
    assert found.best is not None
    assert found.best.layer == 3
    assert found.best.apart.low > 0.5
    assert found.row("known animal", 3, 0).shift.low > found.row(RANDOM, 3, 0).shift.high


def test_kinds_of_text() -> None:
    concepts = [ConceptConfig(name="race", forms=(" race",), words=("race", "ethnic")),
                ConceptConfig(name="colour", forms=(" colour",))]  # fmt: skip
    for text, kind in (
        ("an Ethnic group, not a colour", "race"), ("The colour of race", "colour"), ("a racer", "other"),
        (" . . ", "empty"), ("the race the race the race", "empty"), ("as  ever", "other"), (" same ", "empty"),
    ):  # fmt: skip
        assert kind_of(text, concepts, "same") == kind
