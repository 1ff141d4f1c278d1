"""The arbiter against a few lines of Python: who gets the port, when, and who gets the beats."""

from __future__ import annotations

from kcnn.arch.config import Config
from kcnn.rtl.port import Master, MemoryPort, port_arbiter
from kcnn.rtl.signals import bit
from myhdl import ResetSignal
from replay import replay

NAMES = ("stream", "load", "store", "sequencer")


def make():
    config = Config.preset("tiny")
    ports = {"clk": bit(), "reset": ResetSignal(0, active=1, isasync=False),
             "mem": MemoryPort(config)}
    del ports["mem"].wdata, ports["mem"].rdata
    return port_arbiter, ports | {name: Master() for name in NAMES}


def requests(ports, rng):
    """Random requests, held until granted; beats with random pauses."""
    ports["reset"].next = 1
    yield
    yield
    ports["reset"].next = 0
    granted, left = None, 0
    while True:
        mem = ports["mem"]
        if mem.start:
            left = int(mem.beats)
            mem.valid.next = False
        else:
            mem.valid.next = left > 0 and rng.random() < 0.7
        for name in NAMES:
            master = ports[name]
            if granted == name:
                master.req.next = False
            elif not master.req and rng.random() < 0.1:
                master.req.next = True
                master.address.next = rng.randrange(1 << 32)
                master.beats.next = rng.randint(1, 5)
        row = yield
        left -= row["mem_valid"]
        granted = next((name for name in NAMES if row[f"{name}_grant"]), None)


def test_the_highest_priority_gets_each_burst():
    rows = replay(make, 900, requests).rows
    idle_from, owner, left, bursts = 3, None, 0, []
    for cycle, row in enumerate(rows[3:], 3):
        asking = [n for n in NAMES if row[f"{n}_req"]] if cycle >= idle_from else []
        winner = asking[0] if asking else None
        assert [n for n in NAMES if row[f"{n}_grant"]] == ([winner] if winner else [])
        assert [n for n in NAMES if row[f"{n}_valid"]] == ([owner] if row["mem_valid"] else [])
        last = row["mem_valid"] and left == 1
        assert [n for n in NAMES if row[f"{n}_last"]] == ([owner] if last else [])
        if winner:
            command, owner = rows[cycle + 1] if cycle + 1 < len(rows) else None, winner
            left, idle_from = row[f"{winner}_beats"], 10 ** 9
            if command:
                assert command["mem_start"] == 1
                assert command["mem_write"] == (winner == "store")
                assert command["mem_address"] == row[f"{winner}_address"]
                assert command["mem_beats"] == left
            bursts.append(winner)
        elif row["mem_valid"]:
            left -= 1
            idle_from = cycle + 1 if left == 0 else idle_from
    assert sum(row["mem_start"] for row in rows) >= len(bursts) - 1 > 60
    assert set(bursts) == set(NAMES)
