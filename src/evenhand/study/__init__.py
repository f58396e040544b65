"""A grid of cells: fit, sweep, measure everywhere, resume."""
