"""Accuracy of ImageNet networks in integers: `python bench/compression/imagenet_accuracy.py`.

SqueezeNet v1.0, which others have pruned and clustered, and MobileNetV1 0.75-192, which was trained
for 8-bit weights, compiled for `small` with codes of several widths: one sample image in sixteen
calibrates, all others are looked at. Finished rows are kept, so an interrupted study goes on.

    imagenet_accuracy.py mobilenet,5,16     only this row: network, bits of a code, magnitudes
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import time
from typing import Any

import numpy as np
import published
import torch
from kcnn.arch import host, reference
from kcnn.arch.config import Config
from kcnn.arch.estimate import estimate
from kcnn.arch.program import Program
from kcnn.compiler import pipeline
from kcnn.engines import figures
from numpy.typing import NDArray
from tables import Cell, Parts, Table, save

ROWS = ("squeezenet,5,16", "mobilenet,5,16", "mobilenet,6,16")
SIZES = {"squeezenet": 227, "mobilenet": 192}
ALLOWED = {"squeezenet": 1.5, "mobilenet": 2.0}        # points of top-5 that integers may lose
SHARE = 16
AT_ONCE = 20
Images = NDArray[np.float32]
ABOUT = """Trained ImageNet networks on `small` (16 lanes, 64K codes), with codes of several widths:
what integers keep. Of the 500 sample images 32 calibrate, the other 468 are counted; most of them
were probably trained on, so they compare integers with floating point and measure no accuracy on
new images. top-1 and top-5 in percent."""


def row(name: str, bits: int, clusters: int) -> dict[str, Any]:
    """Compile, and count on the reference."""
    samples = published.samples(SIZES[name])
    module, examples, preprocess = getattr(published, name)()
    x = preprocess(torch.from_numpy(samples.planes())).numpy()
    calibrates = np.arange(len(x)) % SHARE == 0
    started = time.process_time()
    program = pipeline.compile(module, examples, x[calibrates], machine(bits), 1, clusters).program
    compiled = time.process_time()
    rest, labels = x[~calibrates], samples.labels[~calibrates]
    found, floats = integers(program, rest), real(module, rest)
    return {"float": published.accuracy(floats, labels),
            "integers": published.accuracy(found, labels),
            "same": float((found.argmax(1) == floats.argmax(1)).mean()),
            "decibels": decibels(found, floats), "cycles": estimate(program).cycles,
            "bytes": figures.machine_bytes(program), "images": len(rest),
            "seconds": {"compile": compiled - started,
                        "image": (time.process_time() - compiled) / len(rest)}}


def machine(bits: int) -> Config:
    """`small` with codes of so many bits."""
    return dataclasses.replace(Config.preset("small"), code_bits=bits)


def integers(program: Program, x: Images) -> NDArray[np.floating]:
    """What the reference makes of images: (n, classes)."""
    (source,), (port,) = program.inputs, program.outputs
    codes = host.encode(x, program.tensors[source.tensor], program.config)
    (found,) = reference.outputs(program, [codes], AT_ONCE)
    return host.decode(found, program.tensors[port.tensor], program.config).reshape(len(x), -1)


def real(module: torch.nn.Module, x: Images) -> NDArray[np.float32]:
    """What the float network makes of them."""
    with torch.no_grad():
        return torch.cat([module(part) for part in torch.from_numpy(x).split(AT_ONCE)]).numpy()


def decibels(found: NDArray[np.floating], floats: NDArray[np.floating]) -> float:
    """Of what varies from image to image, against the error."""
    varying = floats - floats.mean(0)
    return float(10 * np.log10(np.square(varying).sum() / np.square(found - floats).sum()))


def tables(found: dict[str, dict[str, Any]]) -> list[Table]:
    """A row a network and machine."""
    cells: list[list[Cell]] = []
    for title, one in found.items():
        name, bits, clusters = title.split(",")
        (first, five), (top, top_five) = one["float"], one["integers"]
        cells.append([name, int(bits), int(clusters), 100 * first, 100 * top, 100 * five,
                      100 * top_five, 100 * (five - top_five), ALLOWED[name], 100 * one["same"],
                      one["decibels"], one["bytes"] / 1e6, one["cycles"] / 1e6])
    return [Table("Sample images", (
        "network", "bits of a code", "magnitudes a layer", "top-1", "top-1 in integers", "top-5",
        "top-5 in integers", "top-5 lost", "asked at most", "same class %", "dB", "MB",
        "M clocks an image, about"), cells,
        {"dB": ".1f", "asked at most": ".1f", "M clocks an image, about": ".1f"})]


def main() -> None:
    """Rows that are missing, then the page."""
    parser = argparse.ArgumentParser(description="accuracy of ImageNet networks in integers")
    parser.add_argument("rows", nargs="*", default=ROWS, metavar="NETWORK,BITS,MAGNITUDES")
    torch.set_num_threads(1)
    parts = Parts("imagenet_accuracy", fresh=False)
    for title in parser.parse_args().rows:
        name, bits, clusters = title.split(",")
        print(title, flush=True)
        parts(title, functools.partial(row, name, int(bits), int(clusters)))
    known = parts.known()
    save("imagenet_accuracy", "python bench/compression/imagenet_accuracy.py", ABOUT,
         tables({title: known[title] for title in sorted(known)}))


if __name__ == "__main__":
    main()
