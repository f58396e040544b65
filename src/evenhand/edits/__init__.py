"""Mechanisms of intervention, one per file."""
