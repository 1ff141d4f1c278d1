"""Layers of all kinds to taps, and taps to proven integers."""
