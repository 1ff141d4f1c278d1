"""The chunk walker against the definition of the chunks."""

from __future__ import annotations

import dataclasses
import random

import pytest
from core_bench import Part, random_run
from core_model import chunks_of
from kcnn.arch.config import Config
from kcnn.rtl.fields import Fields
from kcnn.rtl.signals import bit
from kcnn.rtl.walker import Chunk, chunk_walker
from replay import replay

INPUTS = ("origin", "image_pitch", "chunk_pitch", "pitch", "image_rows", "images", "height",
          "width", "chunk_images", "chunk_rows", "chunk_columns")


@pytest.mark.parametrize("lanes, tools", [(4, ("iverilog", "ghdl", "verilator", "yosys")),
                                          (16, ("iverilog",))])
def test_positions_of_all_chunks_twice_around(lanes, tools):
    config = dataclasses.replace(Config.preset("tiny"), lanes=lanes, memory_codes=1024)
    rng = random.Random(lanes)
    runs = [random_run(config, rng, 0) for _ in range(50)]
    wanted: list[tuple[int, int, int]] = []

    def make():
        return chunk_walker, {"clk": bit(), "clear": bit(), "start": bit(), "advance": bit(),
                              "fields": Part(Fields(config), *INPUTS), "chunk": Chunk(config),
                              "config": config}

    def stimulus(ports, rng):
        cycle = 0
        for run in runs:
            chunks = chunks_of(run, lanes)
            ports["clear"].next = 1
            yield
            cycle += 1
            ports["clear"].next = 0
            ports["start"].next = 1
            for name in INPUTS:
                getattr(ports["fields"], name).next = getattr(run, name)
            yield
            cycle += 1
            ports["start"].next = 0
            for i in range(2 * len(chunks) + 1):
                n, y, x = chunks[i % len(chunks)][0]
                at = (run.origin + (n * run.image_rows + y) * run.pitch + x) % 1024
                pause = rng.randrange(2)
                wanted.append((cycle + pause, at, i % len(chunks) == len(chunks) - 1))
                ports["advance"].next = 0
                for _ in range(pause):
                    yield
                ports["advance"].next = 1
                yield
                cycle += pause + 1
            ports["advance"].next = 0
        while True:
            yield

    rows = replay(make, 700, stimulus, tools=tools).rows
    assert len(wanted) > 150
    for cycle, position, last in wanted:
        if cycle < len(rows):
            assert (rows[cycle]["chunk_position"], rows[cycle]["chunk_last"]) == (position, last)
