"""Compression: methods that make a trained network smaller, one a file, and what they are worth.

A method takes an ordinary torch module and leaves an ordinary module. What it removed is an exact
zero in `weight`; what it clustered has at most K distinct magnitudes a layer, relative to the scale
of the output channel. So `torch.export` and the compiler keep both without being told.
"""
