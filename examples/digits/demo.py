"""From a torch network to Verilog and VHDL, bit for bit: `make demo`.

Trains the digits network, compiles it for the smallest machine, and shows what every step costs.
Exits with 1 if the engines differ or if more than a percentage point of accuracy is lost.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import picture
import train
from joblib import Parallel, delayed
from kcnn.api import truth
from kcnn.api.accuracy import logits
from kcnn.arch import host, kbin, reference
from kcnn.arch.clocks import layer_clocks
from kcnn.arch.config import Config
from kcnn.arch.engine import MemoryModel, Result
from kcnn.arch.program import Program, memory_image
from kcnn.arch.show import percent
from kcnn.cli import report
from kcnn.compiler import fidelity, pipeline
from kcnn.compiler.ir.quantised import Quantised
from kcnn.compiler.quantise import emulate
from kcnn.engines import figures
from kcnn.engines.execute import outputs
from kcnn.rtl.convert import convert
from kcnn.rtl.simulate import simulate as simulate_rtl
from kcnn.tlm.machine import simulate as simulate_tlm
from kcnn.tlm.statistics import TlmResult
from model import WEIGHTS
from numpy.typing import NDArray
from torch import nn, tensor

CLUSTERS = 16
MOST_LOST = 1.0          # percentage points of accuracy
CAUSES = ("null_taps", "setup", "stream", "multiplier", "gate", "tail", "waiting")

Floats = NDArray[np.floating]


@dataclasses.dataclass(frozen=True)
class Run:
    """One image on the TLM and on the RTL. equal: bits of all tensors, stamps and cycles."""

    logits: Floats
    tlm: TlmResult
    rtl: Result
    equal: bool


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is being done and how long it took."""
    report.say(f"· {what} ...")
    begun = time.perf_counter()
    yield
    report.say(f"  {time.perf_counter() - begun:.1f} s")


# ---- accuracy --------------------------------------------------------------------------------
def accuracies(module: nn.Module, program: Program, quantised: Quantised,
               digits: train.Digits) -> dict[str, float]:
    """Accuracy over the test split, in percent, after every step of the way."""
    x, y = digits.test_x, digits.test_y
    steps = {"float": train.logits(module, x),
             "clustered weights": _emulated(quantised, x, False),
             "clustered activations": _emulated(quantised, x, True),
             "integer": logits(program, x)}
    return {name: train.accuracy(found, y) for name, found in steps.items()}


def _emulated(quantised: Quantised, x: Floats, activations: bool) -> Floats:
    """Logits in floating point, with clustered weights or with clustered tensors too."""
    tensors = quantised.tensors if activations else None
    found = emulate.run(quantised.graph, x, quantised.weights, tensors)
    *_, logits = found.values()
    return logits.reshape(len(x), -1)


# ---- the machines ----------------------------------------------------------------------------
def run_all(program: Program, images: Floats) -> list[Run]:
    """Every image through TLM and RTL, said when done; the RTL on as many processors as there are.
    """
    (source,) = program.inputs
    codes = [host.encode(image[None], program.tensors[source.tensor], program.config)
             for image in images]
    memories = [memory_image(program, [image]) for image in codes]
    model = MemoryModel.fixed(program.config.latency)
    jobs = min(len(images), os.cpu_count() or 1)
    rtl = Parallel(n_jobs=jobs, return_as="generator")(
        delayed(simulate_rtl)(program, memory, model) for memory in memories)
    tlm = (simulate_tlm(program, memory, model) for memory in memories)
    runs = []
    for parts in zip(codes, tlm, rtl, strict=True):
        runs.append(compared(program, *parts))
        report.say(f"  image {len(runs)} of {len(images)}: {runs[-1].rtl.cycles:,} cycles")
    return runs


def compared(program: Program, codes: NDArray[np.int64], tlm: TlmResult, rtl: Result) -> Run:
    """One image's results against the reference and against one another."""
    expected = reference.run(program, [codes])
    bits = all(np.array_equal(expected[index], result.tensors[index])
               for result in (tlm, rtl) for index in expected)
    cycles = tlm.cycles == rtl.cycles and all(
        np.array_equal(getattr(tlm, stamp), getattr(rtl, stamp)) for stamp in ("starts", "ends"))
    (target,), (logits,) = program.outputs, outputs(program, rtl.memory)
    decoded = host.decode(logits, program.tensors[target.tensor], program.config)
    return Run(decoded.ravel(), tlm, rtl, bits and cycles)


# ---- tables ----------------------------------------------------------------------------------
def show_accuracy(steps: dict[str, float]) -> None:
    """Print what every step loses."""
    first = next(iter(steps.values()))
    report.table("Accuracy over the test split", ("step", "accuracy", "loss"),
                 [(name, f"{value:.2f} %", f"{first - value:.2f}")
                  for name, value in steps.items()])


def show_size(program: Program, path: Path) -> None:
    """Print bytes and operations, before and after; as `kcnn info` counts them."""
    float_bytes = program.meta.float32_bytes
    dense = sum(layer.dense_macs for layer in program.layers)
    kept = sum(layer.macs for layer in program.layers)
    products = sum(_multiplications(program, layer) for layer in figures.layers(program, None))
    whole, size = path.stat().st_size, len(kbin.save(program, strip=True))
    rows = [("weights, bytes: float32, tap streams", float_bytes, len(program.streams)),
            ("network, bytes: float32, binary (stripped)", float_bytes, size),
            ("additions: dense, taps", dense, kept),
            ("multiplications: dense, runs", dense, products)]
    report.table("What is left", ("", "before", "after", "share"), [
        (*row, percent(row[2] / row[1])) for row in rows])
    report.say(f"{path.name} itself has {whole:,} bytes: it also holds the layer table, which only "
               "the reference reads")


def _multiplications(program: Program, row: figures.LayerFigures) -> int:
    """Products of an image: one a cluster and output position."""
    layer = next(layer for layer in program.layers if layer.name == row.name)
    if layer.op != "sum":
        return 0
    _, _, height, width = program.tensors[layer.output].kind.shape
    return len(layer.taps.cluster_factor) * height * width


def show_cycles(program: Program, result: TlmResult, rows: Sequence[figures.LayerFigures]) -> None:
    """Print where the cycles went: per layer, and how many were lost to what."""
    clocks = layer_clocks(program, result)
    cells: list[Sequence[object]] = [
        (row.name, row.cycles, row.taps, percent(row.issue_utilisation),
         percent(row.useful_utilisation), row.bound,
         *(getattr(clocks[number], cause) for cause in CAUSES))
        for number, row in enumerate(rows)]
    load, store, end = figures.phases(program, result)
    cells += [("(load)", load), ("(store, end)", store + end), ("total", result.cycles)]
    report.table("Cycles of one image (TLM), and what they were lost to",
                 ("layer", "cycles", "issued taps", "issue", "useful", "bound", *CAUSES), cells,
                 (0, 5))


def show_runs(runs: Sequence[Run], labels: NDArray[np.int64]) -> None:
    """Print the images that ran on both models."""
    report.table("Test images on the MyHDL RTL", ("image", "label", "RTL says", "cycles TLM",
                                                  "cycles RTL", "every bit and stamp equal"),
                 [(number, int(label), int(run.logits.argmax()), run.tlm.cycles, run.rtl.cycles,
                   run.equal) for number, (run, label) in enumerate(zip(runs, labels,
                                                                        strict=True))])


# ---- the way ---------------------------------------------------------------------------------
def demo(out: Path, epochs: int = train.EPOCHS, images: int = 3) -> int:
    """All of it; 0 if everything held. images: how many run on the RTL."""
    out.mkdir(parents=True, exist_ok=True)
    digits = train.load()
    with step(f"training, {epochs} epochs"):
        module = train.train(digits, epochs)
        train.save(module, digits, out)
    config = Config.preset("tiny")
    with step(f"compiling for {config.name}, {CLUSTERS} magnitudes a layer"):
        compiled = pipeline.compile(module, (tensor(digits.test_x[:1]),), digits.calibration,
                                    config, clusters=CLUSTERS, name="digits")
        program = compiled.program
        path = out / "digits.kbin"
        kbin.write(path, program)
    with step("measuring what is left of the float network"):
        measured = fidelity.measure(compiled, digits.calibration, digits.test_x)
    report.show(truth.parts(measured.to_json()))
    with step(f"accuracy over {len(digits.test_y)} test images"):
        steps = accuracies(module, program, compiled.quantised, digits)
    show_accuracy(steps)
    show_size(program, path)
    with step(f"simulating {images} images on the TLM and on the MyHDL RTL"):
        runs = run_all(program, digits.test_x[:images])
    bounds = {number: clocks.bound
              for number, clocks in layer_clocks(program, runs[0].tlm).items()}
    rows = figures.layers(program, runs[0].tlm, bounds)
    show_cycles(program, runs[0].tlm, rows)
    show_runs(runs, digits.test_y[:images])
    for hdl in ("verilog", "vhdl"):
        with step(f"converting the machine to {hdl}"):
            convert(config, hdl, out / hdl)
    _draw(out / "digits.png", program, digits, steps, runs, rows)
    report.say(f"written: {path}, {out}/verilog, {out}/vhdl, {out / 'digits.png'}")
    return verdict(steps, runs)


def verdict(steps: dict[str, float], runs: Sequence[Run]) -> int:
    """Say what did not hold; the exit code."""
    lost = steps["float"] - steps["integer"]
    if lost > MOST_LOST:
        print(f"{lost:.2f} percentage points of accuracy are lost, more than {MOST_LOST}",
              file=sys.stderr)
        return 1
    if not all(run.equal for run in runs):
        print("the RTL differs from the TLM or from the reference", file=sys.stderr)
        return 1
    report.say("every bit of every tensor and every cycle is equal on TLM and RTL")
    return 0


def _draw(path: Path, program: Program, digits: train.Digits, steps: dict[str, float],
          runs: Sequence[Run], rows: Sequence[figures.LayerFigures]) -> None:
    books = {value.name: sorted(set(value.kind.values)) for value in program.tensors
             if value.kind.values}
    title = (f"digits on {program.config.name}: {runs[0].rtl.cycles:,} cycles an image, "
             "from torch to Verilog and VHDL bit for bit")
    picture.draw(path, title, digits.test_x[:len(runs), 0],
                 [int(run.logits.argmax()) for run in runs],
                 [int(label) for label in digits.test_y[:len(runs)]], steps, rows, books)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=WEIGHTS.parent, help="folder for the results")
    sys.exit(demo(parser.parse_args().out))


if __name__ == "__main__":
    main()
