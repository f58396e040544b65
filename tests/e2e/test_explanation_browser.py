"""The page of `evenhand explain` in headless Chromium: no script, no request, nothing wider than a phone."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from e2e.test_report_browser import FRAME, chromium, opened
from evenhand.core.explained import Explanation, MatrixRecord, Overlap, Shared, UnitRecord
from evenhand.report import render_explanation
from report.made_run import explained

__all__ = ["chromium"]
pytestmark = pytest.mark.browser

# The page itself forbids scripts; the copy that is looked at lets this one in.
LOOK = """<script>
addEventListener("load", () => {
  for (const each of document.querySelectorAll("details")) each.open = true;
  const note = JSON.stringify({
    units: document.querySelectorAll("details.unit").length, marks: document.querySelectorAll("mark").length,
    squares: [...document.querySelectorAll("table.overlap td")].map((each) => each.innerText),
    shade: getComputedStyle(document.querySelector("table.overlap td:not(.self)")).backgroundColor,
    bars: [...document.querySelectorAll("table.bars i")].map((each) => each.offsetWidth),
    width: [innerWidth, document.documentElement.scrollWidth],
    requests: performance.getEntriesByType("resource").map((entry) => entry.name),
  });
  document.body.dataset.found = note;
  parent.postMessage(note, "*");
});
</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of an edit of two parts and what two edits share."""
    draw = random.Random(0)
    units = tuple(
        explained(UnitRecord(path=f"m.{layer}.down", layer=layer, stack="decoder", unit=7 * layer,
                             promotes=(" low",) * 8, suppresses=(" high", "</script>")), "purchase", draw)
        for layer in range(4)
    )  # fmt: skip
    weights = MatrixRecord(path="model.layers.0.self_attn.q_proj", layer=0, stack="decoder", rows=128, columns=128,
                           entries=40, rows_hit=30, columns_hit=4, crowded_columns=0.7, crowded_rows=0.05)  # fmt: skip
    parts = [
        Explanation(describes="switches off 4 of 2112 neuron units", scenario="shop", contexts=("purchase",),
                    space="neuron", size=4, share=0.002, per_layer={f"decoder.{i}": i for i in range(4)}, units=units,
                    layer_sizes={f"decoder.{i}": 352 for i in range(4)}, random_change=0.01, random_divergence=0.001),
        Explanation(describes="switches off 40 weights", space="weight", size=40, matrices=(weights,),
                    notes=("Single weights have no words.",)),
    ]  # fmt: skip
    pair = Shared(a=0, b=1, both=3, jaccard=0.6, chance=0.01, p=0.0)
    shared = Overlap(edits=("one/long/path/of/an/edit", "other"), sizes=(4, 4), spaces=("neuron",) * 2, pairs=(pair,))
    path = render_explanation(parts, shared, "loan_edit", tmp_path_factory.mktemp("page") / "page.html")
    text = path.read_text(encoding="utf-8")
    assert "<script" not in text
    open_to_one = text.replace("default-src 'none'", "default-src 'none'; script-src 'unsafe-inline'")
    path.write_text(open_to_one.replace("</body>", LOOK + "</body>"), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [1280, 400])
def test_everything_is_there_and_fits(chromium: str, page: Path, tmp_path: Path, width: int) -> None:
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(page.as_uri(), width), encoding="utf-8")
    found = opened(chromium, frame, tmp_path / "profile", "--force-dark-mode" if width == 400 else "--lang=en")
    assert found["units"] == 4
    assert found["marks"] == 8
    assert found["squares"] == ["", "60", "60", ""]
    assert found["shade"] not in ("", "rgba(0, 0, 0, 0)")
    assert found["bars"][0] == 0
    assert found["bars"][3] > 2 * found["bars"][1] > 0
    assert found["requests"] == []
    inner, needed = found["width"]
    assert inner == width
    assert needed <= inner
