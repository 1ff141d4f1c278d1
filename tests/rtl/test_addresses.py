"""Addresses of windows against integers, and the writes of the tables."""

from __future__ import annotations

import dataclasses
import random

from core_bench import Part
from kcnn.arch.config import Config
from kcnn.arch.latency import ADDRESSES, PAIR
from kcnn.rtl.addresses import Window, addresses
from kcnn.rtl.fields import Fields
from kcnn.rtl.issue import Tap
from kcnn.rtl.signals import bit
from kcnn.rtl.tables import TablePorts
from replay import replay

CONFIG = dataclasses.replace(Config.preset("tiny"), memory_codes=512, base_entries=16)
SIZE, LANES = 512, 4


def make():
    return addresses, {
        "clk": bit(), "tap": Part(Tap(CONFIG), "active", "entry", "kernel", "chunk_position"),
        "fields": Part(Fields(CONFIG), "base_bank", "offset_bank"),
        "ports": Part(TablePorts(CONFIG), "base_we", "base_at", "offset_we", "offset_at",
                      "address", "pair"),
        "window": Window(CONFIG), "pair": bit(), "config": CONFIG}


def test_windows_are_base_plus_offset_plus_position():
    rng = random.Random(3)
    base = [(rng.randrange(SIZE), rng.randrange(2)) for _ in range(32)]
    offset = [rng.randrange(SIZE) for _ in range(64)]

    def stimulus(ports, rng):
        table, tap, fields = ports["ports"], ports["tap"], ports["fields"]
        for i in range(64):
            table.base_we.next, table.offset_we.next = i < 32, i >= 32
            table.base_at.next, table.offset_at.next = i % 32, i % 64
            table.address.next, table.pair.next = base[i] if i < 32 else (offset[i], 0)
            yield
        for i in range(32):
            table.base_we.next, table.offset_we.next = 0, 1
            table.offset_at.next, table.address.next = i, offset[i]
            yield
        table.offset_we.next = 0
        tap.active.next = 1
        while True:
            for signal in (tap.entry, tap.kernel, tap.chunk_position):
                signal.next = rng.getrandbits(len(signal))
            # constant while taps of a RUN are on their way
            fields.base_bank.next = fields.offset_bank.next = 1
            yield

    rows = replay(make, 400, stimulus).rows
    for t in range(100, 395):
        row = rows[t]
        at, pair = base[16 + row["tap_entry"]]
        at = (at + offset[32 + row["tap_kernel"]] + row["tap_chunk_position"]) % SIZE
        assert rows[t + PAIR]["pair"] == pair
        seen = rows[t + ADDRESSES]
        assert seen["window_offset"] == at % 8
        assert seen["window_odd_row"] == at // 8
        assert seen["window_even_row"] == (at + LANES) % SIZE // 8
