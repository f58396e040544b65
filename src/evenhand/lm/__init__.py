"""The Hugging Face boundary: the only package that touches transformers."""
