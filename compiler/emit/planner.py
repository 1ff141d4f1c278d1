"""The order of work to a plan: tables into alternating banks, streams, transfers, fills.

The load unit runs ahead: what a RUN needs is loaded into banks that the RUN before does not use, so
it waits only for the last RUN that did. RUNs of equal tables load nothing.
"""

from __future__ import annotations

import itertools

import numpy as np

from ...arch import fixed, isa, tables
from ...arch.config import Config
from ...arch.program import Layer, Piece, Taps
from ...arch.stream import Records, encode_records, padded
from ..errors import CompileError
from ..lower.lowered import Ints, Value
from ..lower.prove import decode_table
from ..stages import At, nowhere
from . import step
from .areas import Role
from .moves import Moves
from .plan import Plan
from .schedule import Job, Schedule, geometry, kind, pieces
from .tables import BankLoad, Banks

# taps of which a stream's bytes are made at once, about
TOGETHER = 1 << 21


def plan(order: Schedule, config: Config, at: At = nowhere) -> Plan:
    """Loads of the inputs, every layer's tables, moves and RUNs, stores of the outputs."""
    return _Planner(order, config).plan(at)


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
        self.positions: tuple[tuple[int, int, int], Ints] = (-1, -1, -1), np.zeros(0, np.int64)

    def plan(self, at: At) -> Plan:
        """All steps."""
        self.moves.transfers(Role.INPUT)
        fills = dict(self.order.fills)
        for number, jobs in itertools.groupby(self.order.jobs, lambda job: job.layer):
            at(self.net.paths[number], number, len(self.net.layers))
            if number in fills:                    # once, whatever stands between its bands
                self.moves.fill(fills.pop(number), number)
            bands = self.order.bands[number]
            for (band, ahead), inside in itertools.groupby(
                    jobs, lambda job: (job.band, job.ahead)):
                if ahead:
                    self.moves.ahead(self.order.bands[ahead[0]], bands.layer.output, ahead[1])
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
            if self.positions[0] != part:
                self.positions = part, self.order.addressing[job.layer].positions(job.entries)
            piece = pieces(layer, self.net.values[layer.output])[job.piece]
            self.streams[key] = padded(_encoded(layer, piece, self.positions[1], job))
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


def _encoded(layer: Layer, piece: Piece, position: Ints, job: Job) -> bytes:
    """The records of a job's channels, a few channels at a time for the memory's sake."""
    first_tap = layer.taps.cluster_taps[layer.taps.channel_clusters]
    cuts = np.searchsorted(first_tap, np.arange(int(first_tap[job.first]),
                                                int(first_tap[job.end]), TOGETHER))
    edges = np.unique([job.first, *cuts.tolist(), job.end])
    edges = edges[(edges >= job.first) & (edges <= job.end)].tolist()
    return b"".join(encode_records(_records(layer.taps, piece, position, first, end))
                    for first, end in itertools.pairwise(edges))


def _records(taps: Taps, piece: Piece, position: Ints, first: int, end: int) -> Records:
    """Channels first to end - 1, positions of each cluster ascending."""
    clusters = slice(int(taps.channel_clusters[first]), int(taps.channel_clusters[end]))
    cluster_taps = taps.cluster_taps[clusters.start:clusters.stop + 1]
    mine = slice(int(cluster_taps[0]), int(cluster_taps[-1]))
    at, negative = position[mine], taps.negative[mine]
    cluster = np.repeat(np.arange(clusters.stop - clusters.start), np.diff(cluster_taps))
    span = 2 * (int(at.max(initial=0)) + 1)
    key = np.sort(cluster * span + 2 * at + negative) % span
    return Records(np.array(piece.scale[first:end], np.int64),
                   np.array(piece.bias[first:end], np.int64),
                   taps.channel_clusters[first:end + 1] - clusters.start,
                   taps.cluster_factor[clusters], cluster_taps - mine.start,
                   key >> 1, key % 2 == 1)
