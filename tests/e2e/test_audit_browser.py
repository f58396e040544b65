"""The page of an audit in headless Chromium: dots on their lines, nothing wider than a phone, light and dark."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from e2e.test_report_browser import FRAME, chromium, opened
from evenhand.report import render
from report import made_audit

pytestmark = pytest.mark.browser
__all__ = ["chromium"]

LOOK = """<script>
addEventListener("load", () => {
  const found = {};
  const inside = (dot) => {
    const rail = dot.closest(".rail").getBoundingClientRect(), at = dot.getBoundingClientRect();
    return { share: (at.left + at.width / 2 - rail.left) / rail.width, height: at.height };
  };
  found.dots = [...document.querySelectorAll(".lane .dot")].map(inside);
  found.bars = [...document.querySelectorAll(".lane .bar")].map((bar) => bar.getBoundingClientRect().width);
  found.width = [innerWidth, document.documentElement.scrollWidth];
  found.requests = performance.getEntriesByType("resource").map((entry) => entry.name);
  found.headings = document.querySelectorAll("h1, h2").length;
  const colours = (element) => { const s = getComputedStyle(element); return [s.color, s.backgroundColor]; };
  found.colours = [colours(document.body), ...[...document.querySelectorAll(".chip")].map(colours)];
  const note = JSON.stringify(found);
  document.body.dataset.found = note;
  parent.postMessage(note, "*");
});
</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a made audit with the looking script, which its own policy would not let in."""
    path = render(made_audit.build(tmp_path_factory.mktemp("audit") / "run", made_audit.usual()))
    text = path.read_text(encoding="utf-8")
    text = text.replace("default-src 'none';", "default-src 'none'; script-src 'unsafe-inline';", 1)
    path.write_text(text.replace("</body>", LOOK + "</body>"), encoding="utf-8")
    return path


def check(found: dict[str, Any]) -> None:
    """What must hold at every width: seven numbers, of which one is undefined and one has random weights beside it."""
    shares = [dot["share"] for dot in found["dots"]]
    assert shares == pytest.approx([0.64, 0.52, 0.8, 0.6, 0.61, 0.65], abs=0.02)
    assert all(dot["height"] == pytest.approx(11) for dot in found["dots"])
    assert len(found["bars"]) == 6
    assert min(found["bars"]) > 5
    assert found["requests"] == []
    assert found["headings"] == 7
    assert found["width"][1] <= found["width"][0]


def luminance(colour: str) -> float:
    red, green, blue = (int(part) / 255 for part in re.findall(r"\d+", colour)[:3])
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True])
def test_on_a_desktop_in_light_and_dark(chromium: str, page: Path, tmp_path: Path, dark: bool) -> None:
    more = ("--blink-settings=preferredColorScheme=0",) if dark else ("--blink-settings=preferredColorScheme=1",)
    found = opened(chromium, page, tmp_path / "profile", *more)
    check(found)
    assert (luminance(found["colours"][0][1]) < 0.1) is dark
    for colour, ground in found["colours"]:
        low, high = sorted((luminance(colour), luminance(ground)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (colour, ground)


def test_on_a_phone_nothing_is_wider_than_the_screen(chromium: str, page: Path, tmp_path: Path) -> None:
    frame = tmp_path / "phone.html"
    frame.write_text(FRAME.format(page.as_uri(), 360), encoding="utf-8")
    found = opened(chromium, frame, tmp_path / "profile")
    check(found)
    assert found["width"][0] == 360
