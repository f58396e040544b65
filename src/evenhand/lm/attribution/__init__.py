"""What of an outcome comes from which part of the model: activations, gradients, parts of the residual stream."""
