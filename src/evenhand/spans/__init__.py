"""Which characters of a text carry what is to be unlearned, one way of telling per file."""
