"""Random machine programs: the RTL in MyHDL against the TLM, stamp by stamp and byte by byte."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from kcnn.arch.config import Config
from kcnn.arch.engine import MemoryModel
from kcnn.rtl.simulate import simulate as rtl
from kcnn.tlm.machine import simulate as tlm
from machine_programs import CONFIGS, SMALL, random_program

MODELS = {"fixed": lambda seed: MemoryModel.fixed(8), "none": lambda seed: MemoryModel.fixed(0),
          "random": MemoryModel.random}
# wider beats than the other configurations have: instructions lie in parts of beats
WIDE = {bits: dataclasses.replace(Config.preset("tiny"), name=f"port{bits}", lanes=32, share=8,
                                  code_bits=8, value_bits=10, memory_codes=8192, drain=4,
                                  port_bits=bits, burst=512 // bits, tap_slots=64,
                                  base_entries=64) for bits in (256, 512)}
CONFIGS = CONFIGS | {config.name: config for config in WIDE.values()}
CASES = ([(name, 40 + number, "random") for number, name in enumerate(CONFIGS)]
         + [(name, 60 + number, ("none", "fixed")[number % 2])
            for number, name in enumerate(SMALL[::3])])


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


@pytest.mark.parametrize("name, seed, model", CASES)
def test_rtl_and_tlm_agree_on_random_programs(name, seed, model):
    program, memory = random_program(seed, CONFIGS[name], runs=2, channels=4, positions=40)
    waits = MODELS[model](seed)
    assert first_difference(rtl(program, memory, waits), tlm(program, memory, waits, True)) == ""
