"""Stream fetcher: FIFO, parser, tap cache filling; two processes joined by the credits."""

from __future__ import annotations

import dataclasses

import numpy as np
from myhdl import now
from numpy.typing import NDArray

from ..arch.config import Config
from ..arch.errors import FormatError
from ..arch.isa import UNIT_BYTES, Run
from ..arch.parse import Parsed, parse
from ..arch.stream import SLACK
from ..arch.timing import (
    ITEM,
    STREAM_REQUEST,
    Lengths,
    Master,
    ascend,
    lengths,
    needed_beats,
    pop_items,
)
from .channel import Channel, Event, Wait, until
from .lanes import BLOCK
from .port import Port

NEVER = 1 << 60
KEPT = 1 << 25           # numbers of the streams that are kept parsed


@dataclasses.dataclass(frozen=True)
class CachedChannel:
    """A channel in the tap cache: number `channel` of a RUN's stream."""

    stream: Parsed
    lengths: Lengths
    channel: int


class _Stream:
    """What the bytes of a stream say, whenever they come."""

    def __init__(self, config: Config, data: NDArray[np.uint8], parsed: Parsed) -> None:
        self.data, self.parsed = data.copy(), parsed
        self.lengths = lengths(parsed.channel_clusters, parsed.cluster_taps, config.share)
        self.beats = -(-len(data) // config.port_bytes)
        self.needed = needed_beats(parsed.offsets, config.port_bytes)
        self.makes_room = pop_items(parsed.ends, self.beats, config.port_bytes)
        self.highest = int(parsed.position.max(initial=0))

    @property
    def numbers(self) -> int:
        """About how many it keeps, those that `lanes` adds among them."""
        parsed = self.parsed
        matrix = len(parsed.scale) * self.highest
        return 6 * len(parsed.offsets) + (matrix if matrix <= BLOCK else 0)


class _Progress:
    """One stream on its way: which beats have come and been popped, which items have fired."""

    def __init__(self, stream: _Stream) -> None:
        self.stream, self.lengths = stream.parsed, stream.lengths
        self.beats, self.needed = stream.beats, stream.needed
        self.makes_room = stream.makes_room
        self.arrival = np.zeros(self.beats, np.int64)
        self.pop = np.zeros(self.beats, np.int64)
        self.fire = np.zeros(len(self.needed) + 1, np.int64)
        self.fire[-1] = -1                 # of the item before the first, and of item -1
        self.arrived = self.popped = self.fired = 0

    def arrive(self, times: NDArray[np.int64]) -> None:
        """The beats of a burst are known to come at `times`."""
        self.arrival[self.arrived:self.arrived + len(times)] = times
        self.arrived += len(times)
        self.advance()

    def advance(self) -> None:
        """Pop what can be popped after the items that have fired so far."""
        low = self.popped
        high = min(self.arrived, int(np.searchsorted(self.makes_room, self.fired)))
        if high > low:
            bounds = np.maximum(self.arrival[low:high] + 1, self.fire[self.makes_room[low:high]])
            self.pop[low:high] = ascend(bounds, int(self.pop[low - 1]) if low else -1)
            self.popped = high

    def fire_items(self, high: int, free: int) -> bool:
        """Fire the items up to `high` (not included) whose beats have come; whether any did.

        free: cycle before which the first of them cannot fire.
        """
        low = self.fired
        high = min(high, int(np.searchsorted(self.needed, self.arrived)))
        if high == low:
            return False
        bounds = self.arrival[self.needed[low:high]] + ITEM
        bounds[0] = max(bounds[0], free)
        self.fire[low:high] = ascend(bounds, int(self.fire[low - 1]))
        self.fired = high
        self.advance()
        return True


class StreamFetch:
    """Fills the tap cache, channel after channel, RUN after RUN."""

    def __init__(self, config: Config, port: Port, external: NDArray[np.uint8]) -> None:
        self._config, self._port, self._external = config, port, external
        self.mailbox = Channel(1)
        self.cache = Channel(2)
        self._progress: _Progress | None = None
        self._known: dict[tuple[int, int, int], _Stream] = {}      # the last one read comes last
        self._changed = Event()
        self._idle = 0
        self._given = self._done = 0
        self._finished = Event()

    def give(self, run: Run, since: int) -> None:
        """Fill the mailbox, its place reserved."""
        self._given += 1
        self.mailbox.put(run, since)

    def quiet(self) -> Wait:
        """Wait until all streams given are fetched; the cycle from which the fetcher is idle."""
        while self._done < self._given:
            yield from self._finished.wait()
        return self._idle

    def run(self) -> Wait:
        """The process that requests bursts as the FIFO has room for them."""
        config, fifo = self._config, 2 * self._config.burst
        while True:
            run, since = yield from self.mailbox.first()
            yield from until(max(since, self._idle))
            self.mailbox.take(now() + 1)
            progress = self._progress = _Progress(self._stream(run))
            self._changed.tell()
            request = now() + STREAM_REQUEST
            while progress.arrived < progress.beats:
                count = min(config.burst, progress.beats - progress.arrived)
                need = progress.arrived + count - fifo
                while progress.popped < need:
                    yield from self._changed.wait()
                if need > 0:
                    request = max(request, int(progress.pop[need - 1]) + STREAM_REQUEST)
                times = yield from self._port.access(Master.STREAM, request, count)
                progress.arrive(times)
                self._changed.tell()
                request = int(times[-1]) + STREAM_REQUEST
            while progress.fired < len(progress.stream.offsets):
                yield from self._changed.wait()
            done = max(int(progress.fire[progress.fired - 1]), int(progress.arrival[-1])) + 1
            yield from until(done)
            self._idle = done + 1
            self._done += 1
            self._finished.tell()

    def parser(self) -> Wait:
        """The process that parses what has come."""
        while True:
            while self._progress is None:
                yield from self._changed.wait()
            progress, self._progress = self._progress, None
            items = progress.stream.channel_items
            for channel in range(len(items) - 1):
                free = yield from self.cache.place()
                while progress.fired < items[channel + 1]:
                    if progress.fire_items(int(items[channel + 1]), free):
                        free = 0
                        self._changed.tell()
                    else:
                        yield from self._changed.wait()
                full = int(progress.fire[progress.fired - 1]) + 1
                self.cache.put(CachedChannel(progress.stream, progress.lengths, channel), full)

    def _stream(self, run: Run) -> _Stream:
        """The RUN's stream; bands of a layer read the same ones again and again."""
        config, at = self._config, run.stream * UNIT_BYTES
        where = f"stream at byte {at}"
        data = self._external[at:at + run.stream_units * UNIT_BYTES]
        key = run.stream, run.stream_units, run.channels
        found = self._known.pop(key, None)
        if found is None or not np.array_equal(found.data, data):
            found = _Stream(config, data, self._parse(data, run, where))
        self._known[key] = found
        while len(self._known) > 1 and sum(s.numbers for s in self._known.values()) > KEPT:
            del self._known[next(iter(self._known))]
        high = found.highest >> run.kernel_bits
        if high >= config.base_entries:
            raise FormatError(f"{where}: names base entry {high}, the configuration has "
                              f"{config.base_entries}; recompile the network")
        return found

    def _parse(self, data: NDArray[np.uint8], run: Run, where: str) -> Parsed:
        config = self._config
        stream = parse(data, run.channels, where)
        slots = np.diff(stream.cluster_taps[stream.channel_clusters])
        if slots.max() > config.tap_slots:
            raise FormatError(f"{where}: channel {slots.argmax()} has {slots.max()} taps, the "
                              f"configuration holds {config.tap_slots}; recompile the network")
        if stream.ends[-1] + SLACK > len(data):
            raise FormatError(f"{where}: no bytes follow the last END; recompile the network")
        return stream
