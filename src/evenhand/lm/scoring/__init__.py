"""How likely a model finds options and texts."""
