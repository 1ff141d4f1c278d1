"""The activation memory against an array of codes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from kcnn.arch.config import Config
from kcnn.rtl.activation_memory import MemoryWrite, activation_memory
from kcnn.rtl.signals import bit, word
from myhdl import always_comb, block
from replay import replay


@block
def between_ports(clk, enables, codes, write_even, write_odd, even_row, odd_row, even, odd, config):
    """The memory with its lists of writes as two wide ports."""
    write = MemoryWrite(config)
    masks, parts = write.enables, write.codes
    quads, width = config.row_codes // 4, 4 * config.code_bits
    memory = activation_memory(clk, write, even_row, odd_row, even, odd, config)

    @always_comb
    def cut():
        write.even_row.next = write_even
        write.odd_row.next = write_odd
        for q in range(quads):
            for b in range(4):
                masks[q].next[b] = enables[4 * q + b]
            for b in range(width):
                parts[q].next[b] = codes[width * q + b]

    return memory, cut


@pytest.mark.parametrize("lanes, code_bits", [(4, 4), (8, 5)])
def test_every_cell_is_written_on_its_own(lanes, code_bits):
    config = dataclasses.replace(Config.preset("tiny"), lanes=lanes, code_bits=code_bits,
                                 memory_codes=128)

    def make():
        row = (config.rows - 1).bit_length()
        return between_ports, {
            "clk": bit(), "enables": word(2 * lanes), "codes": word(2 * config.word_bits),
            "write_even": word(row), "write_odd": word(row), "even_row": word(row),
            "odd_row": word(row), "even": word(config.word_bits), "odd": word(config.word_bits),
            "config": config}

    def stimulus(ports, rng):
        while True:
            for name, signal in ports.items():
                if name not in ("clk", "even", "odd", "config"):
                    signal.next = rng.getrandbits(len(signal))
            yield

    rows = replay(make, 400, stimulus, tools=("iverilog", "ghdl")).rows
    memory = np.zeros((config.rows, 2 * lanes), np.int64)
    for now, after in zip(rows, rows[1:], strict=False):
        for name, cells in (("even", slice(0, lanes)), ("odd", slice(lanes, None))):
            codes = memory[now[f"{name}_row"], cells].tolist()
            assert after[name] == sum(c << (code_bits * i) for i, c in enumerate(codes))
        for cell in range(2 * lanes):
            if now["enables"] >> cell & 1:
                row = now["write_even"] if cell < lanes else now["write_odd"]
                memory[row, cell] = now["codes"] >> (code_bits * cell) \
                    & (config.codes - 1)
