"""Jobs to instructions: tables into alternating banks, tokens, streams, external memory.

The load unit runs ahead: what a RUN needs is loaded into banks that the RUN before does not use, so
it waits only for the last RUN that did. RUNs of equal tables load nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...arch import fixed, isa, tables
from ...arch.config import Config
from ...arch.meta import Meta
from ...arch.program import ALIGN, Layer, Piece, Port, Program, Tensor, align
from ...arch.stream import ChannelStream, Cluster, encode_stream
from ..errors import CompileError
from ..ir.quantised import Radix
from ..lower.lowered import Ints, Value
from ..lower.prove import decode_table
from .schedule import Job, Schedule, areas, geometry, kind
from .tables import Banks, Blobs, TablePlan


@dataclasses.dataclass
class _Slot:
    """An instruction to be: its class and operands; addresses in `fixups` are still relative."""

    kind: type[isa.Instruction]
    fields: dict[str, int]
    section: str = ""


def emit(plan: Schedule, config: Config, batch: int, meta: Meta) -> Program:
    """The program: instructions, streams, tables, descriptors."""
    return _Emitter(plan, config, batch).program(meta)


class _Emitter:
    """The state of one call."""

    def __init__(self, plan: Schedule, config: Config, batch: int) -> None:
        self.plan, self.config = plan, config
        self.net = plan.placed.split.net
        self.slots: list[_Slot] = []
        unit = max(isa.UNIT_BYTES, config.port_bytes)
        self.streams, self.tables = Blobs(unit), Blobs(unit)
        self.banks = Banks(config)
        self.runs: list[int] = []            # slot of every RUN so far
        self.waited = -1                     # last RUN that the load unit has waited for
        self.stream_at: dict[tuple[int, int, int], tuple[int, int]] = {}
        self.position_of: dict[tuple[int, int], Ints] = {}

    def program(self, meta: Meta) -> Program:
        for _, value in self.net.inputs:
            self._transfer(isa.Load, value)
        self.slots[-1].fields["push_next"] = 1
        first_compute = len(self.slots)
        owned: dict[int, list[int]] = {}
        started: set[int] = set()
        for job in self.plan.jobs:
            if job.layer not in started and job.layer in self.plan.fills:
                self._fill(self.plan.fills[job.layer])
            started.add(job.layer)
            owned.setdefault(job.layer, []).append(self._job(job))
        self._first_waits(first_compute)
        self._stores()
        self.slots.append(_Slot(isa.End, {}))
        return self._finish(owned, meta)

    # ---- transfers and fills ------------------------------------------------------------------
    def _transfer(self, kind: type[isa.Load] | type[isa.Store], value: int) -> None:
        layout = self.plan.placed.layouts[value]
        section = f"{kind.OP.name}:{len(self.slots)}"
        self.slots.append(_Slot(kind, {"address": 0, "row": layout.first_row,
                                       "rows": layout.rows}, section))

    def _stores(self) -> None:
        self.slots[self.runs[-1]].fields["push_next"] = 1
        first = len(self.slots)
        for _, value in self.net.outputs:
            self._transfer(isa.Store, value)
        self.slots[first].fields["pop_prev"] = 1

    def _fill(self, value: int) -> None:
        layout = self.plan.placed.layouts[value]
        self.slots.append(_Slot(isa.Fill, {"row": layout.first_row, "rows": layout.rows,
                                           "code": layout.pad}))

    def _first_waits(self, first: int) -> None:
        """The first FILL or RUN waits for the inputs; a RUN already takes the token of its tables.

        Then the token of the tables, given later by the same unit, stands for that of the inputs.
        """
        compute = next(s for s in self.slots[first:] if s.kind.UNIT == isa.Unit.COMPUTE)
        if compute.fields.get("pop_prev"):
            self.slots[first - 1].fields["push_next"] = 0
        compute.fields["pop_prev"] = 1

    # ---- RUNs -------------------------------------------------------------------------------
    def _job(self, job: Job) -> int:
        """Emit the tables and the RUN of a job; the RUN's place among the instructions."""
        layer = self.net.layers[job.layer]
        plans, fields = self._tables(job, layer)
        for plan in sorted(plans, key=lambda p: p.after):
            self._table(plan)
        stream, units = self._stream(job, layer)
        fields |= {"stream": stream, "stream_units": units, "channels": job.end - job.first,
                   "kernel_bits": self.plan.addressing[job.layer].kernel_bits}
        if plans:
            self.slots[-1].fields["push_next"] = 1
            fields["pop_prev"] = 1
        self.slots.append(_Slot(isa.Run, fields, "stream"))
        self.runs.append(len(self.slots) - 1)
        return self.runs[-1]

    def _tables(self, job: Job, layer: Layer) -> tuple[list[TablePlan], dict[str, int]]:
        number = len(self.runs)
        values = [self.net.values[s.tensor] for s in layer.sources]
        wanted = {key: _decode_words(values[key[0]], key[1], layer, self.config)
                  for key in _planes(values)}
        pairs, plans = self._pairs(job, wanted, number)
        found = self.plan.addressing[job.layer].tables(job.entries, job.phase, pairs)
        fields = geometry(job, self.plan, found.origin, self.config)
        fields |= kind(layer, values[0].order)
        base = tables.base(found.base, found.pairs)
        for name, table, words in (("base_bank", isa.Table.BASE, base),
                                   ("offset_bank", isa.Table.OFFSET, found.offsets)):
            fields[name], more = self.banks.place(table, words, number)
            plans += more
        fields["cluster_bank"] = 0
        if layer.mode == isa.Mode.CODE:
            fields["cluster_bank"], more = self.banks.place(
                isa.Table.CLUSTER, _cluster_words(layer), number)
            plans += more
        return plans, fields

    def _pairs(self, job: Job, wanted: dict[tuple[int, int], Ints], number: int
               ) -> tuple[dict[tuple[int, int], int], list[TablePlan]]:
        contents: list[Ints] = []
        which = {}
        for key, words in wanted.items():
            same = next((i for i, c in enumerate(contents) if np.array_equal(c, words)), None)
            if same is None:
                same = len(contents)
                contents.append(words)
            which[key] = same
        if len(contents) > self.config.table_pairs:
            raise CompileError(
                f"layer {self.net.paths[job.layer]}: it reads tensors of {len(contents)} different "
                f"codebooks or planes at once, and the machine has table_pairs = "
                f"{self.config.table_pairs}; put a layer between an input kept in planes and an "
                "addition or concatenation")
        pairs, plans = self.banks.place_pairs(contents, number)
        return {key: pairs[i] for key, i in which.items()}, plans

    def _table(self, plan: TablePlan) -> None:
        fields = {"kind": int(plan.kind), "bank": plan.bank, "first": plan.first,
                  "count": plan.count, **plan.ramp}
        section = ""
        if plan.kind != isa.Table.RAMP:
            fields["address"] = self.tables.add(plan.words.astype("<u4").tobytes())
            section = "table"
        if plan.after > self.waited:
            self.waited = plan.after
            fields["pop_next"] = 1
            self.slots[self.runs[plan.after]].fields["push_prev"] = 1
        self.slots.append(_Slot(isa.TableLoad, fields, section))

    # ---- streams ----------------------------------------------------------------------------
    def _stream(self, job: Job, layer: Layer) -> tuple[int, int]:
        """Offset in the streams section and units; RUNs of the same numbers share a stream."""
        key = job.layer, job.first, job.piece
        if key not in self.stream_at:
            part = job.layer, job.first
            if part not in self.position_of:
                self.position_of[part] = self.plan.addressing[job.layer].positions(job.entries)
            piece = areas(layer, self.net.values[layer.output])[job.piece]
            data = encode_stream(_channels(layer, piece, self.position_of[part], job))
            self.stream_at[key] = self.streams.add(data), len(data) // isa.UNIT_BYTES
        return self.stream_at[key]

    # ---- the whole -----------------------------------------------------------------------------
    def _finish(self, owned: dict[int, list[int]], meta: Meta) -> Program:
        code = sum(slot.kind.BYTES for slot in self.slots)
        bases = {"stream": align(code)}
        bases["table"] = align(bases["stream"] + len(self.streams.data))
        end = align(bases["table"] + len(self.tables.data))
        ports: dict[str, int] = {}
        for slot in self.slots:
            if slot.section.partition(":")[0] in ("LOAD", "STORE"):
                ports[slot.section] = end
                end = align(end + slot.fields["rows"] * self.config.row_bytes)
        instructions = tuple(_instruction(slot, bases | ports) for slot in self.slots)
        inputs, outputs = ([n for s, n in ports.items() if s.startswith(k)]
                           for k in ("LOAD", "STORE"))
        return Program(
            self.config, instructions, bytes(self.streams.data), bytes(self.tables.data),
            tuple(_tensor(value, layout, self.config) for value, layout in
                  zip(self.net.values, self.plan.placed.layouts, strict=True)),
            _ports(self.net.inputs, inputs), _ports(self.net.outputs, outputs),
            tuple(dataclasses.replace(layer, runs=tuple(owned[i]))
                  for i, layer in enumerate(self.net.layers)),
            -(-end // ALIGN) * ALIGN, meta)


def _ports(names: tuple[tuple[str, int], ...], addresses: list[int]) -> tuple[Port, ...]:
    return tuple(Port(name, value, address)
                 for (name, value), address in zip(names, addresses, strict=True))


def _instruction(slot: _Slot, bases: Mapping[str, int]) -> isa.Instruction:
    fields = dict(slot.fields)
    if slot.section:
        name = "stream" if slot.kind is isa.Run else "address"
        fields[name] = (fields[name] + bases[slot.section]) // isa.UNIT_BYTES
    return slot.kind(**fields)


def _tensor(value: Value, layout: Any, config: Config) -> Tensor:
    meaning = value.meaning
    codes = () if isinstance(meaning, Radix) else tuple(meaning.by_code(config.codes).tolist())
    return Tensor(value.name, layout, float(meaning.scale), codes)


def _planes(values: list[Value]) -> list[tuple[int, int]]:
    return [(i, plane) for i, value in enumerate(values) for plane in range(value.planes)]


def _decode_words(value: Value, plane: int, layer: Layer, config: Config) -> Ints:
    """DECODE entries: what a tap reads for a code; for a maximum its rank."""
    if layer.op == "max":
        return fixed.rank(np.arange(config.codes), value.order, config.code_bits)
    return tables.decode(decode_table(value, plane, config))


def _cluster_words(layer: Layer) -> Ints:
    """CLUSTER entries: the threshold where a segment begins (entry 0 has none) and its code."""
    thresholds = np.array([0, *layer.thresholds], np.int64)
    return tables.cluster(thresholds, np.array(layer.codes, np.int64))


def _channels(layer: Layer, piece: Piece, position: Ints, job: Job) -> list[ChannelStream]:
    """The records of a job's channels, positions of each cluster ascending."""
    taps = layer.taps
    cluster = np.repeat(np.arange(len(taps.cluster_factor)), np.diff(taps.cluster_taps))
    order = np.lexsort((position, cluster))
    at, negative = position[order], taps.negative[order] != 0
    out = []
    for k in range(job.first, job.end):
        clusters = []
        for r in range(int(taps.channel_clusters[k]), int(taps.channel_clusters[k + 1])):
            part = slice(int(taps.cluster_taps[r]), int(taps.cluster_taps[r + 1]))
            clusters.append(Cluster(int(taps.cluster_factor[r]), at[part], negative[part]))
        out.append(ChannelStream(piece.scale[k], piece.bias[k], tuple(clusters)))
    return out
