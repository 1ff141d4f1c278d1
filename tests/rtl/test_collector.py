"""The collector: fills, rows of the load unit and codes of the drain, as writes and as trace."""

from __future__ import annotations

import dataclasses

import pytest
from core_bench import Part
from kcnn.arch.config import Config
from kcnn.arch.isa import Fill
from kcnn.rtl.activation_memory import MemoryWrite
from kcnn.rtl.collector import collector
from kcnn.rtl.drain import Flow
from kcnn.rtl.signals import Rows, Trace, bit, word
from myhdl import ResetSignal, always_comb, block
from replay import replay

ROWS = ("valid", "address", "part", "beat")


@block
def between_ports(clk, reset, go, instruction, served, addresses, codes, rows, trace, filled,
                  even_row, odd_row, mask, content, config):
    """The collector, with lists of signals as wide ports."""
    flow, write = Flow(config), MemoryWrite(config)
    places, enables, parts = flow.addresses, write.enables, write.codes
    inner_codes = [word(config.code_bits) for _ in range(config.drain)]
    positions, width, code_bits = config.drain, config.address_bits, config.code_bits
    quads, quad_bits = config.row_codes // 4, 4 * config.code_bits
    inner = collector(clk, reset, go, instruction, flow, inner_codes, rows, write, trace, filled,
                      config)

    @always_comb
    def cut():
        flow.served.next = served
        for d in range(positions):
            for b in range(width):
                places[d].next[b] = addresses[width * d + b]
            for b in range(code_bits):
                inner_codes[d].next[b] = codes[code_bits * d + b]

    @always_comb
    def show():
        even_row.next = write.even_row
        odd_row.next = write.odd_row
        for q in range(quads):
            for b in range(4):
                mask.next[4 * q + b] = enables[q][b]
            for b in range(quad_bits):
                content.next[quad_bits * q + b] = parts[q][b]

    return inner, cut, show


def make_for(config):
    def make():
        row = (config.rows - 1).bit_length()
        return between_ports, {
            "clk": bit(), "reset": ResetSignal(0, active=1, isasync=False), "go": bit(),
            "instruction": word(512), "served": word(config.drain),
            "addresses": word(config.drain * config.address_bits),
            "codes": word(config.drain * config.code_bits), "rows": Part(Rows(config), *ROWS),
            "trace": Trace(config), "filled": bit(), "even_row": word(row), "odd_row": word(row),
            "mask": word(config.row_codes), "content": word(2 * config.word_bits),
            "config": config}
    return make


def cells_of(row, config, rows, mask, content):
    """{(row, cell): code} of a write."""
    out = {}
    for cell in range(config.row_codes):
        if row[mask] >> cell & 1:
            code = row[content] >> (config.code_bits * cell) & (config.codes - 1)
            out[row[rows[cell >= config.lanes]], cell] = code
    return out


def random_operation(config, rng):
    """Addresses and codes of positions: at most one word of each bank, all different."""
    words = [rng.randrange(config.rows) * 2, rng.randrange(config.rows) * 2 + 1]
    cells = rng.sample(range(2 * config.lanes), config.drain)
    at = [words[c >= config.lanes] * config.lanes + c % config.lanes for c in cells]
    return rng.getrandbits(config.drain), at, [rng.randrange(config.codes) for _ in at]


@pytest.mark.parametrize("fields", [{"lanes": 4}, {"lanes": 8, "drain": 2},
                                    {"lanes": 8, "drain": 4, "code_bits": 5}],
                         ids=["D1", "D2", "D4"])
def test_every_write_is_made_and_traced(fields):
    config = dataclasses.replace(Config.preset("tiny"), share=1, memory_codes=256, **fields)
    runs: dict[int, dict] = {}
    loads: dict[int, dict] = {}
    fills: dict[int, dict] = {}
    ends: set[int] = set()
    size, width = config.row_codes, config.address_bits

    def stimulus(ports, rng):
        for record in (runs, loads, fills, ends):
            record.clear()
        ports["reset"].next = 1
        yield
        ports["reset"].next = 0
        cycle, filling = 1, 0
        while True:
            what = rng.choice(("run", "run", "load", "fill", "nothing"))
            ports["go"].next = 0
            ports["served"].next = 0
            ports["rows"].valid.next = 0
            if cycle < filling:
                what = "nothing"
            if what == "run":
                served, at, codes = random_operation(config, rng)
                ports["served"].next = served
                ports["addresses"].next = sum(a << (width * d) for d, a in enumerate(at))
                runs[cycle + 2] = {(a // size, a % size): codes[d] for d, a in enumerate(at)
                                   if served >> d & 1}
                yield
                cycle += 1
                ports["served"].next = 0
                ports["codes"].next = sum(c << (config.code_bits * d)
                                          for d, c in enumerate(codes))
                filling = cycle + 1
            elif what == "load":
                row, data = rng.randrange(config.rows), rng.getrandbits(2 * config.word_bits)
                ports["rows"].address.next = row
                bits = len(ports["rows"].beat)
                for part in range(config.beats_per_row):
                    ports["rows"].valid.next = 0
                    if rng.random() < 0.5:
                        yield
                        cycle += 1
                    ports["rows"].valid.next, ports["rows"].part.next = 1, part
                    ports["rows"].beat.next = data >> (bits * part) & ((1 << bits) - 1)
                    if part < config.beats_per_row - 1:
                        yield
                        cycle += 1
                loads[cycle + 1] = {(row, c): data >> (config.code_bits * c) & (config.codes - 1)
                                    for c in range(size)}
            elif what == "fill":
                fill = Fill(rng.randrange(config.rows - 4), rng.randint(1, 4),
                            rng.randrange(config.codes))
                ports["go"].next = 1
                ports["instruction"].next = int.from_bytes(fill.encode(), "little")
                for i in range(fill.rows):
                    fills[cycle + 1 + i] = {(fill.row + i, c): fill.code for c in range(size)}
                filling = cycle + fill.rows + 1
                ends.add(cycle + fill.rows)
            yield
            cycle += 1
            ports["instruction"].next = rng.getrandbits(512)

    rows = replay(make_for(config), 300, stimulus, tools=("iverilog", "ghdl", "verilator")).rows
    writes = {c: cells for c, cells in (runs | fills | loads).items() if cells}
    for cycle, row in enumerate(rows[1:], 1):
        made = cells_of(row, config, ("even_row", "odd_row"), "mask", "content")
        assert made == writes.get(cycle, {}), cycle
        assert row["trace_write"] == (cycle in writes)
        if row["trace_write"]:
            traced = cells_of(row, config, ("trace_row", "trace_odd_row"), "trace_mask",
                              "trace_codes")
            assert traced == writes[cycle]
        assert row["filled"] == (cycle in ends)
    assert min(len(runs), len(loads), len(fills)) > 10
