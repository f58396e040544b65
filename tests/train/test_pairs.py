"""The bundled pairs: balanced, without doubles, what is held out is held out, and nobody else's sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from pathlib import Path

import pytest
import torch

from evenhand.core.errors import CannotRun, UsageError
from evenhand.methods.steering import RACE_OR_COLOUR
from evenhand.scenarios import colour_words
from evenhand.scenarios._shared.association import ANSWER
from evenhand.testing.tiny import tiny_lm
from evenhand.train.pairs import AWARENESS, Completing, Pack, Pair, read

TRAIN, HELD_OUT = read(AWARENESS), read(AWARENESS, "held_out")
EVERY = (*TRAIN.pairs, *HELD_OUT.pairs)


COLOURS = ("black", "white", "brown")
FREE = {"about", "although", "before", "between", "could", "first", "have", "many", "more", "often", "over", "same",
        "than", "that", "them", "they", "three", "well", "were", "with"}  # fmt: skip
"""Words that say nothing about what a sentence is about, in sentences kept for judging and in ours."""
LITTLE = {"a", "an", "and", "are", "as", "be", "been", "by", "for", "from", "had", "has", "he", "her", "him", "his",
          "if", "in", "is", "it", "me", "my", "not", "of", "on", "one", "or", "she", "the", "their", "to", "was",
          "who", "you"} | FREE  # fmt: skip


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z]+", text.lower()))


def _named(text: str) -> list[str]:
    """The ambiguous words of a text, in its order."""
    return [word for word in _plain(text).split() if word in COLOURS]


def _runs(text: str, length: int, skip: AbstractSet[str] = frozenset()) -> set[str]:
    """Runs of so many words, whichever of the ambiguous ones stand in them."""
    words = ["*" if word in COLOURS else word for word in _plain(text).split() if word not in skip]
    return {" ".join(words[i : i + length]) for i in range(len(words) - length + 1)}


def _about(texts: Iterable[str]) -> set[str]:
    """What texts are about: their longer words, singular and plural alike."""
    words = {re.sub(r"(?<!s)s$", "", word) for text in texts for word in _plain(text).split() if len(word) > 3}
    return words - FREE - {*COLOURS}


def _counts(pack: Pack, word: str = "") -> list[int]:
    return [sum(pair.kind == kind and word in pair.text for pair in pack.pairs) for kind in ("race", "colour")]


def test_both_halves_are_alike() -> None:
    assert _counts(TRAIN) == [60, 60]
    assert _counts(HELD_OUT) == [12, 12]
    for pack in (TRAIN, HELD_OUT):
        for mark in ("?", "black", "white", "brown", ":"):
            race, colour = _counts(pack, mark)
            assert abs(race - colour) <= 2, f"{mark!r}: {race} in sentences about race, {colour} about colours"
    lengths = {kind: [len(p.text) for p in EVERY if p.kind == kind] for kind in ("race", "colour")}
    means = [sum(each) / len(each) for each in lengths.values()]
    assert max(means) < 1.1 * min(means)


def test_every_sentence_about_race_has_one_about_colours_of_the_same_build() -> None:
    for pack in (TRAIN, HELD_OUT):
        for race, colour in zip(pack.of(["race"]).pairs, pack.of(["colour"]).pairs, strict=True):
            both = f"{race.text!r} and {colour.text!r}"
            assert _named(race.text) == _named(colour.text), f"{both} name colours differently"
            assert _named(race.says) == _named(colour.says), f"{race.says!r} and {colour.says!r}"
            assert race.text[-1] == colour.text[-1], f"{both} end differently"
            shared = {*_plain(race.text).split()} & {*_plain(colour.text).split()} - {*COLOURS}
            assert len(shared) >= 2, f"{both} share {shared}"


def test_neither_word_comes_first_more_often() -> None:
    for pack in (TRAIN, HELD_OUT):
        for kind in ("race", "colour"):
            pairs = pack.of([kind]).pairs
            for texts in ([pair.text for pair in pairs], [pair.says for pair in pairs]):
                orders = [named for text in texts if len({*(named := _named(text))}) > 1]
                firsts = [named[0] for named in orders]
                assert abs(firsts.count("black") - firsts.count("white")) <= 1, f"{kind}: {firsts}"
                with_brown = [named for named in orders if "brown" in named]
                assert 2 * sum(named[0] == "brown" for named in with_brown) == len(with_brown)
            kept = [_named(p.says) == _named(p.text) for p in pairs if len({*_named(p.says)}) > 1]
            assert 2 * sum(kept) == len(kept) > 0, f"{kind}: the order of the sentence is kept in {sum(kept)}"


def test_completions_name_what_is_meant_in_many_ways() -> None:
    openings = [" ".join(_plain(pair.says).split()[:2]) for pair in EVERY]
    assert max(map(openings.count, openings)) <= 8, "a stock phrase"
    for pair in EVERY:
        assert not re.search(r"\b(colours?|dark|light)\b", pair.says) or pair.kind == "colour" or "skin" in pair.says
        assert not re.search(r"\b(rac\w+|Black|White)\b", pair.says) or pair.kind == "race", pair.says
        assert re.search(r"\b(black|white|brown)\b", pair.text, re.IGNORECASE), pair.text


def test_nothing_stands_twice_and_what_is_held_out_is_never_trained_on() -> None:
    texts, says = [_plain(p.text) for p in EVERY], [_plain(p.says) for p in EVERY]
    assert len(set(texts)) == len(set(says)) == len(EVERY) == 144
    assert ANSWER in HELD_OUT.cues
    trained = [_plain(part) for pair in TRAIN.pairs for part in (pair.text, pair.says)]
    for cue in HELD_OUT.cues:
        for text in (*trained, *map(_plain, TRAIN.cues)):
            assert _plain(cue) not in text, f"the held-out cue {cue!r} is trained in {text!r}"
    assert not {*map(_plain, TRAIN.cues)} & {*map(_plain, HELD_OUT.cues)}


def test_held_out_wording_is_not_trained() -> None:
    trained = [part for pair in TRAIN.pairs for part in (pair.text, pair.says)] + [*TRAIN.cues]
    for length, skip in ((4, frozenset[str]()), (3, LITTLE)):
        known = {run for text in trained for run in _runs(text, length, skip)}
        for text in [part for pair in HELD_OUT.pairs for part in (pair.text, pair.says)] + [*HELD_OUT.cues]:
            assert not _runs(text, length, skip) & known, f"{text!r} shares {_runs(text, length, skip) & known}"


def test_what_sentences_kept_for_judging_are_about_is_in_no_contrast() -> None:
    judged = _about((*colour_words.THINGS, *colour_words.PEOPLE))
    assert {"phone", "chess", "piano", "zebra", "penguin", "panda", "tile", "shirt", "voter", "patient"} <= judged
    for text in (*(pair.text for pair in EVERY), *(text for pair in RACE_OR_COLOUR for text in pair)):
        assert not _about([text]) & judged, f"{text!r} is about {_about([text]) & judged}, kept for judging"


@pytest.mark.data
def test_no_sentence_is_from_public_data(data_dir: Path) -> None:
    wanted = [pair.text.lower() for pair in EVERY]
    lines: list[str] = []
    for path in (
        p for p in data_dir.rglob("*") if p.is_file() and p.suffix in (".csv", ".tsv", ".json", ".jsonl", ".txt")
    ):
        text = path.read_text(encoding="utf-8", errors="replace").lower()
        lines += [line for line in text.splitlines() if "black" in line or "white" in line or "brown" in line]
    assert len(lines) > 10_000, "the data were not searched"
    searched = "\n".join(lines)
    assert "black people" in searched
    assert not [text for text in wanted if text in searched]


def test_a_text_is_cut_off_and_only_what_counts_is_counted() -> None:
    lm = tiny_lm("llama")
    pack = Pack((Pair("The old lamp is black.", "it is a lamp.", "colour"),), ("Cue:",))
    ids = lm.tokenizer("The old lamp is black.\nCue: it is a lamp.", return_offsets_mapping=True)
    with torch.no_grad():
        logp = torch.log_softmax(lm.model(input_ids=torch.tensor([ids["input_ids"]])).logits[0], -1)
    by_token = -torch.stack([logp[i - 1, token] for i, token in enumerate(ids["input_ids"]) if i])
    after = [
        i - 1 for i, (_, end) in enumerate(ids["offset_mapping"]) if i and end > len("The old lamp is black.\nCue:")
    ]

    def loss(over: str, longest: int = 256) -> float:
        terms = Completing(pack, over, 1, longest=longest).terms(lm, 0, torch.Generator())
        return float(terms[over][1].detach())

    assert loss("text") == pytest.approx(float(by_token.mean()), abs=1e-5)
    assert loss("answer") == pytest.approx(float(by_token[after].mean()), abs=1e-5)
    assert loss("text", 6) == pytest.approx(float(by_token[:5].mean()), abs=1e-5)
    with pytest.raises(CannotRun, match="no completion begins within the first 6 tokens"):
        loss("answer", 6)


def test_a_file_that_is_no_pack_is_told(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    with pytest.raises(UsageError, match="cannot be read"):
        read(file)
    for text, told in {
        "cues = [": "no TOML file",
        "[train]\nrace = [['a', 'b']]": "cues: Field required",
        "[cues]\ntrain = ['x']\n[train]\nrace = [['a']]": "train.race.0",
        "[cues]\ntrain = ['x']\n[train]\nrace = []": "no pairs and cues under 'train'",
    }.items():
        file.write_text(text)
        with pytest.raises(UsageError, match=told):
            read(file)
