"""Where tensors lie: phase planes, pitches, pads, rows of the activation memory over time."""
