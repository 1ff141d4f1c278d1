"""External HDL simulators: found, and built once (rtl/cache.py)."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from collections.abc import Sequence
from pathlib import Path

from ..arch.errors import KcnnError
from . import cache, process

BENCH = Path(__file__).parent / "bench"
SUFFIXES = {"verilog": ".v", "vhdl": ".vhd"}


class ToolError(KcnnError):
    """An external tool is missing or failed."""


@dataclasses.dataclass(frozen=True)
class Tool:
    """An engine's programs, the Debian packages that hold them, and its HDL."""

    programs: tuple[str, ...]
    packages: str
    hdl: str

    @property
    def suffix(self) -> str:
        return SUFFIXES[self.hdl]


TOOLS = {
    "icarus": Tool(("iverilog", "vvp"), "iverilog", "verilog"),
    "verilator": Tool(("verilator", "g++", "make"), "verilator g++ make", "verilog"),
    "ghdl": Tool(("ghdl",), "ghdl", "vhdl"),
}


def require(engine: str) -> None:
    """Raise ToolError if a program of the engine is missing."""
    tool = TOOLS[engine]
    for program in tool.programs:
        if shutil.which(program) is None:
            raise ToolError(f"engine {engine} needs {program}, which is not on the search path: "
                            f"install it with 'apt-get install {tool.packages}'")


@functools.cache
def version(program: str) -> str:
    """What the program says of its version."""
    flag = "-V" if program == "iverilog" else "--version"
    done = process.call([program, flag])
    return done.stdout.partition("\n")[0]


@dataclasses.dataclass(frozen=True)
class Machine:
    """Sources of a converted top block and the parameters of its bench."""

    sources: tuple[Path, ...]
    parameters: tuple[tuple[str, int], ...]


@dataclasses.dataclass(frozen=True)
class Simulator:
    """A built simulator: the command that runs it in a folder of bench files."""

    engine: str
    folder: Path
    parameters: tuple[tuple[str, int], ...]

    def command(self, words: int, quiet: int, vcd: bool) -> list[str]:
        """The command; it leaves trace.vcd in the working folder if `vcd`."""
        if self.engine == "ghdl":
            generics = [*self.parameters, ("WORDS", words), ("QUIET", quiet)]
            return ["ghdl", "-r", "--std=08", f"--workdir={self.folder}", "bench",
                    *(f"-g{name}={value}" for name, value in generics),
                    "--ieee-asserts=disable", *(["--vcd=trace.vcd"] if vcd else [])]
        start = ["vvp", "-n"] if self.engine == "icarus" else []
        return [*start, str(self.folder / "bench"), f"+words={words}", f"+quiet={quiet}"]


def build(engine: str, machine: Machine, vcd: bool = False) -> Simulator:
    """The engine's simulator of a machine, from the cache or built now.

    Raises ToolError if a program is missing or fails.
    """
    require(engine)
    tool = TOOLS[engine]
    bench = BENCH / f"bench{tool.suffix}"
    texts = [path.read_bytes() for path in (*machine.sources, bench)]
    fixed = () if engine == "ghdl" else machine.parameters
    key = cache.digest([engine.encode(), version(tool.programs[0]).encode(), repr(fixed).encode(),
                  str(vcd and engine != "ghdl").encode(), *texts])
    names = [path.name for path in (*machine.sources, bench)]

    def fill(folder: Path) -> None:
        for name, text in zip(names, texts, strict=True):
            (folder / name).write_bytes(text)
        for command in _build_commands(engine, names, fixed, vcd):
            _run_tool(engine, command, folder)
        if engine == "verilator":
            shutil.move(folder / "obj" / "bench", folder / "bench")
            shutil.rmtree(folder / "obj")

    return Simulator(engine, cache.folder(f"{engine}-{key}", fill), machine.parameters)


def _build_commands(engine: str, names: Sequence[str], parameters: Sequence[tuple[str, int]],
                    vcd: bool) -> list[list[str]]:
    if engine == "icarus":
        return [["iverilog", "-g2005-sv", "-s", "bench", "-o", "bench",
                 *(f"-Pbench.{name}={value}" for name, value in parameters),
                 *(["-DDUMP"] if vcd else []), *names]]
    if engine == "verilator":
        return [["verilator", "--binary", "--timing", "-O3", "--x-assign", "fast",
                 "--x-initial", "fast", "-Wno-fatal", "-Wno-lint", "-Wno-style",
                 "--top-module", "bench", "--Mdir", "obj", "-o", "bench",
                 *(f"-G{name}={value}" for name, value in parameters),
                 *(["--trace", "-DDUMP"] if vcd else []), *names]]
    return [["ghdl", "-a", "--std=08", *names],
            ["ghdl", "-e", "--std=08", "bench"]]


def _run_tool(engine: str, command: list[str], folder: Path) -> None:
    done = process.call(command, folder)
    if done.returncode:
        said = process.said(done)
        errors = [line for line in said if "error" in line.lower()] or said
        raise ToolError(f"engine {engine}: {command[0]} ({version(command[0])}) failed: "
                        f"{errors[0]}")
