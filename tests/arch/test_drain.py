"""Clocks of the drain from the addresses, against operations done one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.arch import isa, raster, timing
from kcnn.arch.config import Config
from kcnn.arch.drain import Drain
from machine_programs import CONFIGS
from run_shapes import Draw, draw_shape


def drawn(seed: int, config: Config) -> isa.Run:
    """A RUN of random geometry and destinations."""
    rng = np.random.default_rng(seed)
    shape = draw_shape(Draw(rng, config, channels=4, positions=60), isa.Mode.RADIX)
    fields, _ = shape.destination
    zero = {field.name: 0 for field in isa.Run.FIELDS}
    values = zero | shape.fields | fields | {
        "stream_units": 1, "channels": shape.channels, "mode": isa.Mode.RADIX}
    return isa.Run(**{name: value % config.memory_codes if name in isa.Run.addresses() else value
                      for name, value in values.items()})


def operation(addresses: list[int], lanes: int) -> int:
    """Clocks for the words of one operation: a word of each bank a clock."""
    words = {address // lanes for address in addresses}
    odd = sum(word % 2 for word in words)
    return max(1, odd, len(words) - odd)


@settings(max_examples=40)
@given(st.integers(0, 1 << 30), st.sampled_from(["m2", "m2d2", "p8m2d4", "p8m4d2ab6"]))
def test_clocks_are_those_of_the_words_of_each_operation(seed, name):
    config = CONFIGS[name]
    run = drawn(seed, config)
    position, inside = raster.positions(run, timing.chunk_starts(run), config.lanes)
    at = raster.destinations(run, position)
    drain = Drain(run, config)
    for channel in range(run.channels):
        expected = []
        for chunk in range(drain.chunks):
            clocks = 0
            for digit in range(run.digits):
                base = digit * run.dst_plane + channel * run.dst_channel
                for first in range(0, config.lanes, config.drain):
                    step = range(first, first + config.drain)
                    clocks += operation([int(at[chunk, i] + base) % config.memory_codes
                                         for i in step if inside[chunk, i]], config.lanes)
            expected.append(clocks)
        assert drain.operations(channel) == expected
        assert drain.means()[channel] == np.mean(expected)
