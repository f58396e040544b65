"""Edited models out: checkpoint, edit file, model card."""
