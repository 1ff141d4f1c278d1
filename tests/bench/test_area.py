"""The area bench: what it counts, and that it can take any block out of the machine."""

from __future__ import annotations

import dataclasses
import sys

import pytest
from kcnn.arch.config import Config
from myhdl import ResetSignal, Signal, always_seq, block, intbv
from scripts import script
from tools import need

area = script("bench/area")
REACHED = 76             # LUT a lane of the goal's core, as measured; the goal is GOAL_LUTS


class Pair:
    """An interface with a list in it."""

    def __init__(self, width: int) -> None:
        self.words = [Signal(intbv(0)[width:]) for _ in range(2)]
        self.name = "pair"


@block
def adder(clk, reset, pair, sums, config):
    """sums[0] = words[0] + words[1], registered."""
    first, second = pair.words

    @always_seq(clk.posedge, reset=reset)
    def add():
        sums[0].next = first + second

    return add


@block
def outer(clk, reset, pair, sums, config):
    """A block around it."""
    return adder(clk, reset, pair, sums, config)


def design() -> area._Block:
    reset = ResetSignal(0, active=1, isasync=False)
    return outer(Signal(bool(0)), reset, Pair(8), [Signal(intbv(0)[9:])], Config.preset("tiny"))


def test_cells_are_counted_by_what_they_take() -> None:
    cells = {"LUT2": 3, "LUT6": 4, "RAM32M": 2, "SRL16E": 5, "FDRE": 7, "FDSE": 1, "MUXF7": 9,
             "CARRY4": 2, "DSP48E1": 3, "RAMB18E1": 1, "RAMB36E1": 2, "INV": 6}
    assert area.Area.of(cells) == area.Area(luts=20, lut_ram=13, flip_flops=8, dsps=3,
                                            block_rams=2.5)


def test_a_copy_has_signals_of_its_own_and_shares_what_was_shared() -> None:
    word = Signal(intbv(3)[8:])
    known: dict = {}
    first, second = area.fresh([word, word], known), area.fresh(word, known)
    assert first[0] is first[1] is second and second is not word
    assert second._init == 3 and len(second) == 8
    config = Config.preset("tiny")
    assert area.fresh(config, known) is config


def test_blocks_are_found_by_name() -> None:
    top = design()
    assert area.descendant(top, "adder").func.__name__ == "adder"
    with pytest.raises(KeyError):
        area.descendant(top, "multiplier")
    assert {name: count for name, (_, count) in area.children(top).items()} == {"adder": 1}


def test_an_inner_block_is_synthesised_alone() -> None:
    need("yosys")
    found = area.measure(area.descendant(design(), "adder"))
    assert found.flip_flops == 9
    assert 8 <= found.luts <= 10
    assert found.dsps == 0 and found.block_rams == 0


def test_the_whole_machine_is_measured_as_one(monkeypatch, capsys) -> None:
    measured = []

    def measure(instance):
        measured.append(instance.func.__name__)
        return area.Area(luts=4000, lut_ram=7, flip_flops=8, dsps=9, block_rams=2.5)

    monkeypatch.setattr(area, "measure", measure)
    monkeypatch.setattr(sys, "argv", ["area.py", "--config", "tiny", "--whole"])
    area.main()
    assert measured == ["machine"]
    (row,) = (line for line in capsys.readouterr().out.splitlines() if " machine " in line)
    assert row.split() == ["machine", "1", "4,000", "7", "8", "9", "2.5", "1000.0"]


def test_memories_take_block_ram_and_decode_tables_lut_ram() -> None:
    need("yosys")
    config = dataclasses.replace(Config.preset("tiny"), memory_codes=4096, tap_slots=256,
                                 base_entries=16)
    memory = area.area_of("activation_memory", config)
    assert memory.block_rams > 0 and memory.luts == 0
    slots = area.area_of("tap_cache", config)
    assert slots.block_rams > 0 and slots.lut_ram == 0
    tables = area.area_of("decode", config)
    entries = 2 * config.codes * config.value_bits * config.lanes      # two pairs
    assert tables.block_rams == 0 and entries <= 64 * tables.lut_ram <= 3 * entries
    assert tables.flip_flops == config.value_bits * config.lanes


@pytest.fixture(scope="module")
def goal_core() -> area.Area:
    """The core of the area goal; takes minutes."""
    need("yosys")
    return area.area_of(area.CORE, area.GOAL)


@pytest.mark.long
def test_the_core_grows_no_further(goal_core) -> None:
    assert goal_core.luts <= REACHED * area.GOAL.lanes
    assert goal_core.dsps == area.GOAL.multipliers + area.GOAL.drain


@pytest.mark.long
def test_the_core_keeps_to_the_area_goal(goal_core) -> None:
    assert goal_core.luts <= area.GOAL_LUTS * area.GOAL.lanes
