"""Random valid machine programs, hand-assembled: what the TLM and the RTL are fuzzed with.

    program, memory = random_program(seed, CONFIGS["m2"])

The programs use every instruction, mode and table, with tokens that keep the rules of
docs/machine.md, and no S, T or sum leaves its range. They compute nothing meaningful. They end
with a STORE of everything that they wrote, so engines are compared by their final memories.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
from kcnn.arch import isa, stream
from kcnn.arch.config import Config
from kcnn.arch.layout import pack
from kcnn.arch.program import Port, Program, Tensor, align
from numpy.typing import NDArray
from run_shapes import PHASES, Draw, Fields, Shape, draw_shape
from tensors import whole

Ints = NDArray[np.int64]

LOAD, COMPUTE, STORE = isa.Unit.LOAD, isa.Unit.COMPUTE, isa.Unit.STORE
WINDOW_ROWS = 128


def _config(name: str, lanes: int = 4, share: int = 2, drain: int = 1, code_bits: int = 4,
            port_bits: int = 32, memory_codes: int = 1024, tap_slots: int = 64,
            base_entries: int = 64, **more: int) -> Config:
    return Config(name, lanes=lanes, share=share, drain=drain, code_bits=code_bits,
                  port_bits=port_bits, memory_codes=memory_codes, tap_slots=tap_slots,
                  base_entries=base_entries, **more)


CONFIGS: dict[str, Config] = {config.name: config for config in (
    _config("m1", share=1),
    _config("m2"),
    _config("m4", share=4),
    _config("m1d2", share=1, drain=2, tap_slots=16),
    _config("m2d2", drain=2),
    _config("m2d2ab5", drain=2, code_bits=5, port_bits=64, burst=8),
    _config("m4ab5", share=4, code_bits=5),
    _config("p8m2d4", lanes=8, drain=4, port_bits=64, memory_codes=2048, factor_bits=12,
            total_bits=28, burst=16),
    _config("p8m4d2ab6", lanes=8, share=4, drain=2, code_bits=6, port_bits=128, burst=4,
            memory_codes=2048),
    _config("p16m8ab8", lanes=16, share=8, code_bits=8, value_bits=11, sum_bits=18, port_bits=64,
            memory_codes=4096, tap_slots=32),
    _config("p16m16", lanes=16, share=16, port_bits=128, memory_codes=4096, burst=8),
    Config.preset("tiny"),
    Config.preset("small"),
)}
SMALL = ("m1", "m2", "m4", "m1d2", "m2d2", "m2d2ab5", "m4ab5")


def random_program(seed: int, config: Config, runs: int = 3, channels: int = 6,
                   positions: int = 90) -> tuple[Program, NDArray[np.uint8]]:
    """A program of `runs` RUNs (and what belongs to them) and the memory that it starts with.

    channels: most channels of a RUN; positions: about the most raster positions of a RUN.
    The same arguments give the same bytes. The input is what the first LOAD reads, the output what
    the last STORE writes; there are no layers.
    """
    rng = np.random.default_rng([seed, runs, channels, positions])
    builder = _Builder(rng, config, channels, positions)
    builder.prologue()
    for _ in range(runs):
        builder.between()
        builder.run()
    builder.epilogue()
    return builder.finish()


def smudged(data: NDArray[np.uint8], config: Config) -> NDArray[np.uint8]:
    """The same rows with other bits above the codes, where a code is smaller than its byte."""
    spare = 256 - config.codes if config.codes_per_byte == 1 else 0
    return data | np.random.default_rng(len(data)).integers(0, 256, data.shape, np.uint8) & spare


# ---- instructions and their order --------------------------------------------------------


@dataclasses.dataclass
class _Step:
    """An instruction before its tokens and addresses are known.

    where: the section that `address` (or `stream`) is relative to: "streams", "tables", "data".
    """

    kind: type[isa.Instruction]
    fields: Fields
    where: str = ""

    @property
    def unit(self) -> isa.Unit | None:
        return self.kind.UNIT


class _Order:
    """Sets token flags so that a step starts after given earlier steps have ended.

    The n-th token popped from a counter is the n-th pushed, since a token is pushed only when the
    step that pops it is added.
    """

    def __init__(self) -> None:
        self.steps: list[_Step] = []
        self.waited: dict[tuple[isa.Unit, isa.Unit], int] = {}

    def add(self, step: _Step, after: Iterable[int]) -> int:
        """Append the step; it will wait for the steps `after`, all of its own or a next unit."""
        for unit in {self.steps[i].unit for i in after} - {step.unit}:
            assert unit is not None and step.unit is not None
            first = max(i for i in after if self.steps[i].unit == unit)
            if first <= self.waited.get((unit, step.unit), -1):
                continue
            self.waited[unit, step.unit] = first
            assert abs(unit - step.unit) == 1
            forwards = unit < step.unit
            self.steps[first].fields["push_next" if forwards else "push_prev"] = 1
            step.fields["pop_prev" if forwards else "pop_next"] = 1
        self.steps.append(step)
        return len(self.steps) - 1


class _Builder(Draw):
    """Collects the steps, sections and the state of the machine's tables."""

    def __init__(self, rng: np.random.Generator, config: Config, channels: int,
                 positions: int) -> None:
        super().__init__(rng, config, channels, positions)
        self.order = _Order()
        self.sections = {"streams": bytearray(), "tables": bytearray(), "data": bytearray()}
        self.window_rows = min(config.rows, WINDOW_ROWS)
        self.window_row = int(rng.integers(0, config.rows - self.window_rows + 1))
        self.inputs: list[tuple[int, int, int]] = []             # address, row, rows
        self.last_memory = -1
        self.last_of: dict[isa.Unit, int] = {}
        self.written: dict[tuple[isa.Table, int], int] = {}      # table bank -> its last TABLE
        self.used: dict[tuple[isa.Table, int], int] = {}         # table bank -> its last RUN
        self.base: list[dict[int, tuple[int, int]]] = [{}, {}]   # bank: entry -> (address, pair)
        self.offset: list[dict[int, int]] = [{}, {}]
        self.value_limit = [0, 0]                                # of a decode pair

    # ---- helpers
    def put(self, section: str, data: bytes) -> int:
        """Append to a section at a multiple of a beat and of 16 bytes; its relative address."""
        area = self.sections[section]
        unit = max(isa.UNIT_BYTES, self.config.port_bytes)
        area.extend(bytes(-len(area) % unit))
        at = len(area)
        area.extend(data)
        return at

    def add(self, what: type[isa.Instruction], /, after: Iterable[int] = (), where: str = "",
            memory: bool = False, **fields: int) -> int:
        """Append an instruction; memory users are ordered among one another."""
        step = _Step(what, dict(fields), where)
        after = {i for i in after if i >= 0}
        if memory and self.last_memory >= 0:
            last = self.order.steps[self.last_memory].unit
            if {last, step.unit} == {LOAD, STORE}:
                self.fill()
            after.add(self.last_memory)
        for neighbour in (LOAD, COMPUTE, STORE):
            assert step.unit is not None
            if abs(neighbour - step.unit) == 1 and self.chance(0.1):
                after.add(self.last_of.get(neighbour, -1))
        index = self.order.add(step, {i for i in after if i >= 0})
        if memory:
            self.last_memory = index
        self.last_of[step.unit] = index
        return index

    # ---- instructions
    def rows(self) -> tuple[int, int]:
        """Random rows of the window."""
        count = self.few(self.window_rows)
        return self.window_row + self.pick(0, self.window_rows - count), count

    def fill(self) -> None:
        row, rows = self.rows()
        self.add(isa.Fill, memory=True, row=row, rows=min(rows, 20),
                 code=self.pick(0, self.config.codes - 1))

    def load(self, row: int, rows: int) -> None:
        """Rows of an input of their own."""
        codes = self.rng.integers(0, self.config.codes, rows * self.config.row_codes)
        at = self.put("data", smudged(pack(codes, self.config), self.config).tobytes())
        self.add(isa.Load, where="data", memory=True, address=at, row=row, rows=rows)
        self.inputs.append((at, row, rows))

    def store(self, row: int, rows: int) -> int:
        at = self.put("data", bytes(rows * self.config.row_bytes))
        self.add(isa.Store, where="data", memory=True, address=at, row=row, rows=rows)
        return at

    def prologue(self) -> None:
        """Give every cell of the window a code."""
        first = self.pick(1, self.window_rows)
        self.load(self.window_row, first)
        if first < self.window_rows:
            self.add(isa.Fill, memory=True, row=self.window_row + first,
                     rows=self.window_rows - first, code=self.pick(0, self.config.codes - 1))

    def between(self) -> None:
        """Some memory traffic in front of a RUN."""
        while self.chance(0.4):
            row, rows = self.rows()
            what = self.pick(0, 3)
            if what == 0:
                self.fill()
            elif what == 1:
                self.load(row, rows)
            elif what == 2:
                self.store(row, rows)
            else:
                at = self.store(row, rows)
                self.fill()
                self.add(isa.Load, where="data", memory=True, address=at, row=row, rows=rows)

    def epilogue(self) -> None:
        """Store what was written."""
        at = self.store(self.window_row, self.window_rows)
        self.output = at, self.window_row, self.window_rows

    # ---- tables
    def table(self, kind: isa.Table, bank: int, first: int, words: Ints) -> None:
        """One or two TABLE instructions that write `words` from entry `first` on."""
        cut = self.pick(1, len(words) - 1) if len(words) > 1 and self.chance(0.3) else len(words)
        for low, high in ((0, cut), (cut, len(words))):
            if low < high:
                data = np.asarray(words[low:high]).astype("<u4").tobytes()
                self.table_step(kind, bank, kind=int(kind), first=first + low, count=high - low,
                                address=self.put("tables", data))

    def table_step(self, target: isa.Table, bank: int, **fields: int) -> None:
        ramp = fields["kind"] == isa.Table.RAMP
        self.written[target, bank] = self.add(
            isa.TableLoad, after=[self.used.get((target, bank), -1)],
            where="" if ramp else "tables", bank=bank, **fields)

    def decode_pair(self, pair: int) -> None:
        config = self.config
        limit = 1 << self.pick(1, config.value_bits - 1)
        values = self.rng.integers(-limit, limit, config.codes)
        self.value_limit[pair] = limit
        self.table(isa.Table.DECODE, pair, 0, values & 0xFFFF)

    def cluster_bank(self, bank: int) -> None:
        codes = self.rng.integers(0, self.config.codes, self.config.codes)
        limit = 1 << self.pick(3, 10)
        thresholds = np.sort(self.rng.integers(-limit, limit, self.config.codes))
        thresholds[0] = self.pick(-1024, 1023)
        self.table(isa.Table.CLUSTER, bank, 0, thresholds & 0xFFFF | codes << 16)

    def base_bank(self, bank: int, low: int, high: int, origin: int) -> None:
        """Entries whose address + origin lies from low to high, modulo the memory."""
        size, entries = self.config.memory_codes, self.config.base_entries
        count = self.few(min(entries, 40 if self.chance(0.7) else entries))
        pairs = self.rng.integers(0, 2, count) if self.chance(0.5) else np.full(
            count, self.pick(0, 1))
        if self.chance(0.4):
            step = (high - low) // count
            step = self.pick(-step, step)
            start = low if step >= 0 else high
            addresses = start - origin + step * np.arange(count)
            pairs = np.full(count, pairs[0])
            self.table_step(isa.Table.BASE, bank, kind=int(isa.Table.RAMP), first=0, count=count,
                            start=int(addresses[0] % size), step=step % size, pair=int(pairs[0]))
        else:
            addresses = self.rng.integers(low, high + 1, count) - origin
            self.table(isa.Table.BASE, bank, 0, addresses % size | pairs << 24)
        for entry in range(count):
            self.base[bank][entry] = int(addresses[entry] % size), int(pairs[entry])

    def offset_bank(self, bank: int, kernel_bits: int, slack: int) -> None:
        """Offsets of at most `slack` codes."""
        size = self.config.memory_codes
        count = self.pick(1, 1 << kernel_bits)
        offsets = self.rng.integers(0, slack + 1, count)
        if self.chance(0.2):
            offsets = -offsets
        self.table(isa.Table.OFFSET, bank, 0, offsets % size)
        for entry in range(count):
            self.offset[bank][entry] = int(offsets[entry] % size)

    # ---- RUN
    def run(self) -> None:
        """Tables, stream and a RUN whose destination and source do not overlap."""
        config, size = self.config, self.config.memory_codes
        mode = isa.Mode(self.pick(0, 2))
        window = self.window_rows * config.row_codes
        shape = self.shape(mode, window)
        dst, extent = shape.destination
        start = self.window_row * config.row_codes
        circular = window == size
        at = self.pick(0, window - (0 if circular else extent))
        low, high = self.source_range(at, extent, window, circular)
        origin = self.pick(0, size - 1)
        fields = self.tables(low + start, high + start, shape.extent, origin, mode)
        positions = self.legal(fields, start, low, high, shape.extent, origin)
        records = self.channels_of(positions, fields, mode, shape.channels)
        data = stream.encode_stream(records)
        _, used = stream.decode_stream(data, len(records))
        if self.chance(0.2) and len(data) - used <= stream.UNIT:
            data += bytes(stream.UNIT)
        fields.update(shape.fields, stream=self.put("streams", data),
                      stream_units=len(data) // stream.UNIT, channels=shape.channels,
                      mode=int(mode), origin=origin)
        fields.update({name: value % size for name, value in dst.items() if name not in PHASES})
        fields.update({name: dst[name] for name in PHASES})
        fields["dst"] = (fields["dst"] + start + at) % size
        banks = self.banks(fields, records)
        index = self.add(isa.Run, after=[self.written[b] for b in banks], where="streams",
                         memory=True, **fields)
        self.used.update(dict.fromkeys(banks, index))

    def source_range(self, at: int, extent: int, window: int, circular: bool) -> tuple[int, int]:
        """First and last cell (relative to the window) beside the destination, the larger side."""
        if circular:
            return at + extent, at + window - 1
        if at > window - at - extent:
            return 0, at - 1
        return at + extent, window - 1

    def shape(self, mode: isa.Mode, window: int) -> Shape:
        """Draw until source and destination fit the window."""
        while True:
            shape = draw_shape(self, mode)
            if shape.destination[1] + shape.extent * 2 + 16 < window // 2:
                return shape

    def tables(self, low: int, high: int, extent: int, origin: int, mode: isa.Mode) -> Fields:
        """Load (or reuse) tables; the fields of the RUN that name them."""
        kernel_bits = self.pick(0, 5)
        banks = [self.pick(0, 1) for _ in range(3)]
        slack = self.pick(0, high - low + 1 - extent) // 2
        for pair in (0, 1):
            if not self.value_limit[pair] or self.chance(0.5):
                self.decode_pair(pair)
        if not self.offset[banks[1]] or self.chance(0.6):
            self.offset_bank(banks[1], kernel_bits, slack)
        self.base_bank(banks[0], low, high + 1 - extent - slack, origin)
        if mode == isa.Mode.CODE and (
                (isa.Table.CLUSTER, banks[2]) not in self.written or self.chance(0.6)):
            self.cluster_bank(banks[2])
        return {"kernel_bits": kernel_bits, "base_bank": banks[0], "offset_bank": banks[1],
                "cluster_bank": banks[2]}

    def legal(self, fields: Fields, start: int, low: int, high: int, extent: int,
              origin: int) -> Ints:
        """Positions whose reads stay from low to high (relative to the window)."""
        size, kernel_bits = self.config.memory_codes, fields["kernel_bits"]
        found = []
        for entry, (address, _) in self.base[fields["base_bank"]].items():
            for kernel, offset in self.offset[fields["offset_bank"]].items():
                first = (address + offset + origin - start - low) % size
                if kernel < 1 << kernel_bits and first + extent <= high - low + 1:
                    found.append(entry << kernel_bits | kernel)
        return np.array(sorted(found), np.int64)

    def channels_of(self, positions: Ints, fields: Fields, mode: isa.Mode,
                    channels: int) -> list[stream.ChannelStream]:
        """Random records within the tap slots and the widths of S and T."""
        records = []
        for _ in range(channels):
            slots = self.few(self.config.tap_slots)
            slots = self.config.tap_slots if self.chance(0.05) else min(slots, 40)
            clusters = []
            while slots and len(positions) and not self.chance(0.15):
                taps = self.cluster_taps(positions, slots, mode)
                slots -= len(taps)
                negative = self.rng.random(len(taps)) < self.rng.random()
                clusters.append(stream.Cluster(self.factor(), taps, negative))
            scale = self.pick(0, 65535) >> self.pick(0, 15)
            bias = self.pick(-(1 << 31), (1 << 31) - 1) >> self.pick(0, 12)
            records.append(stream.ChannelStream(scale, bias, tuple(self.bounded(clusters, mode))))
        return records

    def factor(self) -> int:
        limit = 1 << (self.config.factor_bits - 1)
        return 1 if self.chance(0.1) else self.pick(-limit, limit - 1)

    def cluster_taps(self, positions: Ints, slots: int, mode: isa.Mode) -> Ints:
        most = min(slots, len(positions))
        count = 1 if self.chance(0.3) else self.pick(1, most)
        if mode != isa.Mode.PASS:
            count = min(count, (1 << (self.config.sum_bits - 1)) // max(self.value_limit) - 1)
        return np.sort(self.rng.choice(positions, max(1, count), replace=False))

    def bounded(self, clusters: list[stream.Cluster], mode: isa.Mode) -> list[stream.Cluster]:
        """Factors made smaller until T stays in its width whatever the codes are."""
        value = max(self.value_limit)
        limit = (1 << (self.config.total_bits - 1)) - 1

        def worst() -> int:
            taps = [1 if mode == isa.Mode.PASS else len(c.positions) for c in clusters]
            return sum(abs(c.factor) * n * value for c, n in zip(clusters, taps, strict=True))
        while worst() > limit:
            clusters = [dataclasses.replace(c, factor=c.factor // 2 if c.factor > 0
                                            else -(-c.factor // 2)) for c in clusters]
        return clusters

    def banks(self, fields: Fields, records: list[stream.ChannelStream]
              ) -> set[tuple[isa.Table, int]]:
        """The table banks that the RUN reads."""
        base = self.base[fields["base_bank"]]
        taps = {0} | {int(p) for c in records for cluster in c.clusters for p in cluster.positions}
        pairs = {base[p >> fields["kernel_bits"]][1] for p in taps}
        out = {(isa.Table.DECODE, pair) for pair in pairs}
        out |= {(isa.Table.BASE, fields["base_bank"]), (isa.Table.OFFSET, fields["offset_bank"])}
        if fields["mode"] == isa.Mode.CODE:
            out.add((isa.Table.CLUSTER, fields["cluster_bank"]))
        return out

    # ---- result
    def finish(self) -> tuple[Program, NDArray[np.uint8]]:
        """Resolve the addresses and lay out the memory."""
        code_bytes = sum(s.kind.BYTES for s in self.order.steps) + isa.End.BYTES
        at = {"streams": align(code_bytes)}
        at["tables"] = align(at["streams"] + len(self.sections["streams"]))
        at["data"] = align(at["tables"] + len(self.sections["tables"]))
        instructions = tuple(_resolved(step, at) for step in self.order.steps) + (isa.End(),)
        size = align(at["data"] + len(self.sections["data"]))
        areas = (*self.inputs, self.output)
        tensors = tuple(_rows(f"rows{i}", self.config, row, rows)
                        for i, (_, row, rows) in enumerate(areas))
        ports = tuple(Port(f"rows{i}", i, at["data"] + address)
                      for i, (address, _, _) in enumerate(areas))
        program = Program(self.config, instructions, bytes(self.sections["streams"]),
                          bytes(self.sections["tables"]), tensors, ports[:-1], ports[-1:], (), size)
        memory = np.zeros(size, np.uint8)
        for first, data in ((0, isa.encode(list(instructions))),
                            *((at[name], bytes(self.sections[name])) for name in at)):
            memory[first:first + len(data)] = np.frombuffer(data, np.uint8)
        return program, memory


def _rows(name: str, config: Config, row: int, rows: int) -> Tensor:
    """Whole rows as a tensor of one channel."""
    width = config.row_codes
    return whole(name, 1.0, tuple(range(config.codes)), base=row * width, first_row=row, rows=rows,
                 images=1, channels=1, height=rows, width=width, channel=0, plane=0, image=0,
                 row=width, column=1)


def _resolved(step: _Step, at: dict[str, int]) -> isa.Instruction:
    fields = dict(step.fields)
    if step.where:
        name = "stream" if step.kind is isa.Run else "address"
        fields[name] = (fields[name] + at[step.where]) // isa.UNIT_BYTES
    return step.kind(**fields)
