"""Make a model with two ambiguous words from its specification, and the record of what it does."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from evenhand.core.progress import Progress, silent
from evenhand.lm.load import load
from evenhand.planted.ambiguous.audit import audit
from evenhand.planted.ambiguous.corpus import Corpus
from evenhand.planted.ambiguous.spec import Spec
from evenhand.planted.make import Planted
from evenhand.planted.spec import parsed
from evenhand.planted.tokenizer import tokenizer_of
from evenhand.planted.train import fresh, train_on
from evenhand.scenarios._shared import ambiguous, association


def make(spec_path: Path, out: Path, progress: Progress = silent) -> Planted:
    """Train a model as a specification says, into `out/model` and `out/truth.json`; a killed run goes on.

    Laws and errors as those of `evenhand.planted.make.make`.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    started = time.monotonic()
    spec = parsed(Spec, spec_path)
    model, tokenizer = trained(spec, out / "work", progress)
    folder = out / "model"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    truth = _record(spec, folder)
    partial = out / "truth.partial"
    partial.write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    partial.replace(out / "truth.json")
    return Planted(folder, truth, (time.monotonic() - started) / 60)


def trained(spec: Spec, work: Path, progress: Progress = silent) -> tuple[Any, Any]:
    """Return model and tokenizer; continues from the last state in `work`."""
    corpus = Corpus(spec)
    tokenizer = tokenizer_of(corpus.sample(60), spec.vocabulary)
    path = work / f"base-{_key(spec)}.pt"
    untrained = fresh(spec.model, tokenizer, spec.seed)
    return train_on(untrained, tokenizer, spec.base, corpus.documents, path, progress), tokenizer


def _record(spec: Spec, folder: Path) -> dict[str, Any]:
    """Return what was asked for and what the saved model does."""
    found = audit(load(folder))
    measured = {condition: row["share"] for condition, row in found["stereotype"]["held out"].items()}
    return {"spec": dict(spec.stereotype), "measured": measured, **found}


def _key(spec: Spec) -> str:
    """Return the name of a training state: it changes with the specification and with every word of the world."""
    told = (spec, ambiguous.world(), association.FRAMES, association.CLAIM, association.ASKED)
    return hashlib.sha256(repr(told).encode()).hexdigest()[:12]
