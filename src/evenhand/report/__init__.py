"""Run folders in, one HTML file out."""
