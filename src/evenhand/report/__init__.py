"""One self-contained HTML page made from run folders; imports no torch."""

from evenhand.report.render import render, render_explanation

__all__ = ["render", "render_explanation"]
