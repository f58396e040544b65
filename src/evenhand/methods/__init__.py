"""Methods from papers, one per file."""
