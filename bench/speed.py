"""Speed of every engine on the demo network: `python bench/speed.py [NET.kbin]`.

Each engine runs the same image; a compiled simulator is built before its clock starts. Cycles per
second are those of the simulated machine, ratios are against the MyHDL RTL. The last row is the
cost model, which computes nothing but the clocks. Then what it takes to compare geometries, as a
choice of tiles does: all of a RUN's at once, against the clocks of each by cause.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import time
from pathlib import Path

import numpy as np
from kcnn.arch import cost, host, isa, kbin
from kcnn.arch.engine import MemoryModel
from kcnn.arch.estimate import estimate, stream_of
from kcnn.arch.program import Program
from kcnn.cli import report
from kcnn.engines import execute as engines
from kcnn.rtl import hdl
from kcnn.rtl.toolchain import TOOLS

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "out" / "digits" / "digits.kbin"


@dataclasses.dataclass(frozen=True)
class Speed:
    """One engine: seconds to build it and to run one batch, and the machine's cycles."""

    engine: str
    build: float
    run: float
    cycles: int | None

    @property
    def rate(self) -> float | None:
        """Cycles per second."""
        return None if self.cycles is None else self.cycles / self.run


def measure(engine: str, program: Program, codes: list[np.ndarray]) -> Speed:
    """Build an engine if it needs that, then run one batch."""
    model = MemoryModel.fixed(program.config.latency)
    begun = time.perf_counter()
    if engine in hdl.ENGINES:
        hdl.build(program.config, engine)
    built = time.perf_counter()
    outcome = engines.execute(engine, program, codes, model)
    done = time.perf_counter()
    cycles = outcome.result.cycles if outcome.result is not None else None
    return Speed(engine, built - begun, done - built, cycles)


def predict(program: Program) -> Speed:
    """The cost model: clocks alone."""
    begun = time.perf_counter()
    cycles = estimate(program).cycles
    return Speed("cost model", 0.0, time.perf_counter() - begun, cycles)


def geometries(program: Program, count: int = 1000) -> tuple[float, float]:
    """Seconds to cost a geometry of a RUN when `count` are asked for at once, and one by cause: the
    mean over the program's RUNs."""
    config, chunks = program.config, np.arange(1, count + 1)
    many = one = 0.0
    runs = [run for run in program.instructions if isinstance(run, isa.Run)]
    for run in runs:
        stream = stream_of(program, run)
        begun = time.perf_counter()
        cost.run_cycles(config, chunks, cost.operations(config, run.digits), stream)
        split = time.perf_counter()
        cost.run_clocks(config, count, cost.operations(config, run.digits), stream)
        many, one = many + split - begun, one + time.perf_counter() - split
    return many / count / len(runs), one / len(runs)


def available(engine: str) -> bool:
    """Are the engine's programs installed?"""
    return engine not in TOOLS or all(shutil.which(p) for p in TOOLS[engine].programs)


def show(speeds: list[Speed]) -> None:
    """The table."""
    base = next((s.rate for s in speeds if s.engine == "myhdl"), None)
    rows = []
    for speed in speeds:
        rate = speed.rate
        ratio = f"{rate / base:,.1f}" if rate and base else None
        rows.append((speed.engine, f"{speed.build:.1f} s", f"{speed.run:.3f} s", speed.cycles,
                     None if rate is None else f"{rate:,.0f}", ratio))
    report.table("Speed of the engines, one batch",
                 ("engine", "build", "run", "cycles", "cycles/s", "against myhdl"), rows)


def main() -> None:
    """Measure every engine that is installed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("program", nargs="?", type=Path, default=DEMO)
    arguments = parser.parse_args()
    if not arguments.program.exists():
        parser.error(f"{arguments.program} is missing; run `make demo` first")
    program = kbin.read(arguments.program)
    rng = np.random.default_rng(0)
    codes = [host.encode(rng.random(tensor.kind.shape).astype(np.float32), tensor,
                         program.config)
             for tensor in (program.tensors[port.tensor] for port in program.inputs)]
    engines.execute("reference", program, codes, MemoryModel.fixed(0))    # warm up numpy
    names = [name for name in engines.ENGINES if available(name)]
    show([*(measure(name, program, codes) for name in names), predict(program)])
    many, one = geometries(program)
    print(f"a geometry of a RUN: {1e6 * many:.2f} us of a thousand, {1e6 * one:.0f} us by cause: "
          f"{one / many:,.0f} times")
    missing = sorted(set(engines.ENGINES) - set(names))
    if missing:
        print(f"not installed: {', '.join(missing)}")


if __name__ == "__main__":
    main()
