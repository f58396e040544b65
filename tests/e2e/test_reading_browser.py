"""The page of `evenhand read` in headless Chromium: figures are drawn, menus change them, nothing is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.test_report_browser import FRAME, WATCH, chromium, opened
from evenhand.core.estimate import Estimate
from evenhand.core.represented import (
    RANDOM,
    AskedQuestion,
    FreeRow,
    FreeText,
    PatchedRow,
    ProbeRow,
    ReadPrompt,
    Represented,
    Separation,
)
from evenhand.report import render_reading

__all__ = ["chromium"]
pytestmark = pytest.mark.browser

ACT = """<script>
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const shown = () => [...document.querySelectorAll(".figure")].filter((box) => box.offsetParent !== null);
const names = () => shown().map((box) => box.dataset.figure);
addEventListener("load", async () => {
  await wait(1000);
  const found = { before: names(), drawn: shown().filter((box) => box.querySelector("svg.main-svg")).length };
  for (const id of ["layers-target", "maps-series"]) {
    const menu = document.getElementById(id);
    menu.selectedIndex = 1; menu.dispatchEvent(new Event("change"));
  }
  await wait(500);
  found.after = names(); found.redrawn = shown().filter((box) => box.querySelector("svg.main-svg")).length;
  found.width = [innerWidth, document.documentElement.scrollWidth];
  found.requests = performance.getEntriesByType("resource").map((entry) => entry.name);
  found.refused = refused; found.failed = failed;
  const note = JSON.stringify(found);
  document.body.dataset.found = note;
  parent.postMessage(note, "*");
});
</script>"""


def _estimate(value: float) -> Estimate:
    return Estimate(value=value, low=value - 0.1, high=value + 0.1, n=9, n_clusters=9, p=0.001, q=0.002)


def _reading() -> Represented:
    """Twenty layers read, three written to; a form and a text that must be escaped."""
    series, layers, targets = ("asked", "known up", "known down", RANDOM), tuple(range(20)), (0, 4, 8)
    pairs = [(layer, target) for layer in layers for target in targets]
    return Represented(
        name="made", created="2026-01-01", seconds=1.0, versions={}, model={"source": "models/made"},
        reading={"version": "1"}, concepts=("up", "down"), layers=layers, targets=targets, series=series,
        prompts=(ReadPrompt(series="asked", text="</script><b>", word="b", matched=" b"),),
        questions=(AskedQuestion(text="<it>", placeholder="it", log_odds=0.0, mass=0.1, counted=(("u",), ("d",))),),
        patched=tuple(PatchedRow(series=name, layer=layer, target=target, shift=_estimate(i - 1 + layer / 20),
                                 share=0.5, mass=0.1) for i, name in enumerate(series) for layer, target in pairs),
        separations=tuple(Separation(layer=layer, target=target, apart=_estimate(layer / 10), place=_estimate(0.2))
                          for layer, target in pairs),
        free_question="x", free_target=0, plain="y", free=(FreeRow(series="asked", layer=3, counts={"up": 1}),),
        texts=(FreeText(series="asked", prompt=0, layer=3, text="<script>", kind="up"),),
        probe=tuple(ProbeRow(layer=layer, accuracy=_estimate(0.8), control=_estimate(0.5), selectivity=_estimate(0.3),
                             shares={"asked": _estimate(0.4)}) for layer in layers),
    )  # fmt: skip


def test_figures_are_drawn_and_menus_change_them_on_a_dark_phone(chromium: str, tmp_path: Path) -> None:
    page = render_reading(_reading(), tmp_path / "page.html")
    text = page.read_text(encoding="utf-8").replace("<title>", WATCH + "<title>", 1)
    assert "prompts stand at 0.20 (0.10 to 0.30) of the way from down (0) to up (1): nearer to down" in text
    page.write_text(text.replace("</body>", ACT + "</body>"), encoding="utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(page.as_uri(), 400), encoding="utf-8")
    found = opened(chromium, frame, tmp_path / "profile", "--force-dark-mode")
    assert (found["failed"], found["refused"], found["requests"]) == ([], [], [])
    assert found["before"] == ["target-0", "map-0", "map-apart", "free", "probe", "probe-shares"]
    assert found["after"] == ["target-4", "map-1", "map-apart", "free", "probe", "probe-shares"]
    assert found["drawn"] == found["redrawn"] == 6
    inner, needed = found["width"]
    assert inner == 400
    assert needed <= inner
