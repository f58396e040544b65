"""The page of `evenhand read` in headless Chromium: figures are drawn, menus change them, nothing is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.test_report_browser import FRAME, WATCH, chromium, opened
from evenhand.report import render_reading
from report import made_reading

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


def test_figures_are_drawn_and_menus_change_them_on_a_dark_phone(chromium: str, tmp_path: Path) -> None:
    page = render_reading(made_reading.reading(), tmp_path / "page.html")
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
