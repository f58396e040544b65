"""Every pinned download is the file the benchmarks were made with: same sha256, at a fixed commit."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from evenhand import find
from evenhand.scenarios import _data
from evenhand.scenarios._load import load_scenario

GLUE = {"rte", "mrpc", "qnli", "rte_instructions", "mrpc_instructions", "qnli_instructions"}
"""Nobody may pass them on."""
PACKS = [
    name for name in find.names("scenarios")
    if find.path_of("scenarios", name).suffix == ".py" and name not in GLUE and not name.startswith("bbq_")
]  # fmt: skip


@pytest.mark.data
@pytest.mark.parametrize("name", PACKS)
def test_what_a_pack_would_download_is_what_it_reads(
    name: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, tuple[str, str]] = {}
    find_path = _data._path

    def remembered(data: Path | None, source: _data.Source, file: str) -> Path:
        path = find_path(data, source, file)
        if file in source.pinned:
            url, sha256 = source.pinned[file]
            seen[url] = sha256, hashlib.sha256(path.read_bytes()).hexdigest()
        return path

    monkeypatch.setattr(_data, "_path", remembered)
    load_scenario(name, data_dir)
    for url, (pinned, found) in seen.items():
        assert pinned == found, url
        assert re.match(r"https://\S+/[0-9a-f]{40}/\S+$", url), "a branch moves; name a commit"
