"""Every access of a program in program order: is it ordered, in range and of something written?

The rule of docs/machine.md: whatever the load or store unit does to the activation memory is
ordered by tokens against every RUN and FILL, and LOAD against STORE. For tables the same holds
entry by entry, and for external memory byte by byte. Streams and the entries of tables are
constants there, since `check.py` lets no STORE reach them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from . import effects, tables
from .errors import FormatError
from .isa import UNIT_BYTES, Fill, Instruction, Load, Mode, Run, Store, Table, TableLoad, Unit
from .order import Order
from .program import Program
from .reach import distinct
from .region import TABLES, Region, Space

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Visit = Callable[[int, Instruction, "Operands | None"], None]
BANKS = 2
UNWRITTEN = -1
VERBS = {Unit.LOAD: "loads", Unit.STORE: "stores"}


def entries(program: Program, ins: TableLoad) -> Ints:
    """The words that a TABLE writes, as external memory holds them (RAMP: as BASE entries)."""
    if ins.kind == Table.RAMP:
        addresses = ins.start + np.arange(ins.count, dtype=np.int64) * ins.step
        return tables.base(addresses % program.config.memory_codes, ins.pair)
    first = ins.address * UNIT_BYTES - program.table_base
    return np.frombuffer(program.tables, "<u4", ins.count, first).astype(np.int64)


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """The taps of a stream in the memory: base + offset and decode pair of each, (T,); `cells` are
    the different starts. RUNs of one stream that find the same words share one."""

    starts: Ints
    pairs: Ints
    cells: Ints


@dataclasses.dataclass(frozen=True)
class Operands:
    """What a RUN finds in the tables.

    decode, clusters: the words of the pairs, (2, codes), and of the RUN's clustering table,
    (codes,); UNWRITTEN where none is.
    """

    taps: Found
    decode: Ints
    clusters: Ints


NO_TAPS = Found(*np.zeros((3, 0), np.int64))


class Accesses:
    """Walks a program's instructions and refuses the first access that breaks a rule."""

    def __init__(self, program: Program, order: Order, flats: Mapping[int, effects.Flat]) -> None:
        config = program.config
        self.program, self.order, self.flats = program, order, flats
        self.memory = np.zeros(config.memory_codes, bool)
        shapes = {space: (BANKS, tables.depth(Table[space.name], config)) for space in TABLES}
        self.words = {k: np.full(shape, UNWRITTEN, np.int64) for k, shape in shapes.items()}
        # index of the last instruction that wrote or read an entry
        self.writer = {k: np.full(shape, UNWRITTEN, np.int64) for k, shape in shapes.items()}
        self.reader = {k: np.full(shape, UNWRITTEN, np.int64) for k, shape in shapes.items()}
        # external data by the bytes at which rows can begin: the last LOAD and STORE of each, and
        # whether it holds something; `stored` has the inputs too
        self.grain = min(UNIT_BYTES, config.row_bytes)
        units = -(-(program.memory_bytes - program.data_base) // self.grain)
        self.moved = {unit: np.full(units, UNWRITTEN, np.int32)
                      for unit in (Unit.LOAD, Unit.STORE)}
        self.stored = np.zeros(units, bool)
        for port in program.inputs:
            rows = program.tensors[port.tensor].outside(port.address, config).layout.rows
            self.stored[self._grains(port.address, rows * config.row_bytes)] = True
        self.last: dict[Unit, int] = {}
        self.used: dict[tuple[int, int], tuple[Ints, Ints]] = {}
        self.found: dict[tuple[int, int, bytes, bytes], Found] = {}
        self.bounded: set[tuple[Found, bool, bytes]] = set()

    def walk(self, visit: Visit | None = None) -> None:
        """All instructions; raises FormatError. visit: called with each one that is in order."""
        for index, ins in enumerate(self.program.instructions):
            operands = None
            if isinstance(ins, TableLoad):
                self._table(index, ins)
            elif ins.UNIT is not None:
                if isinstance(ins, Load | Store):
                    self._outside(index, ins)
                self._ordered(index, ins.UNIT)
                operands = self._memory(index, ins)
            if visit is not None:
                visit(index, ins, operands)

    def _refuse(self, index: int, sentence: str) -> FormatError:
        name = self.program.instructions[index].OP.name
        return FormatError(f"instruction {index} ({name}): {sentence}; recompile the network")

    # ---- external memory ----------------------------------------------------------------
    def _outside(self, index: int, ins: Load | Store) -> None:
        """What the other unit moved here before has ended when this starts."""
        region, = self._regions(ins, Space.EXTERNAL)
        units = self._grains(region.first, region.end - region.first)
        other = Unit.STORE if isinstance(ins, Load) else Unit.LOAD
        theirs = self.moved[other][units]
        last = int(theirs.max(initial=UNWRITTEN))
        if last != UNWRITTEN and not self.order.ended(last, other, index):
            byte = self._byte(units, theirs == last)
            raise self._refuse(index, f"{VERBS[ins.UNIT]} external byte {byte} without a token "
                                      f"that orders it after instruction {last} ({other.name}), "
                                      f"which {VERBS[other]} it")
        self.moved[ins.UNIT][units] = index
        if isinstance(ins, Store):
            self.stored[units] = True
        elif not self.stored[units].all():
            byte = self._byte(units, ~self.stored[units])
            raise self._refuse(index, f"loads external byte {byte}, which is of no input and which "
                                      "no instruction before it stored")

    def _grains(self, first: int, size: int) -> slice:
        """Where bytes of external data, from byte `first` on, are in `moved` and `stored`."""
        start = self.program.data_base
        return slice(max(0, first - start) // self.grain,
                     max(0, first + size - start + self.grain - 1) // self.grain)

    def _byte(self, units: slice, where: Mask) -> int:
        """The first byte of these for which it is so."""
        return self.program.data_base + self.grain * (units.start + int(np.argmax(where)))

    def _regions(self, ins: Instruction, *spaces: Space) -> list[Region]:
        """What an instruction touches of these memories."""
        return [region for regions in effects.regions(ins, self.program.config)
                for region in regions if region.space in spaces]

    # ---- order of the units on the activation memory -------------------------------------
    def _ordered(self, index: int, unit: Unit) -> None:
        """All that used the memory before, in other units, has ended when this starts.

        Instructions of one unit end in order, so the last one of each other unit stands for all.
        """
        for other, before in self.last.items():
            if other != unit and not self.order.ended(before, other, index):
                name = self.program.instructions[before].OP.name
                raise self._refuse(index, "uses the activation memory without a token that "
                                          f"orders it after instruction {before} ({name})")
        self.last[unit] = index

    # ---- cells --------------------------------------------------------------------------
    def _memory(self, index: int, ins: Instruction) -> Operands | None:
        if isinstance(ins, Run):
            return self._run(index, ins)
        assert isinstance(ins, Load | Store | Fill)
        rows, = self._regions(ins, Space.ROWS)
        cells = rows.items(self.program.config.row_codes)
        if isinstance(ins, Store):
            self._written(index, "stores", np.flatnonzero(~self.memory[cells]) + cells.start)
        else:
            self.memory[cells] = True
        return None

    def _written(self, index: int, verb: str, missing: Ints) -> None:
        if missing.size:
            raise self._refuse(index, f"{verb} address {int(missing[0])}, which no instruction "
                                      "before it wrote")

    def _run(self, index: int, ins: Run) -> Operands:
        config, flat = self.program.config, self.flats[index]
        if effects.outputs(ins) > config.memory_codes:
            raise self._refuse(index, f"writes {effects.outputs(ins)} codes, the activation "
                                      f"memory holds {config.memory_codes}")
        operands = self._operands(index, ins, flat)
        read = effects.reads(ins, operands.taps.cells, config.memory_codes)
        self._written(index, "reads", np.flatnonzero(read & ~self.memory))
        addresses = effects.writes(ins, config.memory_codes).ravel()
        written = np.zeros(config.memory_codes, bool)
        written[addresses] = True
        if np.count_nonzero(written) != addresses.size:
            twice = int(np.argmax(np.bincount(addresses)))
            raise self._refuse(index, f"writes address {twice} more than once")
        if (read & written).any():
            raise self._refuse(index, f"reads address {int(np.argmax(read & written))}, which it "
                                      "also writes")
        self.memory |= written
        return operands

    # ---- tables -------------------------------------------------------------------------
    def _table(self, index: int, ins: TableLoad) -> None:
        region, = self._regions(ins, *TABLES)
        place = region.part, region.items()
        reader = int(self.reader[region.space][place].max())
        if reader >= 0 and not self.order.ended(reader, Unit.COMPUTE, index):
            raise self._refuse(index, f"writes {region.space.name} entries of bank {ins.bank} "
                                      "without a token that orders it after instruction "
                                      f"{reader} (RUN), which reads them")
        self.words[region.space][place] = entries(self.program, ins)
        self.writer[region.space][place] = index

    def _use(self, index: int, space: Space, bank: int, used: Ints | slice) -> Ints:
        """The words of the entries that a RUN reads, after the checks."""
        words, writer = self.words[space][bank][used], self.writer[space][bank][used]
        missing = np.flatnonzero(writer < 0)
        if missing.size:
            entry = int(np.arange(self.words[space].shape[1])[used][missing[0]])
            raise self._refuse(index, f"reads {space.name} entry {entry} of bank {bank}, which no "
                                      "instruction before it wrote")
        last = int(writer.max())
        if not self.order.ended(last, Unit.LOAD, index):
            raise self._refuse(index, f"reads {space.name} entries of bank {bank} without a token "
                                      f"that orders it after instruction {last} (TABLE)")
        self.reader[space][bank][used] = index
        return words

    def _operands(self, index: int, ins: Run, flat: effects.Flat) -> Operands:
        """What the RUN finds in the tables; thresholds and sums are checked on the way."""
        clusters = self.words[Space.CLUSTER][ins.cluster_bank]
        taps = NO_TAPS
        if ins.mode == Mode.CODE:
            words = self._use(index, Space.CLUSTER, ins.cluster_bank, slice(None))
            thresholds = tables.value(words[1:])
            if (np.diff(thresholds) < 0).any():
                raise self._refuse(index, f"the thresholds of CLUSTER bank {ins.cluster_bank} do "
                                          "not ascend")
        if flat.positions.size:
            taps = self._taps(index, ins, flat)
            self._sums(index, ins, flat, taps)
        return Operands(taps, self.words[Space.DECODE], clusters)

    def _taps(self, index: int, ins: Run, flat: effects.Flat) -> Found:
        """Where the words of the tables put the stream's taps."""
        stream = id(flat), ins.kernel_bits
        if stream not in self.used:
            self.used[stream] = (distinct(flat.positions >> ins.kernel_bits),
                                 distinct(flat.positions & (1 << ins.kernel_bits) - 1))
        entries, offsets = self.used[stream]
        words = (self._use(index, Space.BASE, ins.base_bank, entries).tobytes(),
                 self._use(index, Space.OFFSET, ins.offset_bank, offsets).tobytes())
        key = *stream, *words
        if key not in self.found:
            self.found[key] = self._found(ins, flat)
        return self.found[key]

    def _found(self, ins: Run, flat: effects.Flat) -> Found:
        base = self.words[Space.BASE][ins.base_bank][flat.positions >> ins.kernel_bits]
        offset = flat.positions & (1 << ins.kernel_bits) - 1
        starts = tables.address(base) + self.words[Space.OFFSET][ins.offset_bank][offset]
        cells = distinct(starts % self.program.config.memory_codes)
        return Found(starts.astype(np.int32), tables.pair(base).astype(np.int8), cells)

    def _sums(self, index: int, ins: Run, flat: effects.Flat, taps: Found) -> None:
        """No S and no T can leave its width, whatever the codes are."""
        pairs = [p for p in range(BANKS) if (taps.pairs == p).any()]
        words = [self._use(index, Space.DECODE, p, slice(None)) for p in pairs]
        key = taps, ins.mode == Mode.PASS, b"".join(word.tobytes() for word in words)
        if key not in self.bounded:
            self.bounded.add(key)
            self._bound(index, ins, flat, taps.pairs, dict(zip(pairs, words, strict=True)))

    def _bound(self, index: int, ins: Run, flat: effects.Flat, pair: Ints, decode: dict[int, Ints]
               ) -> None:
        config = self.program.config
        least, most = np.zeros((2, BANKS), np.int64)
        for p, words in decode.items():
            values = tables.value(words)
            least[p], most[p] = min(0, values.min()), max(0, values.max())
        if ins.mode == Mode.PASS:           # any tap of a cluster can have the maximum
            least[:], most[:] = least.min(), most.max()
        low = np.where(flat.negative, -most[pair], least[pair])
        high = np.where(flat.negative, -least[pair], most[pair])
        s_low, s_high, t_low, t_high = effects.largest_sums(
            flat, low, high, ins.mode == Mode.PASS)
        for name, lows, highs, bits in (("cluster sum S", s_low, s_high, config.sum_bits),
                                        ("total T", t_low, t_high, config.total_bits)):
            worst = int(max(highs.max(), -1 - lows.min()))
            if worst >> (bits - 1):
                raise self._refuse(index, f"a {name} can reach {worst}, which {bits} bits do not "
                                          "hold")
