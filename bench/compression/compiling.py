"""Seconds and memory that large networks take to compile: `python bench/compression/compiling.py`.

    python bench/compression/compiling.py alexnet vgg16 --config small --images 8

Networks are torchvision's with random weights, pruned to the published densities where there are
any (imagenet.py), `--dense` leaves all weights. Each is compiled in a process of
its own, whose peak is what the memory says; seconds are of the process's own time, by stage.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time

from imagenet import PUBLISHED, build, noise, prune
from kcnn.arch.columns import columns
from kcnn.arch.config import Config
from kcnn.compiler import pipeline

NETWORKS = ("alexnet", "vgg16")
Row = tuple[str, float, float, int]


def compiled(name: str, config: str, images: int, dense: bool) -> list[Row]:
    """What every stage takes: its name, seconds of the clock and of this process, peak MiB."""
    module = build(name)
    if not dense and name in PUBLISHED:
        prune(module, PUBLISHED[name])
    x = noise(224, images)
    settings = pipeline.Settings(Config.load(config), (x[:1],), x.numpy())
    rows: list[Row] = []
    wall, cpu = time.perf_counter(), time.process_time()
    for stage, _ in pipeline.walk(module.eval(), settings):
        rows.append((stage, time.perf_counter() - wall, time.process_time() - cpu, _peak()))
        wall, cpu = time.perf_counter(), time.process_time()
    return rows


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def table(name: str, rows: list[Row]) -> str:
    """A line a stage and one for all of them."""
    whole = ("all", sum(row[1] for row in rows), sum(row[2] for row in rows), rows[-1][3])
    return columns((name, "seconds", "of the processor", "peak MiB"), (
        (stage, f"{wall:.1f}", f"{cpu:.1f}", f"{peak:,}") for stage, wall, cpu, peak
        in [*rows, whole]))


def main() -> None:
    """Compile and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--config", default="small")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--dense", action="store_true")
    given = parser.parse_args()
    for name in given.networks:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            print(table(name, pool.apply(compiled, (name, given.config, given.images,
                                                    given.dense))), flush=True)


if __name__ == "__main__":
    main()
