"""What leaves the house: a baked checkpoint with its model card."""
