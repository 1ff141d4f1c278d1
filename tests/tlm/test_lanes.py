"""What a RUN computes, in blocks of any size; a total that is too wide is refused."""

import dataclasses

import numpy as np
import pytest
from kcnn.arch import stream
from kcnn.arch.config import Config
from kcnn.arch.engine import MemoryModel
from kcnn.arch.errors import FormatError
from kcnn.arch.isa import Mode, Run
from kcnn.arch.parse import parse
from kcnn.tlm import lanes
from kcnn.tlm.machine import simulate
from kcnn.tlm.memory import ActivationMemory, Tables
from machine_programs import CONFIGS, random_program

TINY = Config.preset("tiny")
FIELDS = {f.name: 0 for f in Run.FIELDS} | {
    "stream_units": 1, "channels": 3, "digits": 1, "split": 1, "images": 1, "height": 1,
    "image_rows": 1, "width": 5, "pitch": 5, "kernel_bits": 2, "order": 0, "origin": 16380}


def parsed(*channels):
    records = [stream.ChannelStream(1, 0, tuple(
        stream.Cluster(factor, np.array(positions), np.array(negative, bool))
        for factor, positions, negative in clusters)) for clusters in channels]
    data = np.frombuffer(stream.encode_stream(records), np.uint8)
    return parse(data, len(channels), "stream")


CHANNELS = (((3, [0, 5, 6], [0, 1, 0]), (-2, [1], [1])), (), ((7, [2, 7], [1, 1]),))


@pytest.fixture
def state():
    rng = np.random.default_rng(0)
    memory, tables = ActivationMemory(TINY, trace=False), Tables(TINY)
    memory.codes[:] = rng.integers(0, 16, TINY.memory_codes)
    tables.base[0, :2], tables.pair[0, :2] = [16300, 90], [1, 0]
    tables.offset[0, :4] = [0, 1, 16383, 300]
    tables.decode[:] = rng.integers(-256, 256, tables.decode.shape)
    return memory, tables


def tap(run, memory, tables, position, x):
    """The value that a tap sees at raster position x."""
    entry, kernel = position >> 2, position & 3
    address = tables.base[0, entry] + tables.offset[0, kernel] + run.origin + x
    return tables.decode[tables.pair[0, entry], memory.codes[address % 16384]]


def expected(run, memory, tables):
    out = np.zeros((3, 5), np.int64)
    for k, x in np.ndindex(3, 5):
        for factor, positions, negative in CHANNELS[k]:
            seen = [tap(run, memory, tables, p, x) for p in positions]
            values = [(1 - 2 * n) * value for value, n in zip(seen, negative, strict=True)]
            if run.mode == Mode.PASS:
                values = [(1 - 2 * negative[-1]) * max(seen, key=lambda v: v % 16)]
            out[k, x] += factor * sum(values)
    return out


@pytest.mark.parametrize("mode", [Mode.CODE, Mode.PASS])
@pytest.mark.parametrize("block", [1, 7, 1 << 20])
def test_totals(state, monkeypatch, mode, block):
    monkeypatch.setattr(lanes, "BLOCK", block)
    run = Run(**FIELDS | {"mode": int(mode)})
    found = lanes.totals(run, parsed(*CHANNELS), np.arange(5), *state)
    assert np.array_equal(found, expected(run, *state))


def test_a_total_that_is_too_wide_is_refused(state):
    memory, tables = state
    tables.decode[:] = 255
    narrow = ActivationMemory(dataclasses.replace(TINY, total_bits=20), trace=False)
    taps = [((255, list(range(8)), [0] * 8), (255, [0], [0]))]
    run = Run(**FIELDS | {"channels": 1})
    with pytest.raises(FormatError, match="does not fit 20 bits"):
        lanes.totals(run, parsed(*taps), np.arange(5), narrow, tables)
    assert lanes.totals(run, parsed(*taps), np.arange(5), memory, tables).max() == 9 * 255 * 255


def test_block_sizes_do_not_change_a_program(monkeypatch):
    program, memory = random_program(11, CONFIGS["m2"], runs=4)
    model = MemoryModel.fixed(3)
    whole = simulate(program, memory, model)
    monkeypatch.setattr(lanes, "BLOCK", 5)
    assert np.array_equal(simulate(program, memory, model).memory, whole.memory)
