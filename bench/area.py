"""Area of the machine's blocks, by Yosys for Xilinx 7: `python bench/area.py [--config FILE]`.

Every block of the machine is converted and synthesised alone, then the core as a whole, which the
area goal is about, and the stream fetcher that fills its tap cache. LUT counts logic cells and the
sites of LUT RAM and shift registers. The core differs from the sum of its blocks, since Yosys
optimises across blocks, and splits logic that lies off the longest path into smaller cells.

All ports are pins, those of the trace too, which cost nothing. Inverters and carry chains that need
no look-up table before them (a counter's) are no logic cells, so Yosys counts them as nothing; a
tool that places the core may need a few more.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import myhdl
from kcnn.arch.config import Config
from kcnn.cli import report
from kcnn.rtl.machine import MachinePorts, machine
from kcnn.rtl.quirks import forget_designs
from myhdl import Signal, block
from myhdl._block import _Block

# the core that the area goal is stated for: at most 80 LUT a lane
GOAL = Config(name="area", lanes=32, share=8, drain=1, code_bits=4, memory_codes=65536,
              tap_slots=4096, base_entries=1024, port_bits=64)
GOAL_LUTS = 80
CORE = "core"
FETCHER = "stream_fetcher"
# LUT sites that a memory cell takes
SITES = {"RAM32X1S": 1, "RAM64X1S": 1, "RAM128X1S": 2, "RAM256X1S": 4, "RAM32X1D": 2,
         "RAM64X1D": 2, "RAM128X1D": 4, "RAM32M": 4, "RAM64M": 4, "SRL16E": 1, "SRLC16E": 1,
         "SRLC32E": 1}


@dataclasses.dataclass(frozen=True)
class Area:
    """Cells of a synthesised block. luts includes lut_ram."""

    luts: int
    lut_ram: int
    flip_flops: int
    dsps: int
    block_rams: float

    @classmethod
    def of(cls, cells: dict[str, int]) -> Area:
        """From the numbers of cells by type."""
        ram = sum(SITES.get(kind, 0) * number for kind, number in cells.items())
        logic = sum(n for kind, n in cells.items() if re.fullmatch("LUT[1-6]", kind))
        return cls(logic + ram, ram,
                   sum(n for kind, n in cells.items() if re.fullmatch("FD[A-Z]E(_1)?", kind)),
                   sum(n for kind, n in cells.items() if kind.startswith("DSP48")),
                   sum(n for kind, n in cells.items() if kind.startswith("RAMB36"))
                   + sum(n for kind, n in cells.items() if kind.startswith("RAMB18")) / 2)


def fresh(value: Any, known: dict[int, Any]) -> Any:
    """A copy of a block's argument with Signals of its own; what is no Signal stays as it is.

    known: copies made so far by id, so that Signals that the original shares stay shared.
    """
    if id(value) in known:
        return known[id(value)]
    if isinstance(value, myhdl._Signal._Signal):
        made: Any = Signal(value._init)
        if isinstance(value, myhdl.ResetSignal):
            made = myhdl.ResetSignal(bool(value._init), value.active, value.isasync)
    elif isinstance(value, list):
        made = [fresh(item, known) for item in value]
    elif hasattr(value, "__dict__") and _holds_signals(value):
        made = object.__new__(type(value))
        made.__dict__ = {name: fresh(item, known) for name, item in vars(value).items()}
    else:
        made = value
    known[id(value)] = made
    return made


def _holds_signals(value: Any) -> bool:
    items = value if isinstance(value, list) else vars(value).values()
    return any(isinstance(item, myhdl._Signal._Signal)
               or (isinstance(item, list) or hasattr(item, "__dict__"))
               and not isinstance(item, Config) and _holds_signals(item) for item in items)


def signals(value: Any, in_lists: bool = False) -> dict[int, Any]:
    """All Signals in an argument by id, in a stable order; in_lists: only those in lists."""
    if isinstance(value, myhdl._Signal._Signal):
        return {} if in_lists else {id(value): value}
    if isinstance(value, Config):
        return {}
    if isinstance(value, list):
        in_lists, items = False, value
    else:
        items = list(getattr(value, "__dict__", {}).values())
    return {key: found for item in items for key, found in signals(item, in_lists).items()}


def driven(instance: _Block) -> set[int]:
    """Ids of the Signals that processes of a block and the blocks in it assign to."""
    found: set[int] = set()
    for sub in instance.subs:
        if isinstance(sub, _Block):
            found |= driven(sub)
        else:
            targets = [sub.symdict[name] for name in sub.outputs | sub.inouts]
            found |= {key for target in targets for key in signals(target)}
    return found


class Pins:
    """The ports of a block as one interface."""

    def __init__(self, found: list[Any]) -> None:
        for number, signal in enumerate(found):
            setattr(self, f"s{number}", signal)


@block
def wire(source: Any, target: Any) -> Any:
    """target = source"""

    @myhdl.always_comb
    def pass_on() -> None:
        target.next = source

    return pass_on


def alone(instance: _Block) -> _Block:
    """The same block as a top of its own.

    Signals in lists cannot be ports: they get ports beside them, wired in their direction.
    """
    known: dict[int, Any] = {}
    arguments = [fresh(value, known) for value in instance.args]
    named = {name: fresh(value, known) for name, value in instance.kwargs.items()}
    pins = signals([*arguments, *named.values()])
    outputs = {id(known[key]) for key in driven(instance) if key in known}
    inner = {key: pins[key] for value in [*arguments, *named.values()]
             for key in signals(value, in_lists=True)}
    for key, signal in inner.items():
        pins[key] = fresh(signal, {})
    wires = [(signal, pins[key]) if key in outputs else (pins[key], signal)
             for key, signal in inner.items()]

    @block
    def top(pins: Pins) -> Any:
        return block(instance.func)(*arguments, **named), [wire(*ends) for ends in wires]

    return top(Pins(list(pins.values())))


def synthesise(design: _Block, name: str) -> Area:
    """Convert a top to Verilog and map it to the cells of Xilinx 7."""
    with tempfile.TemporaryDirectory(prefix="kcnn-area-") as folder:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            design.convert(hdl="Verilog", path=folder, name=name, initial_values=True)
        script = (f"read_verilog {name}.v; synth_xilinx -family xc7 -top {name} -flatten -noiopad "
                  "-noclkbuf; tee -q -o cells.json stat -json")
        done = subprocess.run(["yosys", "-q", "-p", script], cwd=folder, capture_output=True,
                              text=True)
        if done.returncode:
            raise RuntimeError(f"yosys cannot synthesise {name}: {done.stderr[-2000:]}")
        text = Path(folder, "cells.json").read_text()
    found = json.loads(text[text.index("{"):])["design"]["num_cells_by_type"]
    return Area.of(found)


# ---- the machine's blocks ----------------------------------------------------------------------
def children(instance: _Block) -> dict[str, tuple[_Block, int]]:
    """The blocks of a block, one of each name, and how often it is there."""
    subs = [sub for sub in instance.subs if isinstance(sub, _Block)]
    counts = Counter(sub.func.__name__ for sub in subs)
    return {sub.func.__name__: (sub, counts[sub.func.__name__]) for sub in reversed(subs)}


def descendant(instance: _Block, name: str) -> _Block:
    """The block of that name somewhere inside; KeyError if there is none."""
    for sub in instance.subs:
        if isinstance(sub, _Block):
            if sub.func.__name__ == name:
                return sub
            try:
                return descendant(sub, name)
            except KeyError:
                continue
    raise KeyError(name)


def the_machine(config: Config) -> _Block:
    """The machine of a configuration, afresh."""
    forget_designs()
    ports = MachinePorts(config)
    return machine(ports.clk, ports.reset, ports.start, ports.done, ports.mem, ports.trace, config)


def measure(instance: _Block) -> Area:
    """The area of a block, alone."""
    name = instance.func.__name__
    return synthesise(alone(instance), f"{name}_alone")


def area_of(name: str, config: Config) -> Area:
    """The area of the machine's block of that name, as a whole."""
    return measure(descendant(the_machine(config), name))


def blocks(config: Config) -> list[tuple[str, int, Area]]:
    """Every block of the core and of the machine, alone."""
    top = the_machine(config)
    parts = children(descendant(top, CORE)) | children(top)
    del parts[CORE]
    found = []
    for name, (instance, count) in parts.items():
        print(name, file=sys.stderr)
        found.append((name, count, measure(instance)))
    return found


def show(title: str, config: Config, rows: list[tuple[str, int, Area]]) -> None:
    """The table; LUT a lane counts all blocks of that name."""
    report.table(
        f"{title} (P={config.lanes} M={config.share} D={config.drain} AB={config.code_bits})",
        ("block", "number", "LUT", "of it RAM", "FF", "DSP", "BRAM36", "LUT a lane"),
        [(name, count, area.luts, area.lut_ram, area.flip_flops, area.dsps,
          f"{area.block_rams:g}", f"{count * area.luts / config.lanes:.1f}")
         for name, count, area in rows])


def main() -> None:
    """Measure and print; exit code 1 if the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config", help="preset or TOML file; default: that of the area goal")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--core", action="store_true", help="only what the goal counts")
    only.add_argument("--whole", action="store_true", help="only the whole machine, as one")
    arguments = parser.parse_args()
    config = Config.load(arguments.config) if arguments.config else GOAL
    if arguments.whole:
        show(f"The whole of {config.name}", config, [("machine", 1, measure(the_machine(config)))])
        return
    if not arguments.core:
        show(f"Blocks of {config.name}, each alone", config, blocks(config))
    core, fetcher = area_of(CORE, config), area_of(FETCHER, config)
    show(f"{config.name}: all but sequencer, port, load and store", config,
         [(CORE, 1, core), (FETCHER, 1, fetcher)])
    used = core.luts / config.lanes
    print(f"core: {used:.1f} LUT a lane, "
          f"with stream fetcher {(core.luts + fetcher.luts) / config.lanes:.1f}")
    if config == GOAL and used > GOAL_LUTS:
        sys.exit(f"core: more than {GOAL_LUTS} LUT a lane")


if __name__ == "__main__":
    main()
