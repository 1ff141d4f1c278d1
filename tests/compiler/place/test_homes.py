"""Groups of channels are whole rows and whole units of external addresses."""

import dataclasses

import canonical
from hypothesis import given
from hypothesis import strategies as st
from kcnn.arch.isa import UNIT_BYTES
from kcnn.arch.layout import Layout
from kcnn.compiler.place.homes import (
    MOST_GROUP,
    MOST_WASTE,
    Window,
    channel_step,
    group_size,
    line_codes,
    unit_codes,
)

MACHINES = st.sampled_from([*canonical.CONFIGS, canonical.config(lanes=64, port_bits=256)])


@given(MACHINES)
def test_units_are_rows_that_external_addresses_can_name(machine):
    units = unit_codes(machine)
    assert units % machine.row_codes == 0
    assert units // machine.codes_per_byte % UNIT_BYTES == 0
    assert units // machine.codes_per_byte % machine.port_bytes == 0


@given(MACHINES, st.integers(1, 3000), st.integers(1, 600))
def test_channels_grow_little_and_groups_stay_small(machine, codes, channels):
    step, unit = channel_step(codes, channels, machine), unit_codes(machine)
    channel = -(-codes // step) * step
    size = group_size(Layout(0, 0, 1, channel, 0, 0, 1, 1), unit)
    assert size * channel % unit == 0
    assert size <= min(MOST_GROUP, max(1, channels // 2))
    smaller = unit // min(unit, MOST_GROUP, max(1, channels // 2))
    assert channel - codes <= codes * MOST_WASTE or step <= 2 * smaller


def test_a_window_ends_behind_its_rows_and_lines_follow_each_other():
    assert Window(3, 4).end == 7
    layout = Layout(0, 0, 1, 8, 8, 8, 96, 1)
    assert line_codes(layout) == 96
    assert line_codes(dataclasses.replace(layout, row=192, split=2, phase_y=96)) == 96
