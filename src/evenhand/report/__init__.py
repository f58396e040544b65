"""One self-contained HTML page made from run folders; imports no torch."""

from evenhand.report.render import render, render_explanation, render_reading

__all__ = ["render", "render_explanation", "render_reading"]
