"""Attributions: which components carry what, one per file."""
