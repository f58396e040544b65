"""The bundled model whose bias is known, and the program that plants it."""
