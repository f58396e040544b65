"""The reader of scenario files: where keys stand, which there are, what they must obey, and the cases they give."""
