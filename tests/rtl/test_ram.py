"""Memories against dictionaries."""

from __future__ import annotations

from kcnn.rtl.ram import cell_ram, held_ram, ram
from kcnn.rtl.signals import bit, word
from replay import replay


def common(width, depth_bits):
    return {"clk": bit(), "write_address": word(depth_bits), "write_data": word(width),
            "read_address": word(depth_bits), "read_data": word(width)}


def test_ram_reads_what_was_there_before_the_write():
    rows = replay(lambda: (ram, common(12, 4) | {"we": bit(), "depth": 16}), 300, drive).rows
    memory: dict[int, int] = {}
    for now, after in zip(rows, rows[1:], strict=False):
        assert after["read_data"] == memory.get(now["read_address"], 0)
        if now["we"]:
            memory[now["write_address"]] = now["write_data"]


def test_held_ram_keeps_the_word_without_re():
    rows = replay(lambda: (held_ram, common(12, 4) | {"we": bit(), "re": bit(), "depth": 16}),
                  300, drive).rows
    memory: dict[int, int] = {}
    shown = 0
    for now, after in zip(rows, rows[1:], strict=False):
        if now["re"]:
            shown = memory.get(now["read_address"], 0)
        assert after["read_data"] == shown
        if now["we"]:
            memory[now["write_address"]] = now["write_data"]


def test_cell_ram_writes_each_quarter_on_its_own():
    rows = replay(lambda: (cell_ram, common(20, 3) | {"enables": word(4), "depth": 8}),
                  300, drive).rows
    memory = [[0] * 4 for _ in range(8)]
    for now, after in zip(rows, rows[1:], strict=False):
        cells = memory[now["read_address"]]
        assert after["read_data"] == sum(c << (5 * i) for i, c in enumerate(cells))
        for i in range(4):
            if now["enables"] >> i & 1:
                memory[now["write_address"]][i] = now["write_data"] >> (5 * i) & 31


def drive(ports, rng):
    while True:
        for name, signal in ports.items():
            if name not in ("clk", "depth", "read_data"):
                signal.next = rng.getrandbits(len(signal))
        yield
