"""Random small networks: torch, reference, TLM and RTL compute the same, in the same cycles."""

from __future__ import annotations

import functools

import canonical
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from kcnn.arch.engine import MemoryModel
from kcnn.arch.program import memory_image
from kcnn.compiler import pipeline
from kcnn.compiler.errors import CompileError
from kcnn.rtl import hdl, toolchain
from kcnn.rtl.simulate import simulate as rtl
from kcnn.tlm.machine import simulate as tlm
from tools import need

IN_MYHDL = (canonical.config(memory_codes=4096),
            canonical.config(memory_codes=4096, lanes=8, share=4, port_bits=64, drain=2,
                             code_bits=5))
CONVERTED = canonical.config(memory_codes=1 << 14)
MOST_CYCLES = 4000          # of a program that MyHDL runs
QUICK = functools.partial(settings, deadline=None, derandomize=True,
                          suppress_health_check=list(HealthCheck))


def agree(engine, quantised, machine, batch, seed, most=None):
    """Compile, let torch check the reference, and the reference and the TLM check an engine."""
    try:
        program = pipeline.back(quantised, machine, batch)
    except CompileError as error:
        assert "do not fit memory_codes" in str(error) or "does not fit memory_codes" in str(error)
        assume(False)
    codes = canonical.random_codes(program, seed)
    tensors = canonical.check(quantised, program, codes)
    memory, waits = memory_image(program, [codes]), MemoryModel.random(seed)
    model = tlm(program, memory, waits)
    assume(most is None or model.cycles <= most)
    found = engine(program, memory, waits)
    for index, expected in tensors.items():
        np.testing.assert_array_equal(found.tensors[index], expected,
                                      program.tensors[index].name)
    np.testing.assert_array_equal(found.starts, model.starts)
    np.testing.assert_array_equal(found.ends, model.ends)
    assert found.cycles == model.cycles


@pytest.mark.parametrize("machine", IN_MYHDL, ids=["tiny", "wide"])
def test_myhdl(machine):
    @QUICK(max_examples=5)
    @given(data=st.data(), batch=st.integers(1, 3), seed=st.integers(0, 99))
    def runs(data, batch, seed):
        agree(rtl, data.draw(canonical.small_networks(machine)), machine, batch, seed, MOST_CYCLES)

    runs()


def test_converted_verilog():
    need(*toolchain.TOOLS["verilator"].programs)

    @QUICK(max_examples=40)
    @given(data=st.data(), batch=st.integers(1, 3), seed=st.integers(0, 99))
    def runs(data, batch, seed):
        agree(functools.partial(hdl.simulate, engine="verilator"),
              data.draw(canonical.small_networks(CONVERTED)), CONVERTED, batch, seed)

    runs()
