"""Table writes: who is written, and with what."""

from __future__ import annotations

import dataclasses

from kcnn.arch.config import Config
from kcnn.arch.isa import Table
from kcnn.rtl.signals import TableWrite, bit
from kcnn.rtl.tables import TablePorts, spread
from myhdl import ResetSignal
from replay import replay

CONFIG = dataclasses.replace(Config.preset("tiny"), base_entries=64)


def make():
    return spread, {"clk": bit(), "reset": ResetSignal(0, active=1, isasync=False),
                    "table": TableWrite(), "ports": TablePorts(CONFIG), "config": CONFIG}


def stimulus(ports, rng):
    table = ports["table"]
    while True:
        table.we.next = rng.random() < 0.8
        table.kind.next = rng.randrange(8)
        table.bank.next = rng.randrange(2)
        table.index.next = rng.choice((rng.randrange(16), rng.randrange(80), rng.getrandbits(16)))
        near = rng.choice((rng.getrandbits(16), rng.randrange(-1100, 1100) & 0xFFFF))
        table.data.next = rng.getrandbits(16) << 16 | near
        yield


def signed(value, bits):
    value &= (1 << bits) - 1
    return value - (value >> (bits - 1) << bits)


def test_every_write_reaches_its_table_one_cycle_later():
    rows = replay(make, 1000, stimulus).rows
    depth = {Table.BASE: 64, Table.RAMP: 64, Table.OFFSET: 32, Table.DECODE: 16,
             Table.CLUSTER: 16}
    counts = dict.fromkeys(("base", "offset", "decode", "cluster"), 0)
    for now, after in zip(rows, rows[1:], strict=False):
        kind, index, bank, data = (now[f"table_{n}"] for n in ("kind", "index", "bank", "data"))
        there = now["table_we"] and kind in depth and index < depth[Table(kind)]
        name = {1: "offset", 2: "decode", 3: "cluster"}.get(kind, "base")
        for each in counts:
            assert after[f"ports_{each}_we"] == int(bool(there) and each == name)
        if not there:
            continue
        counts[name] += 1
        if name == "base":
            assert after["ports_base_at"] == bank << 6 | index
            assert after["ports_address"] == data % CONFIG.memory_codes
            assert after["ports_pair"] == data >> 24 & 1
        elif name == "offset":
            assert after["ports_offset_at"] == bank << 5 | index
            assert after["ports_address"] == data % CONFIG.memory_codes
        elif name == "decode":
            assert after["ports_decode_at"] == bank << 4 | index
            assert signed(after["ports_value"], 9) == signed(data, 9)
        else:
            assert after["ports_cluster_at"] == bank << 4 | index
            assert after["ports_code"] == data >> 16 & 15
            least = max(signed(data, 16), -1024) + 1024
            assert after["ports_threshold"] == (least if least < 2048 else 3072)
    assert min(counts.values()) > 20
