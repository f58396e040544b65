"""Hidden states: found in a prompt, read, put elsewhere, steered."""
