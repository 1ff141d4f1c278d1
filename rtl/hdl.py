"""The converted machine as an engine: Verilog on Icarus and Verilator, VHDL on GHDL.

A stand-alone bench (rtl/bench) runs a whole program without Python in the loop: it reads the
external memory and the waits of the memory model from files, and writes memory, start and end
marks and all writes of the activation memory to files.
"""

from __future__ import annotations

import functools
import os
import shutil
import sys
import tempfile
from pathlib import Path

import myhdl
import numpy as np
from numpy.typing import NDArray

from ..arch import scratch
from ..arch.config import Config
from ..arch.engine import MemoryModel, Result
from ..arch.isa import Unit
from ..arch.program import Program
from . import benchfiles, cache, process, toolchain
from .benchfiles import EngineError
from .convert import convert
from .trace import stamps, tensors_from

ENGINES = tuple(toolchain.TOOLS)
LEAST_MEMORY = 1 << 20      # bytes of a bench's memory array: small programs share one simulator

Ints = NDArray[np.int64]


def simulate(program: Program, memory: NDArray[np.uint8], model: MemoryModel, engine: str,
             vcd: Path | None = None) -> Result:
    """Run a program on converted HDL.

    memory: external memory before the start (arch.program.memory_image). engine: one of ENGINES.
    vcd: file for the waveforms of all signals, written also if the machine hangs. Raises ToolError
    for a missing or failing tool, EngineError if the machine hangs or leaves its memory.
    """
    simulator = _simulator(program.config, len(memory), engine, vcd is not None)
    with scratch.folder(Path(tempfile.gettempdir())) as folder:
        words = benchfiles.write_memory(folder / benchfiles.IMAGE, memory,
                                        program.config.port_bytes)
        benchfiles.write_waits(folder / benchfiles.WAITS, model)
        quiet = benchfiles.quiet_limit(program.config, model)
        _execute(simulator.command(words, quiet, vcd is not None), engine, folder)
        if vcd is not None:
            _place(folder / "trace.vcd", vcd)
        cycles = _cycles(engine, folder)
        return _result(program, engine, folder, cycles, len(memory))


def build(config: Config, engine: str) -> None:
    """Convert and build now, so that later runs start at once."""
    _simulator(config, LEAST_MEMORY, engine, False)


def _simulator(config: Config, memory_bytes: int, engine: str, vcd: bool) -> toolchain.Simulator:
    toolchain.require(engine)
    sources = converted(config, toolchain.TOOLS[engine].hdl)
    return toolchain.build(engine, toolchain.Machine(
        sources, bench_parameters(config, memory_bytes, engine)), vcd)


def bench_parameters(config: Config, memory_bytes: int, engine: str
                     ) -> tuple[tuple[str, int], ...]:
    """What the bench must know of the machine."""
    depth = 1 << (max(memory_bytes, LEAST_MEMORY) // config.port_bytes - 1).bit_length()
    sizes = (("PORT_BYTES", config.port_bytes), ("ROW_BITS", benchfiles.row_bits(config)),
             ("CELLS", config.row_codes), ("CODE_BITS", config.code_bits))
    return sizes if engine == "ghdl" else (*sizes, ("DEPTH", depth))


def converted(config: Config, hdl: str) -> tuple[Path, ...]:
    """The machine's HDL files in compile order, from the cache or converted now."""
    key = cache.digest([config.hash, hdl.encode(), _source_digest().encode()])
    folder = cache.folder(f"{hdl}-{key}", lambda empty: _convert(config, hdl, empty))
    suffix = toolchain.SUFFIXES[hdl]
    found = [path for path in folder.iterdir() if path.suffix == suffix]
    return tuple(sorted(found, key=lambda path: (not path.name.startswith("pck_"), path.name)))


def _convert(config: Config, hdl: str, folder: Path) -> None:
    convert(config, hdl, folder)


@functools.cache
def _source_digest() -> str:
    """Identifies everything that conversion depends on but the configuration."""
    here = Path(__file__).parent
    files = sorted([*here.glob("*.py"), *(here.parent / "arch").glob("*.py")])
    return cache.digest([sys.version.encode(), myhdl.__version__.encode(),
                             *(path.read_bytes() for path in files)])


def _execute(command: list[str], engine: str, folder: Path) -> None:
    done = process.call(command, folder)
    if done.returncode < 0 or not (folder / benchfiles.OUTCOME).exists():
        raise EngineError(f"engine {engine}: {command[0]} stopped with status {done.returncode}: "
                          f"{process.said(done)[0]}")


def _cycles(engine: str, folder: Path) -> int:
    """The cycle of `done`; EngineError if the run ended otherwise."""
    word, cycle, detail = benchfiles.read_outcome(folder / benchfiles.OUTCOME)
    if word == "hung":
        raise EngineError(f"engine {engine}: the machine hangs: nothing happened from cycle "
                          f"{detail + 1} to {cycle}, when it was stopped")
    if word == "beyond":
        raise EngineError(f"engine {engine}: in cycle {cycle} the machine asked for external "
                          f"memory at byte {detail}, outside the program's memory or between "
                          "two beats")
    if word == "overlap":
        raise EngineError(f"engine {engine}: in cycle {cycle} the machine started a burst at byte "
                          f"{detail} while another one was running")
    return cycle


def _place(made: Path, wanted: Path) -> None:
    """Move a file, so that `wanted` is never there in part."""
    with scratch.folder(wanted.parent) as folder:
        shutil.copyfile(made, folder / wanted.name)
        os.replace(folder / wanted.name, wanted)


def _result(program: Program, engine: str, folder: Path, cycles: int, size: int) -> Result:
    config = program.config
    memory = benchfiles.read_memory(folder / benchfiles.MEMORY, size, config.port_bytes)
    cycle, started, ended = benchfiles.read_stamps(folder / benchfiles.STAMPS)
    writes = benchfiles.read_writes(folder / benchfiles.WRITES, config)
    starts = stamps(program, _by_unit(cycle, started), engine, "took")
    ends = stamps(program, _by_unit(cycle, ended), engine, "ended")
    return Result(engine, cycles, memory, starts, ends,
                  tensors_from(program, writes, ends, memory), writes)


def _by_unit(cycle: Ints, bits: Ints) -> dict[Unit, Ints]:
    return {unit: cycle[(bits >> int(unit) & 1).astype(bool)] for unit in Unit}
