"""What a memory of 64K codes costs in clocks: `python bench/compression/tiling.py [NETWORK...]`.

Every network is compiled for `small`, with the published share of its weights where one is known,
else with all. Beside the clocks of the program, as the cost model tells them, stand those of the
same layers if all tensors were on chip, whole planes, and nothing moved. Layers that lose most
follow.
"""

from __future__ import annotations

import argparse
from typing import Any

import imagenet
import torch
from kcnn.arch.clocks import layer_cycles
from kcnn.arch.config import Config
from kcnn.arch.cost import Stream, operations, run_cycles
from kcnn.arch.estimate import estimate
from kcnn.arch.program import Layer, Program
from kcnn.compiler import pipeline
from kcnn.compiler.place.layouts import Placed
from kcnn.compiler.place.tile import chunks_of_planes
from kcnn.compiler.stages import Stage

NAMES = ("alexnet", "vgg16", "resnet18")
MOST = 6


def main() -> None:
    """A line a network, and the layers that lose most."""
    parser = argparse.ArgumentParser(description="the clocks that tiling costs")
    parser.add_argument("networks", nargs="*", default=NAMES, metavar="NETWORK")
    torch.set_num_threads(1)
    for name in parser.parse_args().networks:
        forms = compiled(name)
        tiled, whole = clocks(forms[Stage.ASSEMBLE]), unlimited(forms[Stage.LAYOUTS])
        whole |= {layer: tiled[layer] for layer in on_chip(forms[Stage.ALLOCATE])}
        mine, other = sum(tiled.values()), sum(whole.values())
        print(f"{name}: {mine / 1e6:.1f} M clocks in bands, {other / 1e6:.1f} M with unlimited "
              f"memory, {100 * (mine / other - 1):+.1f} %", flush=True)
        lost = {layer: tiled[layer] - whole.get(layer, 0) for layer in tiled}
        for layer in sorted(lost, key=lambda layer: -lost[layer])[:MOST]:
            print(f"    {layer}: {tiled[layer]:,} and {whole.get(layer, 0):,}")


def compiled(name: str) -> dict[Stage, Any]:
    """The network for `small`, by stage."""
    module, x = imagenet.build(name), imagenet.noise(imagenet.PIXELS, 2, seed=1)
    if name in imagenet.PUBLISHED:
        module = imagenet.prune(module, imagenet.PUBLISHED[name])
    settings = pipeline.Settings(Config.preset("small"), (x[:1],), x.numpy(), equalise=False)
    return dict(pipeline.walk(module, settings))


def clocks(program: Program) -> dict[str, int]:
    """Of every layer, with its moves."""
    found = layer_cycles(program, estimate(program))
    return {layer.name: found[number] for number, layer in enumerate(program.layers)}


def unlimited(placed: Placed) -> dict[str, int]:
    """Of every layer, one RUN over whole planes."""
    return {layer.name: _whole(placed, number, layer)
            for number, layer in enumerate(placed.split.net.layers)}


def on_chip(placed: Placed) -> list[str]:
    """Layers that the program computes as if memory had no end."""
    layers = placed.split.net.layers
    return [layer.name for number, layer in enumerate(layers)
            if not placed.windows or not placed.windows[number]]


def _whole(placed: Placed, number: int, layer: Layer) -> int:
    config, taps = placed.config, layer.taps
    stream = Stream.of(taps.channel_clusters, taps.cluster_taps, config.share)
    return int(run_cycles(config, chunks_of_planes(placed, number),
                          operations(config, layer.digits), stream))


if __name__ == "__main__":
    main()
