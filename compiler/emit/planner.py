"""The order of work to a plan: tables into alternating banks, streams, transfers, fills.

The load unit runs ahead: what a RUN needs is loaded into banks that the RUN before does not use, so
it waits only for the last RUN that did. RUNs of equal tables load nothing.
"""

from __future__ import annotations

import itertools

import numpy as np

from ...arch import fixed, isa, tables
from ...arch.config import Config
from ...arch.program import Layer, Piece
from ...arch.stream import ChannelStream, Cluster, encode_stream
from ..errors import CompileError
from ..lower.lowered import Ints, Value
from ..lower.prove import decode_table
from . import step
from .areas import Role
from .moves import Moves
from .plan import Plan
from .schedule import Job, Schedule, geometry, kind, pieces
from .tables import BankLoad, Banks


def plan(order: Schedule, config: Config) -> Plan:
    """Loads of the inputs, every layer's tables, moves and RUNs, stores of the outputs."""
    return _Planner(order, config).plan()


class _Planner:
    """The state of one call."""

    def __init__(self, order: Schedule, config: Config) -> None:
        self.order, self.config = order, config
        self.net = order.placed.split.net
        self.moves = Moves(order.placed, config)
        self.steps = self.moves.steps
        self.banks = Banks(config)
        self.runs = 0                        # RUNs so far
        self.streams: dict[tuple[int, int, int, int], bytes] = {}
        self.position_of: dict[tuple[int, int, int], Ints] = {}

    def plan(self) -> Plan:
        """All steps."""
        self.moves.transfers(Role.INPUT)
        for number, jobs in itertools.groupby(self.order.jobs, lambda job: job.layer):
            if number in self.order.fills:
                self.moves.fill(self.order.fills[number], number)
            bands = self.order.bands[number]
            for band, inside in itertools.groupby(jobs, lambda job: job.band):
                self.moves.begin(bands, band)
                for job in inside:
                    self._job(job)
                self.moves.end(bands, band)
        self.moves.transfers(Role.OUTPUT)
        return Plan(self.config, self.moves.tensors(), self.net.layers, tuple(self.moves.areas),
                    tuple(self.steps), tuple(value.node for value in self.net.values))

    # ---- RUNs -------------------------------------------------------------------------------
    def _job(self, job: Job) -> None:
        """The tables and the RUN of a job; loads into banks that are free early come first."""
        layer = self.net.layers[job.layer]
        loads, pairs, fields = self._tables(job, layer)
        for load in sorted(loads, key=lambda load: load.after):
            self._table(load)
        stream = self._stream(job, layer)
        run = isa.Run(stream=0, stream_units=len(stream) // isa.UNIT_BYTES,
                      channels=job.end - job.first,
                      kernel_bits=self.order.addressing[job.layer].kernel_bits, **fields)
        self.steps.append(step.run(run, stream, pairs, job.layer,
                                   self.moves.touched(job.layer), self.config))
        self.runs += 1

    def _tables(self, job: Job, layer: Layer
                ) -> tuple[list[BankLoad], set[int], dict[str, int]]:
        """Loads, the decode pairs that the RUN reads, and its fields beside the stream's."""
        number = self.runs
        values = [self.net.values[s.tensor] for s in layer.sources]
        wanted = {key: _decode_words(values[key[0]], key[1], layer, self.config)
                  for key in _planes(values)}
        pairs, loads = self._pairs(job, wanted, number)
        found = self.order.addressing[job.layer].tables(
            job.entries, job.phase, pairs, self.moves.sources(job.layer, job.band))
        fields = geometry(job, self.order, self.moves.layout(layer.output), found.origin,
                          self.config)
        fields |= kind(layer, values[0].order)
        base = tables.base(found.base, found.pairs)
        for name, table, words in (("base_bank", isa.Table.BASE, base),
                                   ("offset_bank", isa.Table.OFFSET, found.offsets)):
            fields[name], more = self.banks.place(table, words, number)
            loads += more
        fields["cluster_bank"] = 0
        if layer.mode == isa.Mode.CODE:
            fields["cluster_bank"], more = self.banks.place(
                isa.Table.CLUSTER, _cluster_words(layer), number)
            loads += more
        return loads, set(pairs.values()), fields

    def _pairs(self, job: Job, wanted: dict[tuple[int, int], Ints], number: int
               ) -> tuple[dict[tuple[int, int], int], list[BankLoad]]:
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
        pairs, loads = self.banks.place_pairs(contents, number)
        return {key: pairs[i] for key, i in which.items()}, loads

    def _table(self, load: BankLoad) -> None:
        instruction = isa.TableLoad(int(load.kind), load.bank, load.first, load.count,
                                    **load.ramp)
        data = b"" if load.ramp else load.words.astype("<u4").tobytes()
        self.steps.append(step.entries(instruction, data, self.config))

    # ---- streams ----------------------------------------------------------------------------
    def _stream(self, job: Job, layer: Layer) -> bytes:
        """The stream of a job; RUNs of the same numbers share one."""
        part = job.layer, job.first, job.end
        key = *part, job.piece
        if key not in self.streams:
            if part not in self.position_of:
                self.position_of[part] = self.order.addressing[job.layer].positions(job.entries)
            piece = pieces(layer, self.net.values[layer.output])[job.piece]
            self.streams[key] = encode_stream(
                _channels(layer, piece, self.position_of[part], job))
        return self.streams[key]


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
