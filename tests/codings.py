"""Layers in codes for the tests of formats."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from kcnn.compress.formats.coded import Coded


def layer(shape: tuple[int, ...], bits: int, density: float, seed: int, integers: bool = False
          ) -> Coded:
    """Random codes; the table has as many distinct values as there are codes."""
    rng = np.random.default_rng(seed)
    most = 256 if integers else 1 << bits
    codes = rng.integers(1, most, shape) * (rng.random(shape) < density)
    values = np.zeros(most, np.float32)
    half = most // 2                              # codes i and half + i: one magnitude, both signs
    values[1:half + 1] = (rng.permutation(4 * most)[:half] + 0.5) * rng.choice([-1, 1], half)
    values[half + 1:] = -values[1:most - half]
    scale = rng.random(shape[0] if seed % 2 else 1).astype(np.float32)
    return Coded(codes.astype(np.uint8), 8 if integers else bits, None if integers else values,
                 scale)


kernels = st.sampled_from([(1, 1), (1, 1), (3, 3), (5, 5), (11, 11), (7, 2), (1, 14)])
sizes = st.tuples(st.integers(1, 40), st.integers(1, 12))


@st.composite
def layers(draw: st.DrawFn) -> Coded:
    """Convolutions and fully connected layers, from empty to full; some with wide gaps."""
    kernel = draw(kernels)
    channels, depth = draw(sizes)
    if kernel == (1, 1) and draw(st.booleans()):
        depth *= 60
    density = draw(st.sampled_from([0.0, 0.001, 0.05, 0.3, 1.0]))
    return layer((channels, depth, *kernel), draw(st.integers(1, 8)), density,
                 draw(st.integers(0, 2 ** 32 - 1)), draw(st.booleans()))
