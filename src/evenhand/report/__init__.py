"""One self-contained HTML page made from run folders; imports no torch."""

from evenhand.report.render import render

__all__ = ["render"]
