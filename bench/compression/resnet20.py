"""ResNet-20 on CIFAR-10, pruned and clustered: `python bench/compression/resnet20.py`.

From the published network: small weights go in steps, what is left is clustered, and values, scales
and norms are trained behind clustered maps, in five passes over the training images. The published
network trained for five passes in floating point is what all is compared with, and the teacher.
Then a binary for `small` gives accuracy, taps, bytes and clocks. Images held back from training
decide (train.py); test images are read when a row is finished. Finished rows are kept in
out/compression/, networks, the binary and unfinished training in out/resnet20/, so an interrupted
study goes on; the weights of the smallest binary in weights/resnet20_cifar10_small.npz.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import binary
import torch
from baselines import torch_int8, uniform
from kcnn.arch import kbin
from kcnn.arch.program import Program
from kcnn.compress import account, maps
from kcnn.compress.clusters import Clusters, cluster, weighted
from kcnn.compress.compose import repeatable
from kcnn.compress.data import Data, accuracy, split
from kcnn.compress.finetune import Settings, Trainer
from kcnn.compress.hooks import hooked, inference, reading
from kcnn.compress.prune import largest, sensitivity
from kcnn.engines import execute as engines
from kcnn.engines.verdict import judge
from networks import DATA, WEIGHTS, Block, build, load_weights, save_weights, trained
from resnet20_page import ABOUT, NETWORKS_NOTE
from tables import Cell, Parts, Table, save
from torch import Tensor, nn
from train import HELD, RECIPES, SEED, varied

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "out" / "resnet20"
SMALL = WEIGHTS / "resnet20_cifar10_small.npz"
MAGNITUDES = 8
MAP_VALUES = 31                     # beside zero, as 5 bits a code have it
WHOLE = ("conv1", "linear")         # layers that keep all their weights: 0.4 % of all
FLOOR = 0.15                        # share of its weights that every other layer keeps
SENSITIVITY, CALIBRATION = 256, 256      # images
UNPRUNED = 16                       # magnitudes of networks that are not trained for few of them
COMPARED = ("reference", "tlm", "verilator")
IMAGES_APART = 1700                 # test images between those that engines are compared on


@dataclasses.dataclass(frozen=True)
class Stage:
    """Training on a share of the training images, so many times.

    keep: share of the weights that stay, all layers but WHOLE together. shared: weights and maps
    are clustered. taught: by the network trained in floating point too, not by labels alone.
    """

    name: str
    share: float
    epochs: int
    rate: float
    keep: float = 1.0
    shared: bool = False
    taught: bool = True


STAGES = (
    Stage("pruned to 70 %", 0.5, 1, 0.02, keep=0.7),
    Stage("pruned to 52 %", 0.5, 1, 0.02, keep=0.52),
    Stage("pruned to 45 %", 1.0, 3, 0.02, keep=0.45),
    Stage("clustered", 1.0, 1, 1e-3, shared=True),
)
PRUNED, LAST = 2, 3                 # stages that other networks are made equal to
BATCH, DECAY = 128, 5e-4
PUBLISHED, TRAINED, FORWARD = "float32 as published", "float32, trained on", "forward order"


def passes(number: int) -> float:
    """Images seen from the start to the end of a stage, over training images."""
    return sum(stage.share * stage.epochs for stage in STAGES[:number + 1])


@functools.cache
def whole() -> Data:
    """Training and test images."""
    return DATA["cifar10"].load()


@functools.cache
def part() -> Data:
    """The training images alone; those that decide as test part."""
    return split(whole(), HELD, SEED)


def network(path: Path) -> nn.Module:
    """ResNet-20 with the weights of a file."""
    return load_weights(build("resnet20", "cifar10"), path)


def published() -> nn.Module:
    """The network that all begins with."""
    return trained("resnet20", "cifar10")


def fast(module: nn.Module) -> nn.Module:
    """A copy whose weights lie as convolutions read them fastest."""
    copied: Any = copy.deepcopy(module)
    return copied.to(memory_format=torch.channels_last)


def plain(module: Any) -> nn.Module:
    """The module, in inference mode, its weights in the usual order."""
    return module.to(memory_format=torch.contiguous_format).eval()


# ---- pruning -------------------------------------------------------------------------------
def prune_to(module: nn.Module, keep: float, images: Tensor) -> None:
    """Keep that share of the weights, in place; every layer at least FLOOR of its own.

    What decides between layers is |weight| times the sensitivity of the layer over the root of
    what a weight costs: bytes, which all weights need alike, and clocks, of which it needs as many
    as its layer has positions.
    """
    layers, found = weighted(module), sensitivity(module, images, SEED)
    names = [name for name in layers if name not in WHOLE]
    costs = _costs(module, images[:1], names)
    scores = {name: layers[name].weight.detach().abs() * found[name] / math.sqrt(costs[name])
              for name in names}
    for name in names:
        sure = largest(scores[name], math.ceil(FLOOR * scores[name].numel()))
        scores[name] = torch.where(sure, math.inf, scores[name]).masked_fill(
            layers[name].weight == 0, 0.0)
    every = torch.cat([scores[name].ravel() for name in names])
    mask = largest(every, round(keep * every.numel()))
    with torch.no_grad():
        for name, own in zip(names, mask.split([scores[n].numel() for n in names]), strict=True):
            layers[name].weight.mul_(own.view_as(scores[name]))


def _costs(module: nn.Module, image: Tensor, names: list[str]) -> dict[str, float]:
    """Of a weight of each layer; 1 in the mean over all weights."""
    measured = [layer for layer in account.measure(module, image) if layer.name in names]
    mean = sum(layer.macs for layer in measured) / sum(layer.weights for layer in measured)
    return {layer.name: (1 + layer.positions / mean) / 2 for layer in measured}


# ---- maps ----------------------------------------------------------------------------------
def stored(module: nn.Module) -> dict[str, nn.Module]:
    """The modules that read, together, every map that the machine stores, each once."""
    return {name: child for name, child in module.named_modules()
            if isinstance(child, Block | nn.AdaptiveAvgPool2d | nn.Linear)
            or name.endswith("conv2")}


def map_clusters(module: nn.Module, images: Tensor) -> dict[str, maps.MapClusters]:
    """Clusters of the stored maps, by the module that reads them."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        return lambda child, given: seen.update({name: given[0].detach()})

    handles = [child.register_forward_pre_hook(keep(name))
               for name, child in stored(module).items()]
    with hooked(handles), inference(module), torch.no_grad():
        module(images)
    return {name: maps.find(values.numpy(), MAP_VALUES) for name, values in seen.items()}


def clustered_maps(module: nn.Module, found: Mapping[str, maps.MapClusters]
                   ) -> contextlib.AbstractContextManager[None]:
    """While inside, the modules named read clustered maps, shortcuts too."""
    return reading(stored(module), found)


# ---- training ------------------------------------------------------------------------------
def augment(x: Tensor, generator: torch.Generator) -> Tensor:
    """Images moved and mirrored as when the network was trained."""
    recipe = RECIPES["resnet20", "cifar10"]
    return varied(x, recipe.shift, recipe.mirror, generator)


def some(share: float, seed: int) -> Data:
    """A share of the training images."""
    data = part()
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(data.x_train), generator=generator)[:round(share * len(data.x_train))]
    return dataclasses.replace(data, x_train=data.x_train[rows], y_train=data.y_train[rows])


def train(module: nn.Module, data: Data, settings: Settings, path: Path | None,
          shared: Mapping[str, Clusters] | None = None, taught: bool = True) -> None:
    """Train in place, from varied images and, if taught, what `base` makes of them."""
    def tell(done: int, loss: float) -> None:
        print(f"{path.stem if path else ''}: epoch {done}, loss {loss:.4f}", flush=True)

    teacher = fast(base()) if taught else None
    Trainer(module, data, settings, shared, teacher=teacher, augment=augment).run(path, tell)


def after(module: nn.Module, stage: Stage, number: int, path: Path) -> nn.Module:
    """The module after a stage; path: of the unfinished training. The one given is unchanged."""
    module = fast(module)
    if stage.keep < 1:
        prune_to(module, stage.keep, part().x_train[:SENSITIVITY])
    shared = cluster(module, MAGNITUDES) if stage.shared else {}
    found = map_clusters(module, part().x_train[:CALIBRATION]) if stage.shared else {}
    settings = Settings(epochs=stage.epochs, rate=stage.rate, batch=BATCH, seed=SEED + number,
                        optimiser="adam" if stage.shared else "sgd",
                        decay=0.0 if stage.shared else DECAY)
    with clustered_maps(module, found):
        train(module, some(stage.share, number), settings, path, shared, stage.taught)
    return plain(module)


def kept(name: str, make: Callable[[Path], nn.Module]) -> nn.Module:
    """A network of KEPT; made if it is not there. make is given the place of its checkpoint."""
    path = KEPT / f"{name}.npz"
    if not path.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        save_weights(make(path.with_suffix(".training")), path)
    return network(path)


@functools.cache
def base() -> nn.Module:
    """The network that all is compared with and learns from: the published one trained in floating
    point, with as many passes as all stages."""
    stage = Stage(TRAINED, 1.0, round(passes(LAST)), STAGES[0].rate, taught=False)
    return kept("base", partial(after, published(), stage, 0))


def stage_network(number: int) -> nn.Module:
    """The network after a stage, which needs those before."""
    before = stage_network(number - 1) if number else published()
    return kept(f"stage{number}", partial(after, before, STAGES[number], number))


def forward() -> nn.Module:
    """Layers pruned by magnitude one after the other, each to the density of the network before
    clusters, and all trained after each: as many passes, the same teacher."""
    module = published()
    names = [name for name in weighted(module) if name not in WHOLE]
    density = STAGES[PRUNED].keep
    settings = Settings(rate=STAGES[0].rate, batch=BATCH, decay=DECAY, optimiser="sgd")

    def make(before: nn.Module, number: int, name: str, path: Path) -> nn.Module:
        module = fast(before)
        with torch.no_grad():
            weight = weighted(module)[name].weight
            weight.mul_(largest(weight, round(density * weight.numel())))
        train(module, some(passes(PRUNED) / len(names), number),
              dataclasses.replace(settings, seed=SEED + number), path)
        return plain(module)

    for number, name in enumerate(names):
        module = kept(f"forward{number}", partial(make, module, number, name))
    return module


# ---- rows ----------------------------------------------------------------------------------
def float_row(module: nn.Module, bits: int = 32) -> dict[str, Any]:
    """A network that only torch runs; bits: of a weight."""
    return {"held": accuracy(module, part().x_test, part().y_test),
            "test": accuracy(module, whole().x_test, whole().y_test), "bytes": weight_bytes(bits)}


def weight_bytes(bits: int) -> int:
    """Weights of so many bits, and biases; norms are folded into the convolutions. Biases, and the
    scales of integers, one a channel, are float32."""
    layers = weighted(base()).values()
    channels = sum(len(layer.weight) for layer in layers)
    return (sum(layer.weight.numel() for layer in layers) * bits // 8
            + 4 * channels * (1 if bits == 32 else 2))


def torch_row() -> dict[str, Any]:
    """torch's own int8."""
    with torch_int8(base(), part().x_train[:CALIBRATION]) as module:
        return float_row(module, 8)


def uniform_row(bits: int) -> dict[str, Any]:
    """Weights on a grid a channel, nothing trained, maps as they are."""
    return float_row(uniform(base(), bits), bits)


def compiled_row(module: nn.Module, magnitudes: int) -> dict[str, Any]:
    """A network as a binary for `small`."""
    made = binary.program(module, part().x_train, magnitudes)
    return {"held": accuracy(module, part().x_test, part().y_test),
            "test": accuracy(module, whole().x_test, whole().y_test),
            "integers": binary.integer_accuracy(made, whole().x_test, whole().y_test),
            **measured(made), "densities": densities(module)}


def measured(made: Program) -> dict[str, Any]:
    """Bytes, clocks of one image and taps of a binary, by the rows' names."""
    found = binary.measure(made)
    return {"bytes": found.packed, "coded": found.coded, "clocks": found.clocks,
            "taps": found.taps}


def densities(module: nn.Module) -> dict[str, float]:
    """Share of the weights of each layer that are not zero."""
    return {name: float((layer.weight != 0).double().mean())
            for name, layer in weighted(module).items()}


def final_row() -> dict[str, Any]:
    """The binary after the last stage, kept; all figures are of this one, read from its file."""
    module, path = stage_network(LAST), KEPT / "resnet20.kbin"
    save_weights(module, SMALL)
    kbin.write(path, binary.program(module, part().x_train, MAGNITUDES))
    made = kbin.read(path)
    x = whole().x_test[::IMAGES_APART]
    verdict = judge(made, [x.numpy()], list(COMPARED), engines.memory_model(made, None))
    if not verdict.equal:
        raise SystemExit("the engines differ; see `kcnn cosim` on out/resnet20/resnet20.kbin")
    return {"test": accuracy(module, whole().x_test, whole().y_test),
            "held": accuracy(module, part().x_test, part().y_test),
            "integers": binary.integer_accuracy(made, whole().x_test, whole().y_test),
            **measured(made), "densities": densities(module), "images": len(x),
            "cycles": verdict.cycles}


def plan() -> dict[str, Callable[[], dict[str, Any]]]:
    """How each row is made, in the order of the table; networks are trained on the way."""
    def stage_row(number: int) -> dict[str, Any]:
        return final_row() if number == LAST else compiled_row(stage_network(number), UNPRUNED)

    return {
        PUBLISHED: lambda: float_row(published()),
        TRAINED: lambda: float_row(base()),
        "torch int8": torch_row,
        "8 bits a weight, channel scales": lambda: uniform_row(8),
        "4 bits a weight, channel scales": lambda: uniform_row(4),
        f"clustered, {UNPRUNED} magnitudes": lambda: compiled_row(base(), UNPRUNED),
        **{stage.name: partial(stage_row, number) for number, stage in enumerate(STAGES)},
        FORWARD: lambda: compiled_row(forward(), UNPRUNED),
    }


# ---- results -------------------------------------------------------------------------------
def tables(found: dict[str, dict[str, Any]]) -> list[Table]:
    """Networks, the bar, and what is left of each layer."""
    return [networks_table(found), bar_table(found), layers_table(found)]


def networks_table(found: dict[str, dict[str, Any]]) -> Table:
    """A row a network."""
    first = found[PUBLISHED]
    seen = {stage.name: passes(number) for number, stage in enumerate(STAGES)}
    seen |= {PUBLISHED: 0.0, FORWARD: passes(PRUNED)}
    cells: list[list[Cell]] = [
        [name, seen.get(name, passes(LAST)), 100 * row["held"], 100 * row["test"],
         100 * row["integers"] if "integers" in row else None, loss(found, TRAINED, name),
         row.get("taps"), row["bytes"],
         first["bytes"] / row["bytes"], row.get("coded"),
         first["bytes"] / row["coded"] if "coded" in row else None, row.get("clocks")]
        for name, row in found.items()]
    return Table("Networks", ("network", "passes", "held back %", "test %", "integers %", "loss",
                              "taps", "bytes", "times smaller", "entropy coded", "times smaller ",
                              "clocks"), cells,
                 {"passes": ".1f", "loss": "+.2f", "times smaller": ".1f", "times smaller ": ".1f"},
                 NETWORKS_NOTE)


def loss(found: dict[str, dict[str, Any]], first: str, name: str) -> float | None:
    """Points of test accuracy that a row is below another, in floating point; the row's own is in
    integers where it has them. None where the other is not there yet."""
    row = found[name]
    if first not in found:
        return None
    return 100 * (found[first]["test"] - float(row.get("integers", row["test"])))


def bar_table(found: dict[str, dict[str, Any]]) -> Table:
    """The binary next to what was asked of one; no row before it is there."""
    columns = ("what", "binary", "asked")
    name, dense = STAGES[LAST].name, found.get(f"clustered, {UNPRUNED} magnitudes")
    if name not in found or not dense:
        return Table("Binary for `small`", columns, [])
    first, last = found[PUBLISHED], found[name]
    cells: list[list[Cell]] = [
        [f"loss in integers to `{TRAINED}`", loss(found, TRAINED, name), "at most 1"],
        [f"loss in integers to `{PUBLISHED}`", loss(found, PUBLISHED, name), "told beside"],
        ["passes", passes(LAST), "at most 5"],
        ["times fewer taps", dense["taps"] / last["taps"], "at least 2"],
        ["times smaller, entropy coded", first["bytes"] / last["coded"], "at least 8"],
        ["times smaller, as the machine reads it", first["bytes"] / last["bytes"], "told apart"],
        ["times fewer clocks", dense["clocks"] / last["clocks"], "at least 1.8"],
        [f"images equal on {', '.join(COMPARED)}", last["images"], "several"],
        *[[f"clocks on {engine}", clocks, "equal"] for engine, clocks in last["cycles"].items()]]
    return Table("Binary for `small`", columns, cells)


def layers_table(found: dict[str, dict[str, Any]]) -> Table:
    """Weights left, by layer."""
    names = [name for name in (*(stage.name for stage in STAGES if stage.keep < 1), FORWARD)
             if name in found]
    return Table("Weights left, percent", ("layer", *names),
                 [[layer, *(100 * found[name]["densities"][layer] for name in names)]
                  for layer in (found[names[0]]["densities"] if names else ())],
                 dict.fromkeys(names, ".1f"))


def main() -> None:
    """Rows that are missing, then the page."""
    parser = argparse.ArgumentParser(description="ResNet-20 on CIFAR-10, compressed.")
    parser.add_argument("--page", action="store_true", help="make no row, only the page")
    parts = Parts("resnet20", fresh=False)
    if not parser.parse_args().page:
        for name, make in plan().items():
            print(name, flush=True)
            parts(name, make)
    known = parts.known()
    save("resnet20", "python bench/compression/resnet20.py", ABOUT,
         tables({name: known[name] for name in plan() if name in known}))


if __name__ == "__main__":
    with repeatable(SEED):
        main()
