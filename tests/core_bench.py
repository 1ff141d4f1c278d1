"""Random work for a core: tables, memory, RUNs and FILLs, and a stimulus that drives its ports."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Iterator
from typing import Any

import core_model
import numpy as np
from core_model import Channel, Slot, State
from kcnn.arch.config import Config
from kcnn.arch.isa import Fill, Instruction, Mode, Run, Table
from kcnn.rtl import signals
from kcnn.rtl.core import core
from kcnn.rtl.quirks import forget_designs
from myhdl import ResetSignal, StopSimulation, block, delay, instance


@dataclasses.dataclass
class Job:
    """An instruction, with the channels of a RUN; what the bench saw: take, end, buffers full."""

    instruction: Instruction
    channels: list[Channel]
    taken: int = -1
    ended: int = -1
    full: list[int] = dataclasses.field(default_factory=list)


def ports_of(config: Config) -> dict[str, Any]:
    """Fresh ports of a core."""
    return {"clk": signals.bit(), "reset": ResetSignal(0, active=1, isasync=False),
            "command": signals.Command(), "slots": signals.Slots(config),
            "heads": signals.Heads(), "table": signals.TableWrite(),
            "rows": signals.Rows(config), "trace": signals.Trace(config), "config": config}


def make(config: Config):
    return lambda: (core, ports_of(config))


# ---- random work ------------------------------------------------------------------------------

def random_state(config: Config, rng: random.Random) -> State:
    """Tables and memory; every code at random, thresholds ascending."""
    state = State(config)
    draw = np.random.default_rng(rng.randrange(1 << 30))
    half = 1 << (config.value_bits - 1)
    state.memory[:] = draw.integers(0, config.codes, config.memory_codes)
    state.decode[:] = draw.integers(-half, half, state.decode.shape)
    spread = rng.choice((1100, 1500, 200, 20))
    state.thresholds[:] = np.sort(draw.integers(-spread, spread, state.thresholds.shape))
    state.codes[:] = draw.integers(0, config.codes, state.codes.shape)
    eighth = config.memory_codes // 8
    state.home = rng.randrange(config.memory_codes)
    state.base[..., 0] = (state.home + draw.integers(0, eighth, state.base.shape[:2])
                          ) % config.memory_codes
    state.base[..., 1] = draw.integers(0, 2, state.base.shape[:2])
    state.offset[:] = draw.integers(0, eighth, state.offset.shape)
    return state


def random_run(config: Config, rng: random.Random, home: int) -> Run:
    """A RUN whose destination addresses are all different, in the half of memory after the one that
    begins at `home`; its sources lie in the first half (memory_codes at least 1024).
    """
    split = rng.choice((1, 1, 2, 3, 4))
    q = rng.randint(1, 2)
    pitch, rows = rng.randint(1, 9), rng.randint(1, 5)
    width, height = rng.randint(1, pitch), rng.randint(1, rows)
    images, channels = rng.randint(1, 3), rng.randint(1, 4)
    mode = rng.choice(tuple(Mode))
    most = min(4, 16 // config.code_bits) if mode == Mode.RADIX else 1
    digits = rng.randint(1, most)
    x0, y0 = rng.randrange(2), rng.randrange(2)
    sizes = {"x": (x0 + q * width) // split + 1, "y": (y0 + q * height) // split + 1,
             "phase_x": split, "phase_y": split, "image": images, "plane": digits,
             "channel": channels}
    order = list(sizes)
    rng.shuffle(order)
    stride, at = {}, 1
    for name in order:
        stride[name], at = at, at * sizes[name]
    size = config.memory_codes
    if at > size // 2:
        return random_run(config, rng, home)
    start = home + size // 2 + rng.randint(0, size // 2 - at)
    phases = x0 % split, y0 % split
    lanes = config.lanes
    over = lanes % (rows * pitch)
    words = {"x_step": q // split * stride["x"] + q % split * stride["phase_x"],
             "x_wrap": stride["x"] - split * stride["phase_x"],
             "y_step": q // split * stride["y"] + q % split * stride["phase_y"],
             "y_wrap": stride["y"] - split * stride["phase_y"],
             "image_pitch": rows * pitch, "chunk_pitch": lanes // (rows * pitch) * rows * pitch,
             "dst": start, "dst_channel": stride["channel"], "dst_plane": stride["plane"],
             "dst_image": stride["image"], "origin": rng.randrange(size // 8)}
    return Run(stream=0, stream_units=1, channels=channels, mode=mode, shift=rng.randrange(4),
               digits=digits,
               radix_width=rng.randint(2, 16) if mode == Mode.RADIX else 0,
               order=rng.randrange(config.codes) if mode == Mode.PASS else 0,
               kernel_bits=rng.randint(0, 5),
               base_bank=rng.randrange(2), offset_bank=rng.randrange(2),
               cluster_bank=rng.randrange(2), pitch=pitch, image_rows=rows, images=images,
               height=height, width=width, chunk_images=lanes // (rows * pitch),
               chunk_rows=over // pitch, chunk_columns=over % pitch,
               **{name: value % size for name, value in words.items()},
               split=split, x_start=phases[0], x_mod=q % split, y_start=phases[1],
               y_mod=q % split)


def random_channel(config: Config, rng: random.Random, run: Run) -> Channel:
    """Slots: short clusters, sometimes a null slot, sometimes many taps."""
    half = 1 << (config.factor_bits - 1)
    slots = []
    for _ in range(rng.randint(0, 4)):
        factor = rng.choice((-half, rng.randrange(-half, half), rng.randrange(-half, half)))
        taps = rng.choice((1, 1, 2, 3, 9))
        slots += [Slot(rng.randrange(1 << config.position_bits), rng.randrange(2), factor,
                       int(i == taps - 1)) for i in range(taps)]
    scale = rng.choice((0, 1, 300, 65535, rng.randrange(1 << 16)))
    bias = rng.choice((0, 1 << 15, rng.randrange(-(1 << 31), 1 << 31)))
    return Channel(slots or [Slot(0, 0, 0, 1)], scale, bias)


def random_jobs(config: Config, rng: random.Random, count: int, home: int) -> list[Job]:
    """RUNs and FILLs."""
    jobs = []
    for _ in range(count):
        if rng.random() < 0.25:
            rows = rng.randint(1, 4)
            jobs.append(Job(Fill(rng.randrange(config.rows - rows), rows,
                                 rng.randrange(config.codes)), []))
        else:
            run = random_run(config, rng, home)
            jobs.append(Job(run, [random_channel(config, rng, run)
                                  for _ in range(run.channels)]))
    return jobs


# ---- driving the ports ------------------------------------------------------------------------

def slot_word(config: Config, slot: Slot) -> int:
    factor = slot.factor & ((1 << config.factor_bits) - 1)
    word = slot.last << config.factor_bits | factor
    return (word << 1 | slot.negative) << config.position_bits | slot.position


def table_writes(state: State, config: Config) -> Iterator[tuple[int, int, int, int]]:
    """(kind, bank, index, data) of every entry."""
    for bank in range(2):
        for i, (address, pair) in enumerate(state.base[bank].tolist()):
            yield (Table.BASE if i % 2 else Table.RAMP), bank, i, address | pair << 24
        for i, address in enumerate(state.offset[bank].tolist()):
            yield Table.OFFSET, bank, i, address
        for i in range(config.codes):
            yield Table.DECODE, bank, i, int(state.decode[bank, i]) & 0xFFFF
            threshold = int(state.thresholds[bank, i]) & 0xFFFF
            yield Table.CLUSTER, bank, i, threshold | int(state.codes[bank, i]) << 16
            # beyond the depth: dropped
            yield Table.CLUSTER, bank, config.codes + i, 0


STROBES = (("command", "go"), ("slots", "we"), ("slots", "close"), ("heads", "scale_we"),
           ("heads", "bias_we"), ("table", "we"), ("rows", "valid"), ("rows", "re"))


class Driver:
    """A stimulus for `replay`: sets a core up, then executes jobs; slots come at random times."""

    def __init__(self, config: Config, state: State, jobs: list[Job], rest: float = 0.2,
                 resets: int = 2) -> None:
        self.config, self.state, self.jobs, self.rest = config, state, jobs, rest
        self.resets = resets
        self.cycle = 0
        self.read_rows: dict[int, int] = {}

    def __call__(self, ports: dict[str, Any], rng: random.Random) -> Iterator[None]:
        self.ports, self.rng = ports, rng
        ports["reset"].next = 1
        yield from self.wait(self.resets)
        ports["reset"].next = 0
        for name, strobe in STROBES:
            getattr(ports[name], strobe).next = 0
        yield from self.wait(1)
        yield from self.set_up()
        parser = self.parse()
        for job in self.jobs:
            yield from self.execute(job, parser)
        yield from self.read_back()
        while True:
            yield from self.wait(1)

    def wait(self, cycles: int) -> Iterator[None]:
        for _ in range(cycles):
            yield
            self.cycle += 1

    def set_up(self) -> Iterator[None]:
        table, rows, config = self.ports["table"], self.ports["rows"], self.config
        writes = list(table_writes(self.state, config))
        data = self.state.memory.reshape(config.rows, config.row_codes).tolist()
        beats, width = config.rows * config.beats_per_row, len(rows.beat)
        for i in range(max(len(writes), beats)):
            table.we.next = i < len(writes)
            if i < len(writes):
                kind, table.bank.next, table.index.next, table.data.next = writes[i]
                table.kind.next = int(kind)
            rows.valid.next = i < beats
            if i < beats:
                row, part = divmod(i, config.beats_per_row)
                rows.address.next, rows.part.next = row, part
                whole = sum(c << (config.code_bits * j) for j, c in enumerate(data[row]))
                rows.beat.next = whole >> (width * part) & ((1 << width) - 1)
            yield from self.wait(1)
        table.we.next = 0
        rows.valid.next = 0
        yield from self.wait(3)

    def execute(self, job: Job, parser: Iterator[None]) -> Iterator[None]:
        command = self.ports["command"]
        for _ in range(self.rng.choice((0, 0, 0, 5, 40))):
            next(parser)
            yield from self.wait(1)
        command.go.next = 1
        command.word.next = int.from_bytes(job.instruction.encode(), "little")
        job.taken = self.cycle
        next(parser)
        yield from self.wait(1)
        command.go.next = 0
        command.word.next = self.rng.getrandbits(512)
        while not command.ending:
            next(parser)
            yield from self.wait(1)
        job.ended = self.cycle
        next(parser)
        yield from self.wait(1)

    def parse(self) -> Iterator[None]:
        """Fills the buffers in turn; resumed once a cycle."""
        slots, heads = self.ports["slots"], self.ports["heads"]
        channels = [(job, channel) for job in self.jobs for channel in job.channels]
        for number, (job, channel) in enumerate(channels):
            while self.pause() or slots.full[number % 2]:
                yield
            heads.index.next = number % 8
            heads.scale_we.next, heads.scale.next = 1, channel.scale
            yield
            heads.scale_we.next = 0
            heads.bias_we.next, heads.bias.next = 1, channel.bias & 0xFFFFFFFF
            yield
            heads.bias_we.next = 0
            for address, slot in enumerate(channel.slots):
                while self.pause():
                    yield
                slots.we.next, slots.buffer.next, slots.address.next = 1, number % 2, address
                slots.slot.next = slot_word(self.config, slot)
                if address == len(channel.slots) - 1:
                    slots.close.next = 1
                    job.full.append(self.cycle + 1)
                yield
                slots.we.next = 0
                slots.close.next = 0
        while True:
            yield

    def pause(self) -> bool:
        return self.rng.random() < self.rest

    def read_back(self) -> Iterator[None]:
        rows = self.ports["rows"]
        yield from self.wait(2)
        for row in range(self.config.rows + 1):
            if row:
                self.read_rows[row - 1] = int(rows.out)
            rows.re.next = row < self.config.rows
            rows.read_address.next = row % self.config.rows
            yield from self.wait(1)


def expected(state: State, jobs: list[Job]) -> tuple[list[core_model.Write], list[int]]:
    """All writes and end stamps; the state's memory is changed."""
    writes, ends = [], []
    for job in jobs:
        if isinstance(job.instruction, Fill):
            new, end = core_model.fill_model(state, job.instruction, job.taken)
        else:
            new, end = core_model.run_model(state, job.instruction, job.taken, job.channels,
                                            job.full)
        writes += new
        ends.append(end)
    return writes, ends


def simulate(config: Config, driver: Driver, seed: int, before: Driver | None = None,
             cycles: int = 0) -> tuple[list[core_model.Write], dict[int, int]]:
    """Drives a core in MyHDL alone: its writes from the first job on, and the rows read back.

    before: another driver that has the core first, and is stopped by a reset after `cycles`.
    """
    forget_designs()
    writes: list[core_model.Write] = []

    @block
    def bench():
        ports = ports_of(config)
        design = core(**ports)
        stimulus = itertools.chain(
            itertools.islice(before(ports, random.Random(seed)), cycles) if before else (),
            driver(ports, random.Random(seed)))
        clk, trace = ports["clk"], ports["trace"]

        @instance
        def clocks():
            while len(driver.read_rows) < config.rows:
                assert driver.cycle < 20000, "the core hangs"
                next(stimulus)
                yield delay(1)
                if trace.write and driver.jobs[0].taken >= 0:
                    writes.extend(_traced(config, driver.cycle, trace))
                clk.next = 1
                yield delay(1)
                clk.next = 0
                yield delay(1)
            raise StopSimulation
        return design, clocks

    bench().run_sim(quiet=1)
    return writes, driver.read_rows


def _traced(config: Config, cycle: int, trace: Any) -> list[core_model.Write]:
    """One write, or two if the words lie in different rows."""
    rows: dict[int, dict[int, int]] = {}
    for cell in range(config.row_codes):
        if trace.mask[cell]:
            row = int(trace.row if cell < config.lanes else trace.odd_row)
            code = int(trace.codes) >> (config.code_bits * cell) & (config.codes - 1)
            rows.setdefault(row, {})[cell] = code
    return [(cycle, row, cells) for row, cells in rows.items()]


def unpack(config: Config, rows: dict[int, int]) -> list[int]:
    """Codes of the rows read back."""
    return [rows[r] >> (config.code_bits * c) & (config.codes - 1)
            for r in range(config.rows) for c in range(config.row_codes)]


class Part:
    """Those signals of an interface that a block alone uses (others would be unused ports)."""

    def __init__(self, interface: Any, *names: str) -> None:
        for name in names:
            setattr(self, name, getattr(interface, name))
