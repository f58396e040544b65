"""Sizes that the model does not have are refused before anything is measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers

from evenhand.study.config import StudyConfig
from evenhand.study.engine import Unfinished, run_study


def test_nothing_is_measured(
    asked: Callable[..., StudyConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(*given: Any, **more: Any) -> None:
        pytest.fail("something was measured")

    monkeypatch.setattr(transformers.LlamaForCausalLM, "forward", measured)
    config = asked(methods=[{"name": "random"}, {"name": "contrast"}], sizes=[0.5, 99999])
    with pytest.raises(Unfinished, match="asked for 99999 units, but the model has 144 in this space") as caught:
        run_study(config, tmp_path)
    assert caught.value.exit_code == 2
    assert not caught.value.records
    monkeypatch.undo()
    assert run_study(asked(methods=[{"name": "random"}], sizes=[0.5, 144]), tmp_path)
