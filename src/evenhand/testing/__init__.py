"""Conformance checks and tiny models, for plug-ins inside and outside this tree."""
