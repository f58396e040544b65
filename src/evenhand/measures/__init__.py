"""Metrics, one per file; none of them sees a model."""
