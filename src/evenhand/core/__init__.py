"""Values and pure mathematics; knows no model."""
