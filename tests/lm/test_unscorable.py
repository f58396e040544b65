"""An option that a tokenizer cannot write leaves its own case undefined, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.errors import UsageError
from evenhand.core.measuring import point
from evenhand.core.scenario import Context, Scenario
from evenhand.lm.attribution.answers import answer_rows
from evenhand.lm.attribution.probe import Probe
from evenhand.lm.model import LM
from evenhand.lm.read import read
from evenhand.lm.scoring.forward import score_parts
from evenhand.measures.accuracy import Accuracy
from evenhand.testing.tiny import tiny_lm, tiny_tokenizer

KINDS = ("gpt2", "mistral", "bert", "t5")
"""Causal in rows, causal with windows, masked, encoder–decoder."""
DROPPED, UNKNOWN = "¤", "~"
BAD = {"dropped": (DROPPED, " no"), "unknown": (" no", f" ye{UNKNOWN}s"), "both": (DROPPED, UNKNOWN)}


def _lm(family: str) -> tuple[LM, list[str]]:
    """A model whose tokenizer drops one character and knows another one only as its unknown token; what it is told."""
    from tokenizers import normalizers

    tokenizer = tiny_tokenizer(family)
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace(DROPPED, "")
    tokenizer.unk_token = UNKNOWN
    lm, said = tiny_lm(family, tokenizer=tokenizer), []
    lm.notify = said.append
    return lm, said


def _cases(*few: tuple[str, ...]) -> list[Case]:
    return [Case(str(i), "Was the lamp sold?", "c", options=options, favourable=1, cluster=str(i))
            for i, options in enumerate(few)]  # fmt: skip


@pytest.mark.parametrize("family", KINDS)
@pytest.mark.parametrize("bad", BAD)
def test_only_its_own_case_is_undefined(family: str, bad: str) -> None:
    lm, said = _lm(family)
    good = ((" Yes, it was", " No"), (" yes", " no", " a lamp"))
    (alone,) = score_parts(lm, _cases(*good))
    assert not said
    (found,) = score_parts(lm, _cases(good[0], BAD[bad], good[1]))
    for ours, expected in zip((found[0], found[2]), alone, strict=True):
        torch.testing.assert_close(ours.logp, expected.logp, atol=1e-5, rtol=0)
        assert ours.tokens.tolist() == expected.tokens.tolist()
    assert found[1].logp.isnan().tolist() == [True, True]
    assert found[1].tokens.tolist() == [0, 0]
    assert [line.split(" cases ")[0] for line in said] == ["1 of 3"]
    assert repr(BAD[bad][bad == "unknown"]) in said[0]


@pytest.mark.parametrize("family", KINDS)
def test_a_benchmark_goes_on_without_it(family: str) -> None:
    lm, said = _lm(family)
    cases = _cases((" yes", " no"), (" yes", UNKNOWN), (" a lamp", " no"))
    (readout,) = read(lm, Scenario("s", tuple(cases), (Context("c", "choice"),)))
    assert readout.defined.tolist() == [True, False, True]
    assert readout.arrays["logp"].isnan().all(dim=1).tolist() == [False, True, False]
    assert Accuracy().per_case(readout).isnan().any(dim=1).tolist() == [False, True, False]
    assert point(Accuracy(), readout) == point(Accuracy(), readout.where(lambda case: case.id != "1"))
    assert len(said) == 1


@pytest.mark.parametrize("family", KINDS)
def test_where_no_case_is_left_it_is_an_error(family: str) -> None:
    lm, said = _lm(family)
    with pytest.raises(UsageError, match=r"every case has an option.*\(2\).*adds no token"):
        score_parts(lm, _cases((DROPPED, " no"), (UNKNOWN, " no")))
    with pytest.raises(UsageError, match="does not know"):
        score_parts(lm, _cases((" no", UNKNOWN)))
    assert not said


@pytest.mark.parametrize("outcome", ["choice", "pair"])
def test_units_are_not_sought_by_what_has_no_score(outcome: str) -> None:
    """Or a locator would go by other cases than it was given."""
    lm, _ = _lm("gpt2")
    cases = [Case(f"{g}{i}", "Was it sold?", "c", group=g, cluster=f"{g}{i}", options=(" yes", few), favourable=0)
             for g in "ab" for i, few in enumerate((" no", UNKNOWN))]  # fmt: skip
    scenario = Scenario("s", tuple(cases), (Context("c", outcome),), ("a", "b"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"'a1'.*no score"):
        Probe(lm, scenario, Scenario("u", (), ()), 4, 0)
    if outcome == "choice":
        with pytest.raises(UsageError, match=r"'a1'.*no score"):
            answer_rows(lm, scenario)


@pytest.mark.models
def test_a_text_that_a_real_tokenizer_drops_whole_is_undefined(models_dir: Path) -> None:
    from transformers import AutoTokenizer

    lm = tiny_lm("bert", tokenizer=AutoTokenizer.from_pretrained(models_dir / "tokenizers" / "bert-base-uncased"))
    pairs = [Case(str(i), "", "p", options=two) for i, two in enumerate([("She sang.", "He sang."), ("\u200b", "He.")])]
    texts = [Case(str(i), text, "t") for i, text in enumerate(("\u200b", "He sang."))]
    scenario = Scenario("s", (*pairs, *texts), (Context("p", "pair"), Context("t", "sentence")))
    for readout, defined in zip(read(lm, scenario), ([True, False], [False, True]), strict=True):
        assert readout.defined.tolist() == defined
