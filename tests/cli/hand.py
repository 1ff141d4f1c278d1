"""A program of two layers, put together by hand: tests of the command line need no compiler."""

from __future__ import annotations

import dataclasses

import numpy as np
from kcnn.arch import isa, stream
from kcnn.arch.config import Config
from kcnn.arch.layout import Layout
from kcnn.arch.meta import Meta
from kcnn.arch.program import Layer, Piece, Port, Program, Source, Taps, Tensor, align
from kcnn.engines.shrink import with_tokens

TINY = Config.preset("tiny")
VALUES = tuple(range(0, 112, 7))            # 16 values of a codebook without negative ones
THRESHOLDS = tuple(range(4, 109, 7))


def layout(first_row: int, rows: int, channels: int, planes: int = 1, bits: int = 0) -> Layout:
    """4x4 maps, one behind the other, without pads."""
    return Layout(base=8 * first_row, first_row=first_row, rows=rows, images=1, channels=channels,
                  height=4, width=4, channel=16 * planes, plane=16, image=0, row=4, column=1,
                  planes=planes, bits=bits)


TENSORS = (Tensor("x", layout(0, 2, 1), 1 / 105, VALUES),
           Tensor("first", layout(2, 4, 2), 0.02, VALUES),
           Tensor("second", layout(6, 8, 1, planes=4, bits=16), 0.001))


def taps(channels: list[list[tuple[int, int, int]]]) -> Taps:
    """Runs of one tap each: per output channel (factor, input channel, negative)."""
    flat = [cluster for channel in channels for cluster in channel]
    zeros = np.zeros(len(flat), np.int64)
    return Taps(channel_clusters=np.cumsum([0] + [len(c) for c in channels]).astype(np.int64),
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


def program() -> Program:
    """x (1, 4, 4) -> first (2, 4, 4) in codes -> second (1, 4, 4) in four digits."""
    cluster = [(t & 0xFFFF) | code << 16 for code, t in enumerate((0, *THRESHOLDS))]
    entries = [VALUES, cluster, [0], [16 | 1 << 24, 32 | 1 << 24]]
    tables = b"".join(np.array(e, "<u4").tobytes().ljust(64, b"\0") for e in entries)
    streams = [encoded(FIRST, PIECES[0].scale, PIECES[0].bias),
               encoded(SECOND, PIECES[1].scale, PIECES[1].bias)]
    code_bytes = 11 * 16 + 2 * 64
    at = align(code_bytes)
    units = [len(data) // 16 for data in streams]
    streams[0] = streams[0].ljust(align(len(streams[0])), b"\0")
    table = align(at + sum(map(len, streams)))
    data = align(table + len(tables))
    instructions = _instructions([at // 16, (at + len(streams[0])) // 16], units, table // 16,
                                 data // 16)
    runs = [i for i, ins in enumerate(instructions) if isinstance(ins, isa.Run)]
    layers = (
        Layer("first", "Conv2d", "sum", (Source(0),), 1, FIRST, PIECES[:1], isa.Mode.CODE, 0,
              thresholds=THRESHOLDS, codes=tuple(range(16)), runs=(runs[0],), dense_macs=32,
              macs=48),
        Layer("second", "Conv2d", "sum", (Source(1),), 2, SECOND, PIECES[1:], isa.Mode.RADIX, 0,
              digits=4, radix_width=16, runs=(runs[1],), dense_macs=32, macs=32))
    return Program(TINY, tuple(instructions), b"".join(streams), tables, TENSORS,
                   (Port("x", 0, data),), (Port("output", 2, data + 64),), layers,
                   data + 128, Meta(float32_bytes=16))


def _instructions(streams: list[int], units: list[int], tables: int, data: int
                  ) -> list[isa.Instruction]:
    base, decode = isa.Table.BASE, isa.Table.DECODE
    run = dict(
        shift=0, order=0, kernel_bits=0, offset_bank=0, cluster_bank=0, origin=0, pitch=4,
        image_rows=4, images=1, height=4, width=4, chunk_images=0, chunk_rows=1, chunk_columns=0,
        image_pitch=16, chunk_pitch=0, dst_image=0, x_step=1, x_wrap=0, y_step=4, y_wrap=0,
        split=1, x_start=0, x_mod=0, y_start=0, y_mod=0)
    first = isa.Run(stream=streams[0], stream_units=units[0], channels=2, mode=isa.Mode.CODE,
                    digits=1, radix_width=0, base_bank=0, dst=16, dst_channel=16, dst_plane=0,
                    **run)
    second = isa.Run(stream=streams[1], stream_units=units[1], channels=1,
                     mode=isa.Mode.RADIX, digits=4, radix_width=16, base_bank=1, dst=48,
                     dst_channel=64, dst_plane=16, **run)
    return [*with_tokens([
        isa.Load(address=data, row=0, rows=2),
        isa.TableLoad(kind=decode, bank=0, first=0, count=16, address=tables),
        isa.TableLoad(kind=isa.Table.CLUSTER, bank=0, first=0, count=16, address=tables + 4),
        isa.TableLoad(kind=base, bank=0, first=0, count=1, address=tables + 8),
        isa.TableLoad(kind=isa.Table.OFFSET, bank=0, first=0, count=1, address=tables + 8),
        first,
        isa.TableLoad(kind=decode, bank=1, first=0, count=16, address=tables),
        isa.TableLoad(kind=base, bank=1, first=0, count=2, address=tables + 12),
        second,
        isa.Store(address=data + 4, row=6, rows=8)]), isa.End()]


def images(count: int) -> np.ndarray:
    """float32 (count, 1, 4, 4) in 0..1."""
    return np.random.default_rng(0).random((count, 1, 4, 4), np.float32)


def without_layers() -> Program:
    """The program as `compile --strip` leaves it."""
    return dataclasses.replace(program(), layers=())
