"""What a model writes: sampled, searched exactly over numbers, or decoded beside another distribution."""
