"""Record a MyHDL run of a block, and replay it on the converted Verilog and VHDL.

`make()` returns (block, ports): a block function and its keyword arguments, signals or interface
classes holding signals, made afresh at each call. The clock is the port `clk`, a reset is any
ResetSignal. A stimulus is a generator function `stimulus(ports, rng)`: resumed once a clock, it
sets `.next` of the inputs and may read what the outputs show at the start of that cycle; what its
`yield` gives back are the values {port: value} at the end of the cycle before.
"""

from __future__ import annotations

import random
import re
import tempfile
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import replay_benches
from kcnn.rtl.quirks import (
    conversion_warnings_as_errors,
    forget_designs,
    refuse_ambiguous_names,
    refuse_reserved_names,
    refuse_shadow_lists,
    settle_initial_values,
)
from myhdl import ResetSignal, StopSimulation, block, delay, instance
from tools import need, output_of

Make = Callable[[], tuple[Callable[..., Any], dict[str, Any]]]
Values = dict[str, int]
Stimulus = Callable[[dict[str, Any], random.Random], Generator[None, Values, None]]
TOOLS = ("iverilog", "ghdl", "verilator", "yosys")


class Port(NamedTuple):
    """A port of the converted module; vector tells `[0:0]` from a single bit."""

    name: str
    output: bool
    signed: bool
    width: int
    vector: bool


class Recording(NamedTuple):
    """Ports without the clock, inputs first, and their values in every cycle."""

    ports: list[Port]
    rows: list[Values]

    def of(self, name: str) -> list[int]:
        """The values of one port, cycle by cycle."""
        return [row[name] for row in self.rows]


def replay(make: Make, cycles: int, stimulus: Stimulus | None = None, seed: int = 1,
           tools: Sequence[str] = TOOLS) -> Recording:
    """Record `cycles` clocks, replay them with every tool; outputs must agree from cycle 1 on.

    Without a stimulus all inputs are random, and resets are active in the first two cycles.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ports = convert(make, folder)
        recording = record(make, ports, cycles, stimulus or random_inputs, seed)
        need(*tools)
        _write(folder, recording, any(p.name == "clk" for p in ports))
        for tool in tools:
            _USE[tool](folder)
    return recording


def convert(make: Make, folder: Path) -> list[Port]:
    """Write dut.v and dut.vhd; returns the ports in the order of the module, clock included."""
    for hdl, extra in (("Verilog", {"testbench": False}), ("VHDL", {})):
        forget_designs()
        function, ports = make()
        design = function(**ports)
        settle_initial_values(design)
        refuse_shadow_lists(design)
        refuse_ambiguous_names(design)
        refuse_reserved_names(design)
        with conversion_warnings_as_errors():
            design.convert(hdl=hdl, path=str(folder), name="dut", initial_values=True, **extra)
    return _ports_of((folder / "dut.v").read_text())


def _ports_of(verilog: str) -> list[Port]:
    head = re.search(r"module \w+ \((.*?)\);", verilog, re.S)
    assert head
    pattern = r"^(input|output) (signed )?(?:\[(\d+):0\] )?(\w+);"
    found = {name: Port(name, way == "output", bool(signed), int(top or 0) + 1, bool(top))
             for way, signed, top, name in re.findall(pattern, verilog, re.M)}
    return [found[name.strip()] for name in head.group(1).split(",")]


def signals_of(ports: dict[str, Any]) -> dict[str, Any]:
    """Signals by flat name: attribute a of interface i is i_a."""
    found = {}
    for name, port in ports.items():
        if hasattr(port, "next"):
            found[name] = port
        elif hasattr(port, "__dict__"):
            inner = signals_of(vars(port))
            found.update({f"{name}_{key}": signal for key, signal in inner.items()})
    return found


def random_inputs(ports: dict[str, Any], rng: random.Random
                  ) -> Generator[None, Values, None]:
    """Drives flat inputs: edges of each range, or anything; resets first, then rarely."""
    cycle = 0
    while True:
        for signal in ports.values():
            if isinstance(signal, ResetSignal):
                active = cycle < 2 or rng.random() < 0.02
                signal.next = signal.active if active else not signal.active
            elif signal._type is bool:
                signal.next = rng.random() < 0.5
            else:
                low, high = signal.min, signal.max - 1
                signal.next = rng.choice((low, high, rng.randint(low, high),
                                          rng.randint(low, high)))
        cycle += 1
        yield


def record(make: Make, ports: list[Port], cycles: int, stimulus: Stimulus, seed: int) -> Recording:
    """Simulate in MyHDL; row t of the recording holds the values in cycle t."""
    kept = sorted((p for p in ports if p.name != "clk"), key=lambda p: p.output)
    rows: list[Values] = []
    forget_designs()

    @block
    def bench():
        function, arguments = make()
        dut = function(**arguments)
        signals = signals_of(arguments)
        inputs = {p.name: signals[p.name] for p in kept if not p.output}
        drive = stimulus(inputs if stimulus is random_inputs else arguments, random.Random(seed))

        @instance
        def clocks():
            for _ in range(cycles):
                drive.send(rows[-1] if rows else None)
                yield delay(1)
                rows.append({p.name: int(signals[p.name].val) for p in kept})
                if "clk" in signals:
                    signals["clk"].next = 1
                    yield delay(1)
                    signals["clk"].next = 0
                yield delay(1)
            raise StopSimulation
        return dut, clocks

    bench().run_sim(quiet=1)
    return Recording(kept, rows)


def _write(folder: Path, recording: Recording, clocked: bool) -> None:
    def bits(value: int, width: int) -> str:
        return format(value & ((1 << width) - 1), f"0{width}b")

    lines = ("".join(bits(row[p.name], p.width) for p in recording.ports)
             for row in recording.rows)
    (folder / "rows.txt").write_text("\n".join(lines) + "\n")
    bench = replay_benches.verilog(recording.ports, len(recording.rows), clocked)
    (folder / "tb.v").write_text(bench)
    (folder / "tb.vhd").write_text(replay_benches.vhdl(recording.ports, clocked))


def _check(text: str, tool: str) -> None:
    assert "DONE bad=0" in text, f"{tool} differs from MyHDL\n{text[-3000:]}"


def _icarus(folder: Path) -> None:
    said = output_of(["iverilog", "-g2005", "-Wall", "-o", "dut.vvp", "tb.v", "dut.v"], folder)
    quiet = [line for line in said.splitlines() if "timescale" not in line]
    assert not quiet, "iverilog warns\n" + "\n".join(quiet)
    _check(output_of(["vvp", "dut.vvp"], folder), "Icarus")


def _ghdl(folder: Path) -> None:
    package = next(folder.glob("pck_myhdl_*.vhd")).name
    output_of(["ghdl", "-a", "--std=08", package, "dut.vhd", "tb.vhd"], folder)
    output_of(["ghdl", "-e", "--std=08", "tb"], folder)
    _check(output_of(["ghdl", "-r", "--std=08", "tb", "--ieee-asserts=disable"], folder), "GHDL")


def _verilator(folder: Path) -> None:
    said = output_of(["verilator", "--lint-only", "-Wno-WIDTH", "dut.v"], folder)
    assert not said.strip(), f"verilator warns\n{said}"


def _yosys(folder: Path) -> None:
    output_of(["yosys", "-q", "-p", "read_verilog dut.v; hierarchy -check -top dut; proc; check"],
              folder)


_USE = {"iverilog": _icarus, "ghdl": _ghdl, "verilator": _verilator, "yosys": _yosys}
