"""Random machine programs: the RTL, in MyHDL and as Verilog, against the TLM, stamp by stamp."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
import strategies
from kcnn.arch import reference
from kcnn.arch.config import Config
from kcnn.arch.engine import MemoryModel
from kcnn.arch.program import memory_image
from kcnn.rtl import hdl, toolchain
from kcnn.rtl.simulate import simulate as rtl
from kcnn.tlm.machine import simulate as tlm
from machine_programs import CONFIGS, random_program, smudged
from tools import need

# wider beats than the other configurations have: instructions lie in parts of beats
WIDE = {bits: dataclasses.replace(Config.preset("tiny"), name=f"port{bits}", lanes=32, share=8,
                                  code_bits=8, value_bits=10, memory_codes=8192, drain=4,
                                  port_bits=bits, burst=512 // bits, tap_slots=64,
                                  base_entries=64) for bits in (256, 512)}
CONFIGS = CONFIGS | {config.name: config for config in WIDE.values()}
IN_MYHDL = ("m1", "m4", "m2d2ab5", "p8m4d2ab6", "tiny", "port256")
ON_ICARUS = ("m1d2", "m4ab5", "p8m2d4", "p16m8ab8", "p16m16", "port512")
SEEDS = range(5)


def model(seed):
    """Random waits, or the same latency for every burst and no stalls."""
    return (MemoryModel.random(seed), MemoryModel.fixed(0), MemoryModel.fixed(8))[seed % 3]


def first_difference(one, other):
    """What differs first between RTL and TLM, in words; empty if nothing does."""
    for field in ("starts", "ends"):
        a, b = getattr(one, field), getattr(other, field)
        if not np.array_equal(a, b):
            at = int(np.flatnonzero(a != b)[0])
            return f"{field} of instruction {at}: RTL {a[at]}, TLM {b[at]}"
    if one.cycles != other.cycles:
        return f"cycles: RTL {one.cycles}, TLM {other.cycles}"
    if not np.array_equal(one.memory, other.memory):
        at = int(np.flatnonzero(one.memory != other.memory)[0])
        return f"byte {at}: RTL {one.memory[at]}, TLM {other.memory[at]}"
    return difference_of_writes(one.writes, other.writes)


def difference_of_writes(one, other):
    """What differs first in the traces of the activation memory's writes."""
    if len(one.cycle) != len(other.cycle):
        return f"writes: RTL {len(one.cycle)}, TLM {len(other.cycle)}"
    for field in ("cycle", "row", "mask", "codes"):
        a, b = getattr(one, field), getattr(other, field)
        if field == "codes":
            a, b = a * one.mask, b * other.mask
        if not np.array_equal(a, b):
            at = int(np.argwhere(a != b)[0, 0])
            return f"{field} of write {at} in cycle {one.cycle[at]}: RTL {a[at]}, TLM {b[at]}"
    return ""


def check(engine, name, seed, **size):
    """The program of this seed does the same on the engine and on the TLM."""
    program, memory = random_program(seed, CONFIGS[name], **size)
    waits = model(seed)
    want = tlm(program, memory, waits, True)
    assert first_difference(engine(program, memory, waits), want) == "", f"{name}, seed {seed}"


@pytest.mark.parametrize("seed, name", list(enumerate(IN_MYHDL, 42)))
def test_myhdl_and_tlm_agree_on_random_programs(seed, name):
    check(rtl, name, seed, runs=2, channels=4, positions=40)


@pytest.mark.parametrize("name", ON_ICARUS)
def test_verilog_and_tlm_agree_on_random_programs(name, tmp_path, monkeypatch):
    need("iverilog", "vvp")
    monkeypatch.setattr(toolchain.cache, "place", lambda: tmp_path)
    for seed in SEEDS:
        check(functools.partial(hdl.simulate, engine="icarus"), name, seed)


@pytest.mark.parametrize("engine", [tlm, rtl, functools.partial(hdl.simulate, engine="icarus")],
                         ids=["tlm", "myhdl", "icarus"])
def test_bits_above_a_code_do_not_count(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(toolchain.cache, "place", lambda: tmp_path)
    if isinstance(engine, functools.partial):
        need("iverilog", "vvp")
    program = strategies.small_program(config=CONFIGS["m4ab5"])
    codes = strategies.random_inputs(program)
    memory, (read,), (written,) = memory_image(program, codes), program.inputs, program.outputs
    area = slice(read.address, written.address)
    clean, memory[area] = memory[area].copy(), smudged(memory[area], program.config)
    assert (memory[area] != clean).mean() > 0.8
    found = engine(program, memory, model(0))
    for tensor, expected in reference.run(program, codes).items():
        np.testing.assert_array_equal(found.tensors[tensor], expected)
    assert found.memory[written.address:].max() < program.config.codes
