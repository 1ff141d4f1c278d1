"""External HDL simulators: found, built and cached.

The cache (the user's cache folder) holds converted machines and compiled simulators, each in a
folder named by the hash of everything it was made from. A folder appears whole, by renaming.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import platformdirs

from ..arch.errors import KcnnError

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
    done = subprocess.run([program, flag], capture_output=True, text=True, check=False)
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
    key = digest([engine.encode(), version(tool.programs[0]).encode(), repr(fixed).encode(),
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

    return Simulator(engine, cached(f"{engine}-{key}", fill), machine.parameters)


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
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in said if "error" in line.lower()] or said or ["nothing said"]
        raise ToolError(f"engine {engine}: {command[0]} ({version(command[0])}) failed: "
                        f"{errors[0].strip()}")


def digest(parts: Sequence[bytes]) -> str:
    """A name for something made from these parts, in this order."""
    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "little") + part)
    return total.hexdigest()[:32]


def cache_folder() -> Path:
    """Where kcnn keeps what it can build again."""
    return Path(platformdirs.user_cache_dir("kcnn"))


def cached(name: str, fill: Callable[[Path], None]) -> Path:
    """The cache's folder `name`; if there is none, `fill` makes its contents in an empty folder.

    Of several processes that fill at once, one's folder stays.
    """
    home = cache_folder()
    final = home / name
    if final.is_dir():
        return final
    try:
        home.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".making-", dir=home))
    except OSError as error:
        raise ToolError(f"the cache folder {home} cannot be written ({error.strerror}): "
                        "set XDG_CACHE_HOME to a folder of yours") from None
    try:
        fill(folder)
        os.replace(folder, final)
    except OSError:
        if not final.is_dir():
            raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return final
