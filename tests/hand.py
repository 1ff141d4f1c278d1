"""A program of two layers, planned by hand: tests of the command line need no network."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from kcnn.arch import isa, stream
from kcnn.arch.config import Config
from kcnn.arch.meta import Meta
from kcnn.arch.program import Layer, Piece, Program, Source, Taps, Tensor
from kcnn.compiler.emit import step
from kcnn.compiler.emit.areas import Role, area, transfers
from kcnn.compiler.emit.assemble import assemble
from kcnn.compiler.emit.plan import Plan
from tensors import whole

TINY = Config.preset("tiny")
VALUES = tuple(range(0, 112, 7))            # 16 values of a codebook without negative ones
THRESHOLDS = tuple(range(4, 109, 7))


def tensor(name: str, first_row: int, rows: int, channels: int, scale: float,
           values: tuple[int, ...] = (), planes: int = 1, bits: int = 0) -> Tensor:
    """4x4 maps, one behind the other, without pads."""
    return whole(name, scale, values, base=8 * first_row, first_row=first_row, rows=rows, images=1,
                 channels=channels, height=4, width=4, channel=16 * planes, plane=16, image=0,
                 row=4, column=1, planes=planes, bits=bits)


TENSORS = (tensor("x", 0, 2, 1, 1 / 105, VALUES), tensor("first", 2, 4, 2, 0.02, VALUES),
           tensor("second", 6, 8, 1, 0.001, planes=4, bits=16))


def taps(channels: list[list[tuple[int, int, int]]]) -> Taps:
    """Runs of one tap each: per output channel (factor, input channel, negative)."""
    flat = [cluster for channel in channels for cluster in channel]
    zeros = np.zeros(len(flat), np.int64)
    return Taps.of(channel_clusters=np.cumsum([0] + [len(c) for c in channels]).astype(np.int64),
                cluster_factor=np.array([cluster[0] for cluster in flat], np.int64),
                cluster_taps=np.arange(len(flat) + 1, dtype=np.int64), source=zeros,
                channel=np.array([cluster[1] for cluster in flat], np.int64), plane=zeros, dy=zeros,
                dx=zeros, negative=np.array([cluster[2] for cluster in flat], np.int64))


def encoded(what: Taps, scale: tuple[int, ...], bias: tuple[int, ...]) -> bytes:
    """The stream of such taps: a position is a base entry, here the input channel."""
    records = []
    for k, (m, b) in enumerate(zip(scale, bias, strict=True)):
        clusters = tuple(stream.Cluster(int(what.cluster_factor[r]), what.channel[r:r + 1],
                                what.negative[r:r + 1].astype(bool))
                     for r in range(what.channel_clusters[k], what.channel_clusters[k + 1]))
        records.append(stream.ChannelStream(m, b, clusters))
    return stream.encode_stream(records)


FIRST = taps([[(3, 0, 0)], [(-2, 0, 1), (5, 0, 0)]])
SECOND = taps([[(7, 0, 0), (9, 1, 1)]])
PIECES = (Piece(0, 0, 4, 4, (20000, 9000), (32768, -100000)), Piece(0, 0, 4, 4, (65535,), (5,)))


LAYERS = (
    Layer("first", "Conv2d", "sum", (Source(0),), 1, FIRST, PIECES[:1], isa.Mode.CODE, 0,
          thresholds=THRESHOLDS, codes=tuple(range(16)), dense_macs=32, macs=48),
    Layer("second", "Conv2d", "sum", (Source(1),), 2, SECOND, PIECES[1:], isa.Mode.RADIX, 0,
          digits=4, radix_width=16, dense_macs=32, macs=32))


def program() -> Program:
    """x (1, 4, 4) -> first (2, 4, 4) in codes -> second (1, 4, 4) in four digits."""
    areas = tuple(area(role, name, number, TENSORS[number].layout, TINY)
                  for role, name, number in ((Role.INPUT, "x", 0), (Role.OUTPUT, "output", 2)))
    steps = [*transfers(areas, Role.INPUT, TENSORS, TINY), *_work(),
             *transfers(areas, Role.OUTPUT, TENSORS, TINY)]
    return dataclasses.replace(assemble(Plan(TINY, TENSORS, LAYERS, areas, tuple(steps))),
                               meta=Meta(float32_bytes=16))


def _work() -> list[step.Step]:
    cluster = [(t & 0xFFFF) | code << 16 for code, t in enumerate((0, *THRESHOLDS))]
    base, decode = isa.Table.BASE, isa.Table.DECODE
    streams = [encoded(FIRST, PIECES[0].scale, PIECES[0].bias),
               encoded(SECOND, PIECES[1].scale, PIECES[1].bias)]
    run = dict(
        stream=0, shift=0, order=0, kernel_bits=0, offset_bank=0, cluster_bank=0, origin=0, pitch=4,
        image_rows=4, images=1, height=4, width=4, chunk_images=0, chunk_rows=1, chunk_columns=0,
        image_pitch=16, chunk_pitch=0, dst_image=0, x_step=1, x_wrap=0, y_step=4, y_wrap=0,
        split=1, x_start=0, x_mod=0, y_start=0, y_mod=0)
    first = isa.Run(stream_units=len(streams[0]) // 16, channels=2, mode=isa.Mode.CODE,
                    digits=1, radix_width=0, base_bank=0, dst=16, dst_channel=16, dst_plane=0,
                    **run)
    second = isa.Run(stream_units=len(streams[1]) // 16, channels=1,
                     mode=isa.Mode.RADIX, digits=4, radix_width=16, base_bank=1, dst=48,
                     dst_channel=64, dst_plane=16, **run)
    return [
        _entries(decode, 0, VALUES), _entries(isa.Table.CLUSTER, 0, cluster),
        _entries(base, 0, [0]), _entries(isa.Table.OFFSET, 0, [0]),
        step.run(first, streams[0], [0], 0, step.whole(LAYERS[0], TENSORS), TINY),
        _entries(decode, 1, VALUES), _entries(base, 1, [16 | 1 << 24, 32 | 1 << 24]),
        step.run(second, streams[1], [0, 1], 1, step.whole(LAYERS[1], TENSORS), TINY)]


def _entries(kind: isa.Table, bank: int, words: Sequence[int]) -> step.Step:
    return step.entries(isa.TableLoad(kind, bank, 0, len(words)),
                        np.array(words, "<u4").tobytes(), TINY)


def images(count: int) -> np.ndarray:
    """float32 (count, 1, 4, 4) in 0..1."""
    return np.random.default_rng(0).random((count, 1, 4, 4), np.float32)


def without_layers() -> Program:
    """The program as `compile --strip` leaves it."""
    return dataclasses.replace(program(), layers=())
