"""The report in headless Chromium: figures are drawn, tabs and menus work, nothing is asked of the network."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from evenhand.report import render
from report import made_run

pytestmark = pytest.mark.browser

# Runs inside the page: it watches for refused requests, uses the controls as a reader would, and leaves what it found.
WATCH = """<script>
window.refused = []; window.failed = [];
document.addEventListener("securitypolicyviolation", (event) => refused.push(event.blockedURI));
addEventListener("error", (event) => failed.push(String(event.message)));
</script>"""
ACT = """<script>
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const shown = () => [...document.querySelectorAll(".figure")].filter((box) => box.offsetParent !== null);
const drawn = () => shown().filter((box) => box.querySelector("svg.main-svg")).length;
const traces = (box) => box.querySelectorAll("svg.main-svg .trace, svg.main-svg .hm, svg.main-svg .scatter").length;
addEventListener("load", async () => {
  const found = { panels: {} };
  await wait(1000);
  found.hiddenDrawn = document.querySelectorAll("[hidden] svg.main-svg").length;
  found.shown = shown().length; found.drawn = drawn();
  found.traces = shown().map((box) => [box.dataset.figure, traces(box)]);
  const cell = document.querySelector(".cell:not([hidden])");
  for (const tab of cell.querySelectorAll('[role="tab"]')) {
    tab.click(); await wait(500);
    const panel = document.getElementById(tab.getAttribute("aria-controls"));
    found.panels[tab.textContent] = {
      selected: tab.getAttribute("aria-selected"),
      visible: [...cell.querySelectorAll(".panel")].filter((each) => !each.hidden).map((each) => each.id),
      expected: panel.id, figures: panel.querySelectorAll("svg.main-svg").length,
    };
  }
  const view = document.getElementById("tab-remaining");
  view.click(); await wait(200);
  found.views = [...document.querySelectorAll(".transfer:not([hidden]) .pair")].filter((pair) => !pair.hidden)
    .map((pair) => pair.dataset.view);
  const menu = document.getElementById("cell-method");
  menu.value = "random"; menu.dispatchEvent(new Event("change"));
  found.chosen = [...document.querySelectorAll(".cell:not([hidden])")].map((each) => each.dataset.method);
  const links = document.querySelectorAll("[data-open]");
  links[1].click();
  found.opened = [...document.querySelectorAll(".cell:not([hidden])")].map((each) => each.id);
  found.linked = links[1].dataset.open;
  const units = document.querySelectorAll(".cell:not([hidden]) details.unit");
  units[0].open = true;
  found.units = [units.length, units[0].querySelectorAll("mark").length, units[0].innerText];
  found.overlap = document.querySelectorAll("table.overlap").length;
  found.headings = [...document.querySelectorAll("h1, h2")].length;
  found.unnamed = [...document.querySelectorAll(".figure")].filter((box) => !box.getAttribute("aria-label")).length;
  found.width = [innerWidth, document.documentElement.scrollWidth];
  found.requests = performance.getEntriesByType("resource").map((entry) => entry.name);
  found.refused = refused; found.failed = failed;
  const note = JSON.stringify(found);
  document.body.dataset.found = note;
  parent.postMessage(note, "*");
});
</script>"""
FRAME = """<!doctype html><body><iframe src="{}" style="width: {}px; height: 900px; border: 0"></iframe>
<script>addEventListener("message", (event) => {{ document.body.dataset.found = event.data; }});</script></body>"""


@pytest.fixture(scope="module")
def chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    if os.environ.get("EVENHAND_NO_SKIP"):
        pytest.fail("there is no Chromium on this machine, and EVENHAND_NO_SKIP forbids skipping")
    pytest.skip("there is no Chromium on this machine")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with the watching script before, and the acting one after, everything else."""
    folder = tmp_path_factory.mktemp("browser")
    path = render(made_run.build(folder / "run", fitted=("purchase", "tenancy application with guarantor")))
    text = path.read_text(encoding="utf-8")
    text = text.replace("<title>", WATCH + "<title>", 1)
    path.write_text(text.replace("</body>", ACT + "</body>"), encoding="utf-8")
    return path


def opened(chromium: str, page: Path, profile: Path, *more: str) -> dict[str, Any]:
    """Open a page, let its scripts run, and return what they found."""
    command = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={profile}", "--window-size=1280,900",
        "--virtual-time-budget=60000", *more, "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    match = re.search(r'<body[^>]* data-found="([^"]*)"', done.stdout)
    assert match, f"the page's script did not finish:\n{done.stderr[-2000:]}"
    return json.loads(html.unescape(match[1]))


def check(found: dict[str, Any]) -> None:
    """What must hold at every width."""
    assert found["failed"] == []
    assert found["refused"] == []
    assert found["requests"] == []
    assert found["hiddenDrawn"] == 0, "figures out of sight should wait"
    assert found["shown"] >= 4
    assert found["drawn"] == found["shown"]
    assert all(traces > 0 for _, traces in found["traces"]), found["traces"]
    assert len(found["panels"]) == 4
    for name, panel in found["panels"].items():
        assert panel["selected"] == "true", name
        assert panel["visible"] == [panel["expected"]], name
        assert panel["figures"] > 0, name
    assert found["views"] == ["remaining"]
    assert found["chosen"] == ["random"]
    assert found["opened"] == [found["linked"]]
    assert found["units"][:2] == [3, 2]
    assert "closes the gap by" in found["units"][2]
    assert found["overlap"] == 2
    assert found["headings"] == 8
    assert found["unnamed"] == 0


def test_on_a_desktop(chromium: str, page: Path, tmp_path: Path) -> None:
    found = opened(chromium, page, tmp_path / "profile")
    check(found)
    assert found["width"][1] <= found["width"][0] <= 1280


def test_on_a_phone_nothing_is_wider_than_the_screen(chromium: str, page: Path, tmp_path: Path) -> None:
    frame = tmp_path / "phone.html"
    frame.write_text(FRAME.format(page.as_uri(), 360), encoding="utf-8")
    found = opened(chromium, frame, tmp_path / "profile")
    check(found)
    inner, needed = found["width"]
    assert inner == 360
    assert needed <= inner
