"""What the rows of a cell say about its edit, in every place it was measured; records in, a verdict out."""
