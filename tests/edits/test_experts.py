"""Expert and anti-expert logits: the same as three models run alone; other models and vocabularies are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun, UsageError
from evenhand.edits import _file
from evenhand.edits import experts as edited
from evenhand.lm.batches.logits import context_length
from evenhand.lm.generation.generate import generate
from evenhand.lm.generation.sampling import Sampling
from evenhand.lm.load import load
from evenhand.lm.model import LM
from evenhand.lm.scoring.forward import score_options
from evenhand.methods import expert_decoding
from evenhand.methods.expert_decoding import ExpertDecoding
from evenhand.testing.conformance import check_edit, untouched
from evenhand.testing.tiny import tiny_lm

CASES = tuple(
    Case(str(i), p, "x", options=(" yes, she said", " no")) for i, p in enumerate(("The doctor said", "Jamal asked"))
)


@pytest.fixture(scope="module")
def experts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("experts")
    for name, seed in (("fair", 1), ("biased", 2)):
        lm = tiny_lm("llama", seed=seed)
        lm.model.save_pretrained(folder / name)
        lm.tokenizer.save_pretrained(folder / name)
    config = json.loads((folder / "biased" / "config.json").read_text()) | {"max_position_embeddings": 400}
    (folder / "biased" / "config.json").write_text(json.dumps(config))
    return {name: str(folder / name) for name in ("fair", "biased")}


def test_every_token_is_moved_by_what_the_experts_say_alone(experts: dict[str, str]) -> None:
    lm = tiny_lm("gpt2")
    models = [lm.model, *(tiny_lm("llama", seed=seed).model for seed in (1, 2))]

    def after(ids: list[int]) -> torch.Tensor:
        z, fair, biased = (model(torch.tensor([ids])).logits[0, -1].detach().double() for model in models)
        return (z + 0.7 * (fair - biased)).log_softmax(-1)

    (edit,) = ExpertDecoding(**experts).path(lm, None, None, [70])
    with untouched(lm, "experts"), edit.applied(lm):
        scores = score_options(lm, CASES)[0]
        answers = generate(lm, CASES, Sampling(1, 0.0, max_new_tokens=3))
        assert context_length(lm) == 400
    for case, found, (answer,) in zip(CASES, scores, answers, strict=True):
        said = lm.tokenizer(case.prompt, add_special_tokens=False).input_ids
        for option, logp in zip(case.options, found.tolist(), strict=True):
            ids = lm.tokenizer(case.prompt + option, add_special_tokens=False).input_ids
            expected = sum(float(after(ids[:i])[ids[i]]) for i in range(len(said), len(ids)))
            assert logp == pytest.approx(expected, abs=1e-4)
        for token in answer.tokens:
            assert token == int(after(said).argmax())
            said = [*said, token]


def test_the_laws_of_edits_hold(experts: dict[str, str]) -> None:
    lm = tiny_lm("gpt2")
    nothing, edit = ExpertDecoding(**experts).path(lm, None, None, [0, 100])
    check_edit(edit, lm, CASES)
    before = torch.cat(score_options(lm, CASES)[0])
    with nothing.applied(lm):
        assert torch.equal(torch.cat(score_options(lm, CASES)[0]), before)
    assert edit.run_time_only
    with pytest.raises(CannotRun, match="cannot be baked"):
        edit.bake(lm)


def test_the_experts_are_loaded_once_for_all_fits_and_edits(
    experts: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[str] = []

    def counting(source: str, *more: object, **named: object) -> LM:
        loads.append(source)
        return load(source, *more, **named)

    for module in (expert_decoding, edited):
        if hasattr(module, "load"):
            monkeypatch.setattr(module, "load", counting)
    monkeypatch.setenv("EXPERTS", str(Path(experts["fair"]).parent))
    lm, method = tiny_lm("gpt2"), ExpertDecoding("${EXPERTS}/fair", "${EXPERTS}/biased")
    for edit in (method.fit(lm, None, None), *method.path(lm, None, None, [50, 100])):
        with edit.applied(lm):
            pass
    assert loads == [experts["fair"], experts["biased"]]


def test_a_model_is_not_set_against_itself(experts: dict[str, str], tmp_path: Path) -> None:
    shutil.copytree(experts["fair"], tmp_path / "copy")
    for biased in (experts["fair"], str(tmp_path / "copy")):
        with pytest.raises(UsageError, match="the same model"):
            ExpertDecoding(experts["fair"], biased).fit(tiny_lm("gpt2"), None, None)


def test_other_experts_are_refused(experts: dict[str, str], tmp_path: Path) -> None:
    lm, method = tiny_lm("gpt2"), ExpertDecoding(**experts)
    edit = method.fit(lm, None, None)
    _file.save(edit, tmp_path / "edit", lm.identity.to_json(), {})
    text = (tmp_path / "edit" / "edit.json").read_text().replace(edit.fair.sha256, "0" * 64)
    (tmp_path / "edit" / "edit.json").write_text(text)
    with pytest.raises(UsageError, match="not the model this edit was made with"):
        _file.load_edit(tmp_path / "edit", lm).applied(lm).__enter__()
    lm.tokenizer.add_tokens(["<odd>"])
    with pytest.raises(CannotRun, match="vocabulary"), edit.applied(lm):
        pass
    with pytest.raises(CannotRun, match="causal"):
        method.fit(tiny_lm("t5"), None, None)
    with pytest.raises(CannotRun, match="name them"):
        ExpertDecoding().fit(lm, None, None)
    assert lm.decoding is None
