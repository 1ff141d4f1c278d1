"""How the blocks of the transaction-level model meet: processes and channels.

One unit of MyHDL time is one clock. What passes between blocks carries the cycle from which it is
visible, which may lie ahead: a block that knows when something will happen says so at once.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Generator, Iterator
from typing import Any

from myhdl import Signal, _simulator, block, delay, instance, now

Wait = Generator[Any, None, Any]


@block
def process(body: Wait):  # type: ignore[no-untyped-def]
    """A MyHDL process from a generator, in which `yield` and `yield from` mix freely."""
    @instance
    def run():  # type: ignore[no-untyped-def]
        yield body
    return run


@block
def _system(bodies: list[Wait]):  # type: ignore[no-untyped-def]
    return [process(body) for body in bodies]


@contextlib.contextmanager
def own_signals() -> Iterator[None]:
    """MyHDL keeps every Signal for ever; those made inside are dropped at the end."""
    known = len(_simulator._signals)
    try:
        yield
    finally:
        del _simulator._signals[known:]


def simulate(bodies: list[Wait]) -> None:
    """Run processes until one raises StopSimulation or nothing is left to happen."""
    system = _system(bodies)
    try:
        system.run_sim(quiet=1)
    finally:
        system.quit_sim()


def until(cycle: int) -> Wait:
    """Let time pass up to `cycle`."""
    if cycle > now():
        yield delay(cycle - now())


class Event:
    """Tells whoever waits that something has changed; `yield from event.wait()`."""

    def __init__(self) -> None:
        self.flag = Signal(bool(0))

    def tell(self) -> None:
        """Wake all that wait."""
        self.flag.next = not self.flag

    def wait(self) -> Wait:
        """Return at the next `tell`."""
        yield self.flag


class Channel:
    """A FIFO of `depth` items between one producer and one consumer.

    An item is visible from a cycle that the producer gives, its place is free again from a cycle
    that the consumer gives.
    """

    def __init__(self, depth: int) -> None:
        self._items: deque[tuple[Any, int]] = deque()
        self._free = deque([0] * depth)
        self._put, self._taken = Event(), Event()

    def place(self) -> Wait:
        """Reserve a place; returns the cycle from which it is free."""
        while not self._free:
            yield from self._taken.wait()
        return self._free.popleft()

    def put(self, item: Any, since: int) -> None:
        """Fill a reserved place with an item that is visible from cycle `since` on."""
        self._items.append((item, since))
        self._put.tell()

    def first(self) -> Wait:
        """The first item and the cycle from which it is visible; it stays in the channel."""
        while not self._items:
            yield from self._put.wait()
        return self._items[0]

    def take(self, free: int) -> None:
        """Remove the first item; its place is free from cycle `free` on."""
        self._items.popleft()
        self._free.append(free)
        self._taken.tell()
