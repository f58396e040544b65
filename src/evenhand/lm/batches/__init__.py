"""How sequences are put together and run: batches, packing, the key–value cache, masks per row, logits."""
