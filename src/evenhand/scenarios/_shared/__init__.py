"""What several benchmarks have in common: the files they share, and how a row of them is asked."""
