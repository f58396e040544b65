"""Benchmarks and scenario packs, one per file."""
