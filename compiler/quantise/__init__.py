"""Real tensors and weights to codebooks, scales and clustered magnitudes."""
