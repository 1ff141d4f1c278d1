"""One way to call every engine: the reference, the models and the converted machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..arch import reference
from ..arch.check import same_machine
from ..arch.config import Config
from ..arch.engine import MemoryModel, Result
from ..arch.errors import KcnnError
from ..arch.program import Program, memory_image
from ..rtl import toolchain

Ints = NDArray[np.int64]
RTL = ("myhdl", "icarus", "verilator", "ghdl")
ENGINES = ("reference", "tlm", *RTL)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What an engine made of one batch.

    tensors: codes by tensor index. outputs: codes of every output port; the machines' are read from
    external memory. result: None for the reference, which knows no cycles.
    """

    engine: str
    tensors: dict[int, Ints]
    outputs: list[Ints]
    result: Result | None = None


def check_names(names: Sequence[str]) -> None:
    """Raise KcnnError for an engine that does not exist or misses a tool."""
    for name in names:
        if name not in ENGINES:
            raise KcnnError(f"there is no engine {name!r}; engines are {', '.join(ENGINES)}")
    for name in names:
        if name in toolchain.TOOLS:
            toolchain.require(name)


def check_config(program: Program, config: str | None) -> None:
    """Raise ConfigError if the binary was compiled for another machine than the one named."""
    if config is not None:
        same_machine(program, Config.load(config), "the binary")


def memory_model(program: Program, seed: int | None) -> MemoryModel:
    """The configuration's fixed latency, or random waits. Raises KcnnError for a negative seed."""
    if seed is None:
        return MemoryModel.fixed(program.config.latency)
    if seed < 0:
        raise KcnnError(f"memory seed {seed} is negative; give 0 or more")
    return MemoryModel.random(seed)


def execute(engine: str, program: Program, codes: Sequence[Ints], model: MemoryModel,
            vcd: Path | None = None, trace: bool = False) -> Outcome:
    """Run one batch (codes (planes, N, C, H, W) of every input) on an engine.

    trace: also record the writes of the activation memory, on engines that can do without.
    """
    if engine == "reference":
        tensors = reference.run(program, codes)
        return Outcome(engine, tensors, [tensors[port.tensor] for port in program.outputs])
    result = machine(engine, program, memory_image(program, codes), model, vcd, trace)
    return Outcome(engine, result.tensors, outputs(program, result.memory), result)


def machine(engine: str, program: Program, memory: NDArray[np.uint8], model: MemoryModel,
            vcd: Path | None = None, trace: bool = False) -> Result:
    """Run a machine on external memory."""
    if engine == "tlm":
        from ..tlm import machine as tlm
        return tlm.simulate(program, memory, model, trace)
    if engine == "myhdl":
        from ..rtl import simulate as rtl
        return rtl.simulate(program, memory, model, vcd=vcd)
    from ..rtl import hdl
    return hdl.simulate(program, memory, model, engine, vcd=vcd)


def outputs(program: Program, memory: NDArray[np.uint8]) -> list[Ints]:
    """Codes of every output port in external memory."""
    found = []
    for port in program.outputs:
        tensor = program.tensors[port.tensor]
        place = tensor.outside(port.address, program.config)
        found.append(place.read(memory, tensor.kind, program.config))
    return found
