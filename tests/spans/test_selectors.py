"""Selectors of spans: what each finds, and the laws over every file in the folder."""

from __future__ import annotations

import dataclasses
import json
import math
import resource
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from evenhand import find
from evenhand.core.case import Case
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.spans import joined, overlaps, standing, words
from evenhand.lm.model import LM
from evenhand.lm.tokens import encode
from evenhand.spans._chosen import selector
from evenhand.spans.gradient import Gradient
from evenhand.spans.judge import Judge
from evenhand.spans.pmi import Pmi
from evenhand.spans.random import Random
from evenhand.testing.conformance import check_settings, untouched
from evenhand.testing.tiny import tiny_lm
from evenhand.train.objectives import passages

TEXTS = tuple(
    Case(str(i), text, "texts", name=name, spans=spans)
    for i, (text, name, spans) in enumerate(
        [
            ("The lamps are dull and dull.", "lamps", ((14, 18), (23, 27))),
            ("All lamps can go to the dump.", "lamps", ((17, 28),)),
            ("Dull lamps, I say.", "lamps", ()),
        ]
    )
)
NEUTRAL = ("The lamps are on and on.", "All lamps can go to the house.", "I say lamps.")


@pytest.fixture(scope="module")
def lm() -> LM:
    return tiny_lm("gpt2")


@pytest.fixture
def endpoint() -> Iterator[str]:
    """A judge that marks "dull", and a phrase that is not there."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            text = asked["messages"][0]["content"].rpartition("Text: ")[2]
            said = "I cannot say." if "cannot" in text else '```json\n["dull", "absent"]\n```'
            self.send_response(200 if self.path == "/v1/chat/completions" else 404)
            self.end_headers()
            self.wfile.write(json.dumps({"choices": [{"message": {"content": said}}]}).encode())

        def log_message(self, *args: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answers)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def _said(spans: tuple[tuple[int, int], ...], case: Case) -> list[str]:
    return [case.prompt[slice(*span)] for span in spans]


@pytest.mark.parametrize("name", find.names("spans"))
def test_selectors_obey_the_laws(name: str, lm: LM, tmp_path: Path, endpoint: str) -> None:
    check_settings("spans", name)
    (tmp_path / "words.txt").write_text("dull\n")
    settings = {"lexicon": [f"file={tmp_path / 'words.txt'}"], "judge": [f"url={endpoint}", "model=small"]}
    chosen = selector(name, settings.get(name, []))
    with untouched(lm, name):
        found, again = chosen.select(lm, TEXTS, NEUTRAL), chosen.select(lm, TEXTS, NEUTRAL)
    assert found == again
    assert len(found) == len(TEXTS)
    assert any(found)
    for spans, case in zip(found, TEXTS, strict=True):
        assert spans == joined(spans)
        assert all(0 <= start < end <= len(case.prompt) for start, end in spans)


def test_words_and_phrases_are_found_whole_in_whatever_case() -> None:
    assert [("I can't co-opt it"[slice(*span)]) for span in words("I can't co-opt it")] == [
        "I",
        "can't",
        "co-opt",
        "it",
    ]
    assert standing("A lamp, lamps, a  LAMP", "a lamp") == [(0, 6), (15, 22)]
    assert joined([(5, 7), (0, 2), (2, 3), (6, 9), (4, 4)]) == ((0, 3), (5, 9))


def test_given_takes_the_words_about_a_group_the_groups_name_or_both(lm: LM) -> None:
    case = TEXTS[0]
    (bias,), (identity,), (both,) = (
        selector("given", [f"of={of}"]).select(lm, [case], ()) for of in ("bias", "identity", "both")
    )
    assert _said(bias, case) == ["dull", "dull"]
    assert _said(identity, case) == ["lamps"]
    assert both == joined((*bias, *identity))


def test_the_score_of_a_word_is_its_smoothed_pointwise_mutual_information() -> None:
    scores = Pmi(smoothing=0.5, count=2).scores(["dull a dull", "dull a"], ["a b c"])
    different = 4
    expected = math.log(3.5 / (5 + 0.5 * different)) - math.log(0.5 / (3 + 0.5 * different))
    assert scores["dull"] == pytest.approx(expected)
    assert set(scores) == {"dull", "a"}


def test_names_are_left_out_unless_asked_for(lm: LM) -> None:
    alone = Pmi(least=0.0, count=1).select(lm, TEXTS, ("something else",))
    assert not any("lamps" in _said(spans, case) for spans, case in zip(alone, TEXTS, strict=True))
    (spans,) = Gradient(share=1.0, names=True).select(lm, TEXTS[:1], ())
    assert "lamps" in _said(spans, TEXTS[0])


@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_random_draws_as_many_other_tokens(family: str) -> None:
    lm = tiny_lm(family)
    given = selector("given").select(lm, TEXTS, ())
    drawn = Random(seed=1).select(lm, TEXTS, ())
    for case, like, found in zip(TEXTS, given, drawn, strict=True):
        encoded = encode(lm, case.prompt, whole=True)
        taken = {i for span in like for i in encoded.covering(*span)}
        mine = {i for span in found for i in encoded.covering(*span)}
        assert len(mine) == len(taken)
        assert not mine & taken
    assert Random(seed=2).select(lm, TEXTS, ()) != drawn


def test_random_takes_the_selectors_own_tokens_where_there_are_too_few_others(lm: LM) -> None:
    case = Case("all", "Dull.", "texts", spans=((0, 5),))
    assert Random().select(lm, [case], ()) == [((0, 5),)]


@pytest.mark.parametrize("family", ["gpt2", "bert", "phi3"])
def test_random_draws_as_many_tokens_of_a_long_text_as_are_trained_on(family: str) -> None:
    lm = tiny_lm(family)
    text = "The lamps are dull and dull. " * 60
    ends = (4, 9, 18, 28, 400, 1000)
    case = Case("long", text, "texts", spans=tuple((end - 4, end) for end in (*ends, len(text) - 1)))
    (drawn,) = Random().select(lm, [case], ())
    (more,) = Random().drawn(lm, [case], [10_000])
    whole, given, random, every = (
        sum(len(line.at) for line in passage) for passage in passages(lm, [text] * 4, [None, case.spans, drawn, more])
    )
    assert given >= len(ends)
    assert random == given
    assert every == whole
    assert not any(overlaps(span, case.spans) for span in drawn)


def test_the_contrast_is_for_masked_models_too_and_leaves_out_the_groups_name(lm: LM) -> None:
    found = Gradient("contrast", share=0.3).select(lm, TEXTS[:2], NEUTRAL)
    for spans, case in zip(found, TEXTS[:2], strict=True):
        assert spans
        assert not any(overlaps(span, standing(case.prompt, case.name)) for span in spans)
    masked = tiny_lm("bert")
    assert any(Gradient("contrast").select(masked, TEXTS, NEUTRAL))
    with pytest.raises(CannotRun, match="contrast"):
        Gradient("loss").select(masked, TEXTS, NEUTRAL)


def test_a_judges_answers_are_kept_and_not_asked_for_again(lm: LM, tmp_path: Path, endpoint: str) -> None:
    told: list[str] = []
    kept = tmp_path / "kept.json"
    listening = dataclasses.replace(lm, notify=told.append)
    found = Judge(endpoint, "small", kept=str(kept)).select(listening, TEXTS, ())
    assert [_said(*each) for each in zip(found, TEXTS, strict=True)] == [["dull", "dull"], [], ["Dull"]]
    assert told == ["judge: 4 phrases it marked are not in their text, and are left out"]
    nowhere = "http://127.0.0.1:9/v1"
    assert Judge(nowhere, "small", kept=str(kept)).select(lm, TEXTS, ()) == found
    with pytest.raises(CannotRun, match="gave no answer"):
        Judge(nowhere, "large", kept=str(kept)).select(lm, TEXTS, ())
    with pytest.raises(CannotRun, match="a JSON list of phrases was expected"):
        Judge(endpoint, "small").select(lm, [Case("no", "You cannot.", "texts")], ())


def test_a_full_disk_is_told_and_the_answers_before_it_stay(lm: LM, tmp_path: Path, endpoint: str) -> None:
    kept = tmp_path / "new" / "kept.json"
    judge = Judge(endpoint, "small", kept=str(kept))
    judge.select(lm, TEXTS[:1], ())
    before = kept.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before), hard))
    try:
        with pytest.raises(CannotRun, match=r"kept\.json: the judge's answers cannot be kept \(File too large\); free"):
            judge.select(lm, TEXTS, ())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.read_bytes() for path in kept.parent.iterdir()] == [before]


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("judge", [], "needs an endpoint"),
        ("lexicon", [], "needs a list of words"),
        ("lexicon", ["file=nowhere.txt"], "expected a list of words"),
        ("pmi", [], "neutral"),
        ("gradient", ["of=contrast"], "neutral"),
        ("given", ["of"], "key=value"),
        ("given", ["off=bias"], "no setting 'off'"),
    ],
)
def test_what_is_missing_is_told(name: str, settings: list[str], says: str, lm: LM) -> None:
    with pytest.raises(UsageError, match=says):
        selector(name, settings).select(lm, TEXTS, ())
