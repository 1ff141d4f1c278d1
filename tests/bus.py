"""The far side of one Master: grants and beats at random times, on a memory of bytes."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from kcnn.rtl.port import Master


class Burst(NamedTuple):
    """What a master asked for: the cycle its `req` became visible, and the cycle of each beat."""

    req: int
    address: int
    beats: list[int]


class Bus:
    """Steps once a clock, before the cycle's other inputs are set; `row` are the values before."""

    def __init__(self, bus: Master, memory: bytearray, port_bytes: int, rng: random.Random,
                 rdata: Any = None) -> None:
        self.bus, self.memory, self.size, self.rng, self.rdata = bus, memory, port_bytes, rng, rdata
        self.cycle = -1
        self.bursts: list[Burst] = []
        self.seen = self.granted = False
        self.left = self.at = self.number = 0

    def step(self, row: dict[str, int] | None, wdata: str | None = None) -> None:
        """Advance to the next cycle and set grant, valid, last and rdata for it."""
        self.cycle += 1
        bus = self.bus
        if wdata and row and bus.valid:
            place = self.at - self.size
            self.memory[place:self.at] = row[wdata].to_bytes(self.size, "little")
        self._drive(False, False)
        if self.left:
            if self.number < 0:
                self.number = 0                       # the command's cycle has no beat
            elif self.rng.random() < 0.7:
                self._beat()
            return
        if bus.req and not self.seen:
            self.bursts.append(Burst(self.cycle, int(bus.address), []))
            self.seen = True
        if bus.req and self.rng.random() < 0.6:
            bus.grant.next = True
            self.at, self.left, self.number, self.seen = int(bus.address), int(bus.beats), -1, False

    def _drive(self, valid: bool, last: bool) -> None:
        self.bus.grant.next = False
        self.bus.valid.next = valid
        self.bus.last.next = last
        if self.rdata is not None and not valid:
            self.rdata.next = self.rng.randrange(1 << 8 * self.size)

    def _beat(self) -> None:
        self._drive(True, self.left == 1)
        self.bursts[-1].beats.append(self.cycle)
        if self.rdata is not None:
            data = self.memory[self.at:self.at + self.size]
            self.rdata.next = int.from_bytes(data, "little")
        self.at += self.size
        self.left -= 1
