"""LeNet-5 on MNIST, compressed as far as 0.1 point allows: `python bench/compression/lenet5.py`.

Three tables: baselines and our ways, with what is left, bytes and clocks; forward, joint and
reversed order of pruning with equal training over three seeds; what peak-pruning takes away. Images
held back from training decide (train.py); test images are read when a row is finished. Finished
rows are kept in out/compression/, networks and unfinished rows in out/lenet5/, so an interrupted
study goes on; `lenet5.py orders` and `lenet5.py rows` make one part alone.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import functools
import itertools
import statistics
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import binary
import torch
from kcnn.compiler.compress.balance import balanced, broadcast_clocks
from kcnn.compiler.compress.budget import Tune, right
from kcnn.compiler.compress.clusters import cluster, weighted
from kcnn.compiler.compress.compose import repeatable
from kcnn.compiler.compress.data import Data, accuracy, logits, split
from kcnn.compiler.compress.finetune import Settings as Training
from kcnn.compiler.compress.finetune import Trainer
from kcnn.compiler.compress.formats.coded import eight_bit
from kcnn.compiler.compress.peak import peak_prune
from kcnn.compiler.compress.prune import Select, Settings, Trial, prune
from kcnn.compiler.compress.sizes import table, total
from kcnn.compiler.compress.uniform import map_grids, quantise_weights, quantised_maps
from networks import DATA, build, load_weights, save_weights, trained
from tables import Cell, Parts, Table, save
from torch import nn
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from train import HELD, SEED

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "out" / "lenet5"
BUDGET = 0.001
ABOUT = """LeNet-5 (431,080 parameters) on MNIST, compressed within 0.1 point. Test images (5,000)
decided nothing; one standard error of a difference of accuracies is about 0.1 point. Bytes are
those of the weights in float32, in 8-bit words with positions (CCOO, biases float32), or all
sections of the `.kbin` for `small` that machine and host need; entropy coding, by zlib or lzma of
Python's library, is told apart. Clocks are those of one image on `small`."""
ROWS_NOTE = """Deep Compression (ICLR 2016), published: 12 times fewer parameters, 33 times smaller,
39 times with Huffman codes. `loss` is against float32, in integers where there are any, in points.
Forward order trains all layers in every step, reversed those pruned so far, both with the first
seed; what is within the budget on the images held back may be beyond it on the test images. Joint
pruning has more training images a step; twice: a second search begins with the first one's network.
Peak-pruning begins with the reversed order's."""
ORDERS_NOTE = """Within 0.1 point on the images held back, equally many steps and images for all.
In turn, a layer's share of the loss grows with its place. `pruned so far`: a step trains only the
layers that have been pruned and the one at hand, the last step all; `all`: every step trains all,
as joint pruning always does. What is left is the sparsest network within the budget."""
ORDERS = ("forward", "joint", "reversed")
SEEDS = (0, 1, 2)


@functools.cache
def whole() -> Data:
    """Training and test images."""
    return DATA["mnist"].load()


@functools.cache
def part() -> Data:
    """The training images alone; those that decide as test part."""
    return split(whole(), HELD, SEED)


@functools.cache
def base() -> nn.Module:
    """The network that all is compared with."""
    return trained("lenet5", "mnist")


def lenet5(path: Path) -> nn.Module:
    """A network kept in KEPT."""
    return load_weights(build("lenet5", "mnist"), path)


def tuner(images: int, last: int) -> Tune:
    """Training on some of the training images, the network at the start as teacher; weights that
    are zero stay zero."""
    def tune(module: nn.Module, number: int, finishing: bool) -> None:
        count = last if finishing else images
        generator = torch.Generator().manual_seed(number)
        rows = torch.cat([torch.randperm(len(part().x_train), generator=generator)
                          for _ in range(-(-count // len(part().x_train)))])[:count]
        some = dataclasses.replace(part(), x_train=part().x_train[rows],
                                   y_train=part().y_train[rows])
        Trainer(module, some, Training(seed=number), teacher=copy.deepcopy(base())).run()
    return tune


def accuracies(module: nn.Module) -> dict[str, float]:
    """Of the images that decide, and of the test images."""
    return {"held": accuracy(module, part().x_test, part().y_test),
            "test": accuracy(module, whole().x_test, whole().y_test)}


def survivors(module: nn.Module) -> dict[str, int]:
    """Weights that are not zero, by layer."""
    return {name: int((layer.weight != 0).sum()) for name, layer in weighted(module).items()}


def pruned(name: str, settings: Settings, tune: Tune, select: dict[str, Select] | None = None,
           start: nn.Module | None = None) -> tuple[nn.Module, list[dict[str, Any]]]:
    """The network of a search, kept as it goes, and its steps."""
    def tell(found: Trial) -> None:
        print(f"{name}: {found.layers} {found.left:.2%} left, loss {100 * found.loss:+.3f}"
              f"{'' if found.stands else ', undone'}", flush=True)

    KEPT.mkdir(parents=True, exist_ok=True)
    found = prune(start or base(), part(), settings, tune, KEPT / f"{name}.steps", tell, select)
    save_weights(found.module, KEPT / f"{name}.npz")
    return found.module, [dataclasses.asdict(trial) for trial in found.trials]


# ---- orders --------------------------------------------------------------------------------
STEPS = 16
STEP_IMAGES, LAST_IMAGES = 6000, 24000
KEEP = 0.3


def order_row(order: str, seed: int, every: bool) -> dict[str, Any]:
    """One search; every: all layers are trained in every step."""
    settings = Settings(BUDGET, order, STEPS, KEEP, every, confidence=0.0, seed=seed)
    name = f"order_{order}{'_all' if every else ''}_{seed}"
    module, trials = pruned(name, settings, tuner(STEP_IMAGES, LAST_IMAGES))
    return {"order": order, "every": every, "seed": seed, "left": survivors(module),
            **accuracies(module), "steps": len(trials), "trials": trials}


def order_rows(parts: Parts) -> list[dict[str, Any]]:
    """All orders and seeds."""
    every = [(order, seed, False) for seed in SEEDS for order in ORDERS]
    every += [(order, seed, True) for seed in SEEDS for order in ORDERS if order != "joint"]
    return [parts(f"{order} {seed}{' all' if all_layers else ''}",
                  functools.partial(order_row, order, seed, all_layers))
            for order, seed, all_layers in every]


# ---- rows ----------------------------------------------------------------------------------
PRUNING = Settings(BUDGET / 2, "joint", 16, 0.5, confidence=0.0)
BALANCED_LANES = 20                 # 500 rows fill them evenly
IMAGES, LAST = 12000, 96000
MAGNITUDES = (16, 8, 4)
FLOAT_BYTES = 4
OF_PEAKS = ("conv2", "conv1")


def parameters(module: nn.Module) -> int:
    """Biases and weights that are not zero."""
    biases = sum(p.numel() for p in module.parameters() if p.dim() == 1)
    return biases + sum(survivors(module).values())


def plain_row(module: nn.Module, size: int, **notes: Any) -> dict[str, Any]:
    """A network that only torch runs; size: bytes of its weights and biases."""
    return {"parameters": parameters(module), **accuracies(module), "bytes": size, **notes}


def float_row() -> dict[str, Any]:
    """The network as it is."""
    return plain_row(base(), FLOAT_BYTES * parameters(base()))


def torch_row() -> dict[str, Any]:
    """torch's own int8: a scale a channel, calibrated, a byte a weight, biases and scales float."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")             # torch announces a successor elsewhere
        prepared = prepare_fx(copy.deepcopy(base()), get_default_qconfig_mapping("x86"),
                              (part().example,))
        logits(prepared, part().x_train[::len(part().x_train) // 100])
        module = convert_fx(prepared)
    count = sum(survivors(base()).values())
    channels = parameters(base()) - count
    torch.use_deterministic_algorithms(False)       # torch refuses its quantized layers else
    found = accuracies(module)
    torch.use_deterministic_algorithms(True)
    return {"parameters": parameters(base()), **found, "bytes": count + 2 * FLOAT_BYTES * channels}


def four_row(maps: bool) -> dict[str, Any]:
    """4-bit integers, a scale a layer, without training; of the maps too if said."""
    module = copy.deepcopy(base())
    quantise_weights(module, 4)
    count, channels = sum(p.numel() for p in module.parameters()), _channels(module)
    size = -(-(count - channels) // 2) + FLOAT_BYTES * channels
    grids = map_grids(base(), part().x_train[:256], 4) if maps else {}
    with quantised_maps(module, grids):
        return plain_row(module, size) | {"parameters": parameters(base())}


def _channels(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.dim() == 1)


def words_row(module: nn.Module, maps: bool = False, **notes: Any) -> dict[str, Any]:
    """Survivors in the second paper's words: 8-bit integers with positions, CCOO; of the maps 8
    bits too if said."""
    module = copy.deepcopy(module)
    quantise_weights(module)
    grids = map_grids(module, part().x_train[:256]) if maps else {}
    coded = {name: eight_bit(layer.weight.detach().numpy())
             for name, layer in weighted(module).items()}
    found = total(table(coded, ("none", "huffman"), ("ccoo",)))
    biases = FLOAT_BYTES * _channels(module)
    with quantised_maps(module, grids):
        return plain_row(module, found.files["ccoo", "none"] + biases,
                         coded=found.files["ccoo", "huffman"] + biases, **notes)


def peaked() -> tuple[nn.Module, list[dict[str, Any]]]:
    """The network of the reversed order, its convolutions cut below their peaks, and the steps."""
    start = lenet5(KEPT / "order_reversed_0.npz")
    module, steps = peak_prune(start, part(), OF_PEAKS, BUDGET, right(base(), part()),
                               tuner(IMAGES, LAST))
    save_weights(module, KEPT / "peak.npz")
    return module, [dataclasses.asdict(step) for step in steps]


def peak_row() -> dict[str, Any]:
    """Words of 8 bits, after peak-pruning."""
    module, steps = peaked()
    return words_row(module, steps=steps)


def joint_row(name: str, select: dict[str, Select], start: str | None = None) -> dict[str, Any]:
    """All layers pruned together; start: the network to begin with, the untouched one if none."""
    begin = None if start is None else lenet5(KEPT / f"{start}.npz")
    module, trials = pruned(name, PRUNING, tuner(IMAGES, LAST), select, begin)
    return words_row(module, trials=trials, busy=_busy(module))


def _busy(module: nn.Module) -> float:
    """Share of additions of a column-broadcast engine in which its lanes work, for ip1."""
    clocks, ideal = broadcast_clocks(weighted(module)["ip1"].weight, BALANCED_LANES)
    return ideal / clocks


def compiled_row(name: str | None, count: int) -> dict[str, Any]:
    """Clustered to so many magnitudes a layer and trained again, as a binary for `small`."""
    module = copy.deepcopy(base()) if name is None else lenet5(KEPT / f"{name}.npz")
    shared = cluster(module, count)
    settings = Training(epochs=EPOCHS, rate=CLUSTER_RATE, seed=SEED)
    Trainer(module, part(), settings, shared, teacher=copy.deepcopy(base())).run(
        KEPT / f"clusters_{name}_{count}.training")
    made = binary.program(module, part().x_train, count)
    found = binary.measure(made)
    if found.taps != sum(survivors(module).values()):
        raise SystemExit(f"the binary has {found.taps} taps, the network another number of "
                         "weights; the compiler lost some")
    return {"parameters": parameters(module), **accuracies(module), **found.cells(),
            "bytes": found.packed,
            "integers": binary.integer_accuracy(made, whole().x_test, whole().y_test)}


EPOCHS, CLUSTER_RATE = 2, 1e-3
ROWS: dict[str, Callable[[], dict[str, Any]]] = {
    "float32": float_row,
    "torch int8": torch_row,
    "uniform 4 bits, weights": functools.partial(four_row, False),
    "uniform 4 bits, weights and maps": functools.partial(four_row, True),
    "forward order, 8 bits": lambda: words_row(lenet5(KEPT / "order_forward_all_0.npz")),
    "reversed order, 8 bits": lambda: words_row(lenet5(KEPT / "order_reversed_0.npz")),
    "reversed, peaks, 8 bits": peak_row,
    "reversed, peaks, 8 bits, maps too": lambda: words_row(lenet5(KEPT / "peak.npz"), True),
    "joint, 8 bits": lambda: joint_row("joint", {}),
    "dense, 16 magnitudes": lambda: compiled_row(None, 16),
    **{f"joint, {count} magnitudes": functools.partial(compiled_row, "joint", count)
       for count in MAGNITUDES},
    "joint twice, 8 bits": lambda: joint_row("twice", {}, "joint"),
    **{f"joint twice, {count} magnitudes": functools.partial(compiled_row, "twice", count)
       for count in (8, 4)},
    "joint, ip1 balanced, 8 bits": lambda: joint_row("balanced",
                                                     {"ip1": balanced(BALANCED_LANES)}),
}


# ---- results -------------------------------------------------------------------------------
def tables(rows: dict[str, dict[str, Any]], orders: list[dict[str, Any]]) -> list[Table]:
    """What is known of all three."""
    out = [sizes_table(rows)] if "float32" in rows else []
    if orders:
        out += [orders_table(orders), means_table(orders)]
    steps = rows.get("reversed, peaks, 8 bits", {}).get("steps")
    if steps:
        out.append(peaks_table(steps))
    if "joint, ip1 balanced, 8 bits" in rows:
        out.append(balance_table(rows))
    return out


def sizes_table(rows: dict[str, dict[str, Any]]) -> Table:
    """A row a network."""
    first = rows["float32"]
    cells: list[list[Cell]] = []
    for name in ROWS:
        if name not in rows:
            continue
        row = rows[name]
        final = row.get("integers", row["test"])
        coded = row.get("coded")
        cells.append([name, row["parameters"], first["parameters"] / row["parameters"],
                      100 * row["test"], 100 * row["integers"] if "integers" in row else None,
                      100 * (first["test"] - final), row["bytes"], first["bytes"] / row["bytes"],
                      coded, first["bytes"] / coded if coded else None, row.get("clocks")])
    return Table("Networks", ("network", "parameters", "times fewer", "test %", "integers %",
                              "loss", "bytes", "times smaller", "entropy coded", "times smaller ",
                              "clocks"), cells,
                 {"times fewer": ".1f", "loss": "+.2f", "times smaller": ".1f",
                  "times smaller ": ".1f"}, ROWS_NOTE)


def orders_table(orders: list[dict[str, Any]]) -> Table:
    """A row a search."""
    whole_loss = {kind: accuracies(base())[kind] for kind in ("held", "test")}
    names = list(survivors(base()))
    count = sum(survivors(base()).values())
    cells = [[row["order"], _trained(row), row["seed"],
              100 * sum(row["left"].values()) / count, *(row["left"][name] for name in names),
              *(100 * (whole_loss[kind] - row[kind]) for kind in ("held", "test")), row["steps"]]
             for row in orders]
    return Table("Orders of pruning", ("order", "trained", "seed", "left %", *names, "held loss",
                                       "test loss", "steps"), cells,
                 {"held loss": "+.3f", "test loss": "+.2f"}, ORDERS_NOTE)


def means_table(orders: list[dict[str, Any]]) -> Table:
    """Means over seeds."""
    count = sum(survivors(base()).values())
    cells: list[list[Cell]] = []
    for order, moving in itertools.product(ORDERS, ("pruned so far", "all")):
        found = [100 * sum(row["left"].values()) / count for row in orders
                 if (row["order"], _trained(row)) == (order, moving)]
        if found:
            cells.append([order, moving, len(found), statistics.mean(found), min(found),
                          max(found)])
    return Table("Orders of pruning, over seeds", ("order", "trained", "seeds", "mean left %",
                                                   "least", "most"), cells)


def _trained(row: dict[str, Any]) -> str:
    """Which layers a step trains; joint pruning is at all of them from the start."""
    return "all" if row["every"] or row["order"] == "joint" else "pruned so far"


def peaks_table(steps: list[dict[str, Any]]) -> Table:
    """A row a step."""
    return Table("Peak-pruning of the convolutions, after the reversed order",
                 ("layer", "bins", "weights before", "weights after", "held loss", "kept"),
                 [[step["layer"], step["bins"], step["before"], step["after"], 100 * step["loss"],
                   "yes" if step["kept"] else "no"] for step in steps], {"held loss": "+.3f"})


def balance_table(rows: dict[str, dict[str, Any]]) -> Table:
    """ip1 on a column-broadcast engine."""
    chosen = ("joint, 8 bits", "joint, ip1 balanced, 8 bits")
    return Table(f"Pruning ip1 for {BALANCED_LANES} lanes that get one input at a time",
                 ("network", "parameters", "test %", "lanes busy %"),
                 [[name, rows[name]["parameters"], 100 * rows[name]["test"],
                   100 * rows[name]["busy"]] for name in chosen], {"lanes busy %": ".1f"})


def main() -> None:
    """The parts asked for, then the page of all that is known."""
    parser = argparse.ArgumentParser(description="LeNet-5 on MNIST within 0.1 point.")
    parser.add_argument("part", nargs="?", choices=("orders", "rows"))
    asked = parser.parse_args().part
    orders, rows = Parts("lenet5_orders", fresh=False), Parts("lenet5", fresh=False)
    if asked != "rows":
        order_rows(orders)
    if asked != "orders":
        for name, make in ROWS.items():
            print(name, flush=True)
            rows(name, make)
    save("lenet5", "python bench/compression/lenet5.py", ABOUT,
         tables(rows.known(), list(orders.known().values())))


if __name__ == "__main__":
    with repeatable(SEED):
        main()
