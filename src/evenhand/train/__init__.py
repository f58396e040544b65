"""Training: one loop with its guards, for adapters and for unlearning."""
