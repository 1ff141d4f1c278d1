"""AlexNet and VGG-16 on the machine: `python bench/compression/large.py [NETWORK]`.

torchvision's AlexNet, the first one with its two towers, and VGG-16, with drawn weights of which
the published share is left, 16 and 32 magnitudes a layer, on `small` and on a machine of 64 lanes
with the same memory. One image each on the TLM; every tensor must be the reference's. Finished rows
are kept, so an interrupted study goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import resource
import time
from collections.abc import Callable
from typing import Any

import imagenet
import numpy as np
import torch
from kcnn.arch import host, isa, reference
from kcnn.arch.clocks import Explained, layer_clocks
from kcnn.arch.config import Config
from kcnn.arch.moved import moved
from kcnn.arch.program import Program
from kcnn.compiler import pipeline
from kcnn.compiler.ir.quantised import Quantised
from kcnn.compiler.stages import Stage
from kcnn.engines import execute, figures
from kcnn.engines.execute import Outcome
from kcnn.tlm.statistics import TlmResult
from tables import Cell, Parts, Table, save

NAMES = ("alexnet", "grouped_alexnet", "vgg16")
CLUSTERS = (16, 32)
SMALL = Config.preset("small")
MACHINES = (SMALL, dataclasses.replace(SMALL, name="wide", lanes=64, share=4, drain=4,
                                       port_bits=128))
CALIBRATION = 2
CLOCK = 200e6                   # as in alexnet.py
PUBLISHED = 9.73                # images a second of the first paper's accelerator, AlexNet
MEASURES = ("taps", "cycles", "loaded", "stored", "streamed")
ABOUT = """Networks larger than the activation memory (64K codes), in bands, whole inputs and
passes: one image on the TLM, whose tensors are all the reference's. Weights are drawn, the largest
stay, as many as were published (Han et al., NIPS 2015); response normalisation is left out. `wide`
is `small` with 64 lanes, 4 requantisers and a port of 128 bits."""


# ---- rows ----------------------------------------------------------------------------------
def rows(name: str, clusters: int, parts: Parts) -> None:
    """Rows of a network and number of clusters that are missing, for every machine."""
    once = functools.cache(lambda: quantised(name, clusters))
    for config in MACHINES:
        print(title(name, config, clusters), flush=True)
        parts(title(name, config, clusters), functools.partial(row, name, once, config))


def quantised(name: str, clusters: int) -> Quantised:
    """The network with the published densities, quantised for all the machines."""
    module = imagenet.prune(imagenet.build(name), imagenet.PUBLISHED[name])
    x = images(name, CALIBRATION)
    settings = pipeline.Settings(SMALL, (x[:1],), x.numpy(), clusters=clusters)
    return next(form for stage, form in pipeline.walk(module, settings)
                if stage == Stage.QUANTISE)


def images(name: str, count: int) -> torch.Tensor:
    return imagenet.noise(227 if name == "grouped_alexnet" else imagenet.PIXELS, count, seed=1)


def row(name: str, made: Callable[[], Quantised], config: Config) -> dict[str, Any]:
    """Compile, run on the TLM, compare with the reference."""
    network = made()
    started = time.process_time()
    program = pipeline.back(network, config, 1)
    compiled = time.process_time()
    (port,) = program.inputs
    codes = [host.encode(images(name, 1).numpy(), program.tensors[port.tensor], config)]
    expected = reference.run(program, codes)
    referred = time.process_time()
    run = execute.execute("tlm", program, codes, execute.memory_model(program, None))
    seconds = time.process_time() - referred
    check(program, run, expected)
    assert isinstance(run.result, TlmResult)
    return {"cycles": run.result.cycles, "bytes": figures.machine_bytes(program),
            "memory": program.memory_bytes, "instructions": len(program.instructions),
            "homes": sum(not tensor.places[0].whole for tensor in program.tensors),
            "tensors": len(program.tensors), "layers": layers(program, run.result),
            "seconds": {"back": compiled - started, "reference": referred - compiled,
                        "tlm": seconds},
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def check(program: Program, run: Outcome, expected: dict[int, np.ndarray]) -> None:
    """Every tensor is the reference's."""
    for index, codes in expected.items():
        np.testing.assert_array_equal(run.tensors[index], codes, program.tensors[index].name)
    for port, output in zip(program.outputs, run.outputs, strict=True):
        np.testing.assert_array_equal(output, expected[port.tensor])


def layers(program: Program, result: Explained) -> list[dict[str, Any]]:
    """Cycles, what binds, taps and bytes of every layer."""
    moves = moved(program)
    clocks = layer_clocks(program, result)
    found = []
    for number, layer in enumerate(program.layers):
        runs = [figures.run_of(program, index) for index in layer.runs]
        found.append({
            "name": layer.name, "kind": layer.kind, "runs": len(runs), "macs": layer.macs,
            "taps": clocks[number].taps, "cycles": clocks[number].cycles,
            "bound": clocks[number].bound, "loaded": moves[number].loaded,
            "stored": moves[number].stored,
            "streamed": sum(run.stream_units for run in runs) * isa.UNIT_BYTES})
    return found


# ---- page ----------------------------------------------------------------------------------
def tables(found: dict[str, dict[str, Any]]) -> list[Table]:
    """All rows, then the layers of each network with the fewest clusters."""
    return [whole(found), *(by_layer(name, found) for name in NAMES
                            if title(name, SMALL) in found)]


def title(name: str, config: Config, clusters: int = CLUSTERS[0]) -> str:
    return f"{name}, {clusters}, {config.name}"


def whole(found: dict[str, dict[str, Any]]) -> Table:
    """A row a network, number of clusters and machine."""
    cells: list[list[Cell]] = []
    for row_title, figures_of in found.items():
        name, clusters, machine = row_title.split(", ")
        sums = {key: sum(layer[key] for layer in figures_of["layers"]) for key in MEASURES}
        cells.append([
            name, int(clusters), machine, figures_of["cycles"] / 1e6, sums["taps"] / 1e6,
            CLOCK / figures_of["cycles"], figures_of["bytes"] / 1e6,
            (sums["loaded"] + sums["stored"]) / 1e6, sums["streamed"] / 1e6,
            f"{figures_of['homes']} of {figures_of['tensors']}"])
    return Table("One image", (
        "network", "clusters", "machine", "M clocks", "of these taps", "images a second, 200 MHz",
        "MB of the binary", "MB moved", "MB of taps read", "tensors outside"), cells,
        note=f"The first paper reports {PUBLISHED} images a second for AlexNet on a ZCU104, which "
             "has 1,728 multipliers; its accelerator skips zero activations too, and modelled with "
             "256 PEs makes 99.74 (alexnet.md). `small` has 4 multipliers, `wide` 16.")


def by_layer(name: str, found: dict[str, dict[str, Any]]) -> Table:
    """Clocks, bytes and bounds of every layer on all machines."""
    parts = [found[title(name, config)]["layers"] for config in MACHINES
             if title(name, config) in found]
    columns = [f"{column}, {config.name}" for config in MACHINES[:len(parts)]
               for column in ("RUNs", "K clocks", "bound", "KB moved")]
    cells: list[list[Cell]] = [
        [same[0]["name"], same[0]["macs"] / 1e6, same[0]["streamed"] / 1e3, *(
            cell for one in same for cell in (
                one["runs"], one["cycles"] / 1e3, one["bound"],
                (one["loaded"] + one["stored"]) / 1e3))]
        for same in zip(*parts, strict=True)]
    return Table(f"{name}, {CLUSTERS[0]} clusters", (
        "layer", "M multiply-accumulates left", "KB of taps, small", *columns), cells)


def main() -> None:
    """Rows that are missing, then the page."""
    parser = argparse.ArgumentParser(description="AlexNet and VGG-16 on the machine")
    parser.add_argument("networks", nargs="*", default=NAMES, metavar="NETWORK")
    torch.set_num_threads(1)
    parts = Parts("large", fresh=False)
    for name in parser.parse_args().networks:
        for clusters in CLUSTERS:
            rows(name, clusters, parts)
    known = parts.known()
    order = [title(name, config, clusters) for name in NAMES for clusters in CLUSTERS
             for config in MACHINES]
    save("large", "python bench/compression/large.py", ABOUT,
         tables({one: known[one] for one in order if one in known}))


if __name__ == "__main__":
    main()
