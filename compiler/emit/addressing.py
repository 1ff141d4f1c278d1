"""How one RUN's taps become positions: base entries, kernel offsets, origin."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from ...arch.config import Config
from ...arch.keys import keys
from ...arch.kind import Kind
from ...arch.layout import Layout
from ...arch.program import Layer
from ...arch.stream import UNIT as UNIT_BYTES
from ...arch.stream import most_bytes
from ..errors import Need, power_of_two
from ..lower.lowered import Ints
from ..place.splits import Walk

# bytes of the longest stream of a RUN, as stream_units counts them, less what ends it
STREAM_BYTES = ((1 << 20) - 3) * UNIT_BYTES


@dataclasses.dataclass(frozen=True, eq=False)
class Tables:
    """Table contents of one RUN. base: (entries,) addresses, pairs: (entries,) decode pairs."""

    base: Ints
    pairs: Ints
    offsets: Ints
    origin: int


@dataclasses.dataclass(frozen=True, eq=False)
class _Blocks:
    """Kernel positions of a layer as groups (in the base table) of slots (in the offset table).

    group, slot: per key; keys are the distinct (source, dy, dx). source, origin_y, origin_x: per
    group. whole: one group a source, whose offsets lie in the slots alone. channels: so many that
    follow each other have one base entry a group and their slots one after the other.
    """

    group: Ints
    slot: Ints
    source: Ints
    origin_y: Ints
    origin_x: Ints
    slots: int
    whole: bool = False
    channels: int = 1


class Addressing:
    """The positions of a layer's taps, and the tables of each of its RUNs.

    Positions of taps are the same for all RUNs of the layer that compute the same channels.
    """

    def __init__(self, layer: Layer, path: str, layouts: Sequence[Layout], kinds: Sequence[Kind],
                 walk: Walk, config: Config) -> None:
        self.layer, self.path, self.config = layer, path, config
        self.layouts, self.kinds = layouts, kinds          # of every source
        self.walk = walk
        self._find_keys()
        self.blocks = self._choose_blocks()
        self.slots = self.blocks.slots * self.blocks.channels
        self.kernel_bits = max(0, (self.slots - 1).bit_length())
        self._find_entries()

    def _find_keys(self) -> None:
        taps = self.layer.taps
        columns = taps.source, taps.dy, taps.dx
        _, first, self.key = np.unique(keys(*columns), return_index=True, return_inverse=True)
        self.key_source, self.key_y, self.key_x = (column[first] for column in columns)

    # ---- kernel positions ------------------------------------------------------------------
    def phases(self) -> list[tuple[int, int]]:
        """Residues (y, x) of the outputs; each is computed by RUNs of its own."""
        if self.walk.flat:
            return [(0, 0)]
        return list(itertools.product(range(self.walk.qy), range(self.walk.qx)))

    def _offsets(self, source: Ints, y: Ints, x: Ints, phase: tuple[int, int]) -> Ints:
        """Address of kernel positions relative to the sources' elements (0, 0)."""
        out = np.zeros(len(source), np.int64)
        for i, (read, layout) in enumerate(zip(self.layer.sources, self.layouts, strict=True)):
            mine = source == i
            out[mine] = layout.offset(y[mine] + read.stride_y * phase[0],
                               x[mine] + read.stride_x * phase[1])
        return out

    def _choose_blocks(self) -> _Blocks:
        """Few enough slots, as few groups as possible; where the base table does not hold every
        channel of every group, of several channels each, so that entries are fewest."""
        whole = self._whole()
        plain = whole or min(self._all_blocks(), key=lambda b: (len(b.source), b.slots))
        if self._entries(plain) <= self.config.base_entries:
            return plain
        found = [*([whole] if whole else ()), *self._all_blocks()]
        return min(map(self._over_channels, found),
                   key=lambda b: (self._entries(b), b.slots * b.channels))

    def _all_blocks(self) -> Iterator[_Blocks]:
        most = self.config.offset_entries
        for hy, wx in itertools.product(range(1, most + 1), repeat=2):
            found = self._blocks(hy, wx) if hy * wx <= most else None
            if found is not None:
                yield found

    def _over_channels(self, blocks: _Blocks) -> _Blocks:
        """The same with as many channels a group as offsets are left for, where all sources have
        them at one distance."""
        if len({layout.channel for layout in self.layouts}) > 1:
            return blocks
        most = max(kind.channels for kind in self.kinds)
        left = self.config.offset_entries // blocks.slots
        return dataclasses.replace(blocks, channels=min(left, most))

    def _entries(self, blocks: _Blocks) -> int:
        return sum(self.kinds[s].planes * -(-self.kinds[s].channels // blocks.channels)
                   for s in blocks.source.tolist())

    def _whole(self) -> _Blocks | None:
        """One group a source, a slot for each different set of offsets over the phases."""
        vectors = np.stack([self._offsets(self.key_source, self.key_y, self.key_x, phase)
                            for phase in self.phases()])
        _, slot = np.unique(vectors, axis=1, return_inverse=True)
        slot = _by_first_use(slot.ravel())
        count = int(slot.max(initial=0)) + 1
        if count > self.config.offset_entries:
            return None
        sources = np.arange(len(self.layouts))
        return _Blocks(self.key_source, slot, sources, np.zeros_like(sources),
                       np.zeros_like(sources), count, whole=True)

    def _blocks(self, hy: int, wx: int) -> _Blocks | None:
        """Groups of hy x wx neighbouring positions, if all have their slots at the same offsets."""
        where = np.zeros((6, len(self.key_source)), np.int64)
        for i in range(len(self.layouts)):
            mine = self.key_source == i
            ys, xs = np.unique(self.key_y[mine]), np.unique(self.key_x[mine])
            iy, ix = np.searchsorted(ys, self.key_y[mine]), np.searchsorted(xs, self.key_x[mine])
            where[:, mine] = (np.full(mine.sum(), i), iy // hy, ix // wx, (iy % hy) * wx + ix % wx,
                              ys[iy // hy * hy], xs[ix // wx * wx])
        groups, first, group = np.unique(where[:3], axis=1, return_index=True, return_inverse=True)
        found = _Blocks(group.ravel(), where[3], groups[0], where[4, first], where[5, first],
                        int(where[3].max(initial=0)) + 1)
        for phase in self.phases():
            if self._slot_offsets(found, phase) is None:
                return None
        return found

    def _slot_offsets(self, blocks: _Blocks, phase: tuple[int, int]) -> Ints | None:
        """Offset of every slot from its group, or None where groups differ."""
        keys = self._offsets(self.key_source, self.key_y, self.key_x, phase)
        groups = self._offsets(blocks.source, blocks.origin_y, blocks.origin_x, phase)
        relative = keys - groups[blocks.group]
        out = np.zeros(blocks.slots, np.int64)
        out[blocks.slot] = relative
        return out if np.array_equal(out[blocks.slot], relative) else None

    def _split_offsets(self, phase: tuple[int, int]) -> tuple[Ints, Ints, int]:
        """Offsets of the slots, of the groups, and the origin: their sum is a tap's offset."""
        slots, groups, origin = self._kernel_offsets(phase)
        channels = np.arange(self.blocks.channels) * self.layouts[0].channel
        return (channels[:, None] + slots).ravel(), groups, origin

    def _kernel_offsets(self, phase: tuple[int, int]) -> tuple[Ints, Ints, int]:
        """The same for the first channel of a block."""
        blocks = self.blocks
        if not blocks.whole:
            slots = self._slot_offsets(blocks, phase)
            assert slots is not None
            groups = self._offsets(blocks.source, blocks.origin_y, blocks.origin_x, phase)
            return slots, groups - groups[0], int(groups[0])
        slots = np.zeros(blocks.slots, np.int64)
        slots[blocks.slot] = self._offsets(self.key_source, self.key_y, self.key_x, phase)
        return slots - slots[0], np.zeros(len(blocks.source), np.int64), int(slots[0])

    # ---- base entries -------------------------------------------------------------------------
    def _find_entries(self) -> None:
        """All (group, plane, block of channels) in order, and which of them each tap reads."""
        blocks, taps = self.blocks, self.layer.taps
        per = np.array([-(-kind.channels // blocks.channels) for kind in self.kinds])
        planes = np.array([kind.planes for kind in self.kinds])
        sizes = (planes * per)[blocks.source]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        self.entry = (starts[blocks.group[self.key]] + taps.plane * per[taps.source]
                      + taps.channel // blocks.channels)
        self.all_group = np.repeat(np.arange(len(sizes)), sizes)
        within = np.arange(starts[-1]) - starts[self.all_group]
        of = per[blocks.source][self.all_group]
        self.all_plane, self.all_channel = within // of, within % of * blocks.channels

    def parts(self) -> list[tuple[int, int, Ints]]:
        """Channels (first, end) that one RUN computes and the base entries that it needs, where
        the base table holds those of each channel and no stream is too long for a RUN."""
        return [(first, end, entries) for start, stop, entries in self._entry_parts()
                for first, end in self._streams(start, stop, len(entries))]

    def _streams(self, first: int, end: int, entries: int) -> Iterator[tuple[int, int]]:
        """The channels in stretches whose streams surely fit."""
        taps = self.layer.taps
        span = entries << self.kernel_bits
        clusters = np.diff(taps.channel_clusters[first:end + 1])
        count = np.diff(taps.cluster_taps[taps.channel_clusters[first:end + 1]])
        sizes = np.cumsum(most_bytes(count, clusters, span))
        while first < end:
            before = int(sizes[-(end - first) - 1]) if len(sizes) > end - first else 0
            fits = int((sizes[-(end - first):] - before <= STREAM_BYTES).sum())
            yield first, first + max(1, fits)
            first += max(1, fits)

    def _entry_parts(self) -> list[tuple[int, int, Ints]]:
        """Channels whose base entries the table holds together, and these."""
        channels = len(self.layer.taps.channel_clusters) - 1
        if len(self.all_group) <= self.config.base_entries:
            return [(0, channels, np.arange(len(self.all_group)))]
        edges = self.layer.taps.cluster_taps[self.layer.taps.channel_clusters]
        parts = []
        first, mine = 0, np.zeros(0, np.int64)
        for k in range(channels):
            more = np.unique(self.entry[edges[k]:edges[k + 1]])
            both = np.union1d(mine, more)
            if len(both) > self.config.base_entries:
                parts.append((first, k, mine))
                first, both = k, more
            mine = both
        return [*parts, (first, channels, mine)]

    def used(self, first: int, end: int) -> Ints:
        """The base entries that channels first to end - 1 read; one that stands in the table where
        they have no taps."""
        edges = self.layer.taps.cluster_taps[self.layer.taps.channel_clusters]
        found = np.unique(self.entry[edges[first]:edges[end]])
        return found if len(found) else np.arange(min(1, len(self.all_group)))

    def most_entries(self) -> int:
        """Base entries that the layer's RUNs cannot do without: those of a channel."""
        if len(self.all_group) <= self.config.base_entries:
            return 0
        edges = self.layer.taps.cluster_taps[self.layer.taps.channel_clusters].tolist()
        return max(len(np.unique(self.entry[a:b])) for a, b in itertools.pairwise(edges))

    def positions(self, entries: Ints) -> Ints:
        """Position of every tap of the layer, meaningless where it reads none of `entries`."""
        blocks = self.blocks
        slot = (self.layer.taps.channel % blocks.channels * blocks.slots
                + blocks.slot[self.key])
        return (np.searchsorted(entries, self.entry) << self.kernel_bits) | slot

    def tables(self, entries: Ints, phase: tuple[int, int], pair: dict[tuple[int, int], int],
               layouts: Sequence[Layout] | None = None) -> Tables:
        """Table contents of the RUN that reads these entries for the outputs of this residue.

        pair: decode pair of (source, plane). layouts: of the sources where the RUN finds them, if
        not where the addressing is made for; with its strides over lines, columns and channels.
        """
        layouts = layouts or self.layouts
        blocks, memory = self.blocks, self.config.memory_codes
        slots, groups, origin = self._split_offsets(phase)
        group = self.all_group[entries]
        source = blocks.source[group]
        base = np.array([layout.base for layout in layouts])[source]
        channel = np.array([layout.channel for layout in layouts])[source]
        plane = np.array([layout.plane for layout in layouts])[source]
        addresses = (base + groups[group] + self.all_channel[entries] * channel
                     + self.all_plane[entries] * plane)
        pairs = np.array([pair[int(s), int(p)] for s, p in
                          zip(source, self.all_plane[entries], strict=True)], np.int64)
        return Tables(addresses % memory, pairs, slots % memory, origin % memory)


def lacking_entries(found: Sequence[Addressing], config: Config) -> list[Need]:
    """Is the base table too small for a channel of some layer?"""
    most = [addressing.most_entries() for addressing in found]
    if max(most) <= config.base_entries:
        return []
    return [Need("base_entries", power_of_two(max(most)), found[most.index(max(most))].path,
                 f"an output channel reads {max(most)} blocks of channels and kernel rows, "
                 "more than",
                 "give it groups or a smaller kernel")]


def _by_first_use(slot: Ints) -> Ints:
    """Numbers in the order in which they first occur."""
    _, first, inverse = np.unique(slot, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse.ravel()]
