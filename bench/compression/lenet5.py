"""LeNet-5 compressed within a budget: `python bench/compression/lenet5.py [mnist|fashion]`.

On MNIST as far as 0.1 point allows, three tables: baselines and our ways, with what is left, bytes
and clocks; forward, joint and reversed order of pruning with equal training over three seeds; what
peak-pruning takes away. On Fashion-MNIST within 1 point, fewer rows and one seed. Images held back
from training decide (train.py); test images are read when a row is finished. Finished rows are kept
in out/compression/, networks and unfinished rows in out/lenet5/ or out/lenet5_fashion/, so an
interrupted study goes on; `lenet5.py mnist orders` and `rows` make one part alone. The weights of
the smallest binary on MNIST go to weights/lenet5_mnist_small.npz.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import functools
import itertools
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import binary
import torch
from balance import balanced, broadcast_clocks
from baselines import torch_int8
from kcnn.compress.budget import Tune, right
from kcnn.compress.clusters import cluster, weighted
from kcnn.compress.compose import repeatable
from kcnn.compress.data import Data, accuracy, split
from kcnn.compress.finetune import Settings as Training
from kcnn.compress.finetune import Trainer
from kcnn.compress.formats.coded import eight_bit
from kcnn.compress.prune import Select, Settings, Trial, prune
from networks import DATA, WEIGHTS, build, load_weights, save_weights, trained
from peak import peak_prune
from sizes import table, total
from tables import Cell, Parts, Table, save
from torch import nn
from train import HELD, SEED
from uniform import map_grids, quantise_weights, quantised_maps

ROOT = Path(__file__).resolve().parents[2]
_BYTES = """Test images (5,000)
decided nothing; one standard error of a difference of accuracies is about {error} point. Bytes are
those of the weights in float32, in 8-bit words with positions (CCOO, biases float32), or all
sections of the `.kbin` for `small` that machine and host need; entropy coding, by zlib or lzma of
Python's library, is told apart. Clocks are those of one image on `small`."""
ABOUT = {
    "mnist": "LeNet-5 (431,080 parameters) on MNIST, compressed within 0.1 point. "
             + _BYTES.format(error=0.1),
    "fashion": "LeNet-5 (431,080 parameters) on Fashion-MNIST, compressed within 1 point. "
               + _BYTES.format(error=0.4)}
_LOSS = """`loss` is against float32, in integers where there are any, in points.
Forward order trains all layers in every step, reversed those pruned so far, both with the first
seed; what is within the budget on the images held back may be beyond it on the test images."""
ROWS_NOTES = {
    "mnist": """Deep Compression (ICLR 2016), published: 12 times fewer parameters, 33 times
smaller, 39 times with Huffman codes. """ + _LOSS + """ Joint
pruning has more training images a step; twice: a second search begins with the first one's network.
Peak-pruning begins with the reversed order's.""",
    "fashion": _LOSS + """ `joint order`
has as many training images as they. Taps are the parameters without the 580 biases."""}
_ORDERS = """Within {budget} on the images held back, equally many steps and images for all.
In turn, a layer's share of the loss grows with its place. `pruned so far`: a step trains only the
layers that have been pruned and the one at hand, the last step all; `all`: every step trains all,
as joint pruning always does. What is left is the sparsest network within the budget."""
ORDERS_NOTES = {"mnist": _ORDERS.format(budget="0.1 point"),
                "fashion": _ORDERS.format(budget="1 point")}
ORDERS = ("forward", "joint", "reversed")
SEEDS = (0, 1, 2)


@dataclasses.dataclass(frozen=True)
class Study:
    """One data set. budget: accuracy that may be lost; page: name of the results."""

    data: str
    budget: float
    page: str

    @functools.cached_property
    def whole(self) -> Data:
        """Training and test images."""
        return DATA[self.data].load()

    @functools.cached_property
    def part(self) -> Data:
        """The training images alone; those that decide as test part."""
        return split(self.whole, HELD, SEED)

    @functools.cached_property
    def base(self) -> nn.Module:
        """The network that all is compared with."""
        return trained("lenet5", self.data)

    @property
    def folder(self) -> Path:
        """Where networks and unfinished rows are kept."""
        return ROOT / "out" / self.page

    def kept(self, name: str) -> nn.Module:
        """A network of the folder."""
        return load_weights(build("lenet5", self.data), self.folder / f"{name}.npz")

    def keep(self, module: nn.Module, name: str) -> None:
        """Put a network into the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        save_weights(module, self.folder / f"{name}.npz")

    def accuracies(self, module: nn.Module) -> dict[str, float]:
        """Of the images that decide, and of the test images."""
        return {"held": accuracy(module, self.part.x_test, self.part.y_test),
                "test": accuracy(module, self.whole.x_test, self.whole.y_test)}


STUDIES = {"mnist": Study("mnist", 0.001, "lenet5"),
           "fashion": Study("fashion", 0.01, "lenet5_fashion")}


def tuner(study: Study, images: int, last: int) -> Tune:
    """Training on some of the training images, the network at the start as teacher; weights that
    are zero stay zero."""
    def tune(module: nn.Module, number: int, finishing: bool) -> None:
        count = last if finishing else images
        generator = torch.Generator().manual_seed(number)
        rows = torch.cat([torch.randperm(len(study.part.x_train), generator=generator)
                          for _ in range(-(-count // len(study.part.x_train)))])[:count]
        some = dataclasses.replace(study.part, x_train=study.part.x_train[rows],
                                   y_train=study.part.y_train[rows])
        Trainer(module, some, Training(seed=number), teacher=copy.deepcopy(study.base)).run()
    return tune


def survivors(module: nn.Module) -> dict[str, int]:
    """Weights that are not zero, by layer."""
    return {name: int((layer.weight != 0).sum()) for name, layer in weighted(module).items()}


def pruned(study: Study, name: str, settings: Settings, tune: Tune,
           select: dict[str, Select] | None = None, start: nn.Module | None = None
           ) -> tuple[nn.Module, list[dict[str, Any]]]:
    """The network of a search, kept as it goes, and its steps."""
    def tell(found: Trial) -> None:
        print(f"{name}: {found.layers} {found.left:.2%} left, loss {100 * found.loss:+.3f}"
              f"{'' if found.stands else ', undone'}", flush=True)

    study.folder.mkdir(parents=True, exist_ok=True)
    found = prune(start or study.base, study.part, settings, tune, study.folder / f"{name}.steps",
                  tell, select)
    study.keep(found.module, name)
    return found.module, [dataclasses.asdict(trial) for trial in found.trials]


# ---- orders --------------------------------------------------------------------------------
STEPS = 16
STEP_IMAGES, LAST_IMAGES = 6000, 24000
KEEP = 0.3


def order_row(study: Study, order: str, seed: int, every: bool) -> dict[str, Any]:
    """One search; every: all layers are trained in every step."""
    settings = Settings(study.budget, order, STEPS, KEEP, every, confidence=0.0, seed=seed)
    name = f"order_{order}{'_all' if every else ''}_{seed}"
    module, trials = pruned(study, name, settings, tuner(study, STEP_IMAGES, LAST_IMAGES))
    return {"order": order, "every": every, "seed": seed, "left": survivors(module),
            **study.accuracies(module), "steps": len(trials), "trials": trials}


def order_rows(study: Study, parts: Parts) -> list[dict[str, Any]]:
    """The searches of the data set."""
    return [parts(f"{order} {seed}{' all' if every else ''}",
                  functools.partial(order_row, study, order, seed, every))
            for order, seed, every in SEARCHES[study.data]]


# order, seed, whether all layers are trained in every step
SEARCHES = {"mnist": [(order, seed, False) for seed in SEEDS for order in ORDERS]
            + [(order, seed, True) for seed in SEEDS for order in ORDERS if order != "joint"],
            "fashion": [("forward", 0, True), ("reversed", 0, False), ("joint", 0, False)]}


# ---- rows ----------------------------------------------------------------------------------
BALANCED_LANES = 20                 # 500 rows fill them evenly
IMAGES, LAST = 12000, 96000
MAGNITUDES = (16, 8, 4)
CLUSTER_EPOCHS, CLUSTER_RATE = 2, 1e-3
SMALLEST = ("twice", 4)             # whose weights are kept for other studies
FLOAT_BYTES = 4
OF_PEAKS = ("conv2", "conv1")


def parameters(module: nn.Module) -> int:
    """Biases and weights that are not zero."""
    biases = sum(p.numel() for p in module.parameters() if p.dim() == 1)
    return biases + sum(survivors(module).values())


def plain_row(study: Study, module: nn.Module, size: int, **notes: Any) -> dict[str, Any]:
    """A network that only torch runs; size: bytes of its weights and biases."""
    return {"parameters": parameters(module), **study.accuracies(module), "bytes": size, **notes}


def float_row(study: Study) -> dict[str, Any]:
    """The network as it is."""
    return plain_row(study, study.base, FLOAT_BYTES * parameters(study.base))


def torch_row(study: Study) -> dict[str, Any]:
    """torch's own int8: a scale a channel, calibrated, a byte a weight, biases and scales float."""
    count = sum(survivors(study.base).values())
    channels = parameters(study.base) - count
    with torch_int8(study.base, study.part.x_train[::len(study.part.x_train) // 100]) as module:
        found = study.accuracies(module)
    return {"parameters": parameters(study.base), **found,
            "bytes": count + 2 * FLOAT_BYTES * channels}


def four_row(study: Study, maps: bool) -> dict[str, Any]:
    """4-bit integers, a scale a layer, without training; of the maps too if said."""
    module = copy.deepcopy(study.base)
    quantise_weights(module, 4)
    count, channels = sum(p.numel() for p in module.parameters()), _channels(module)
    size = -(-(count - channels) // 2) + FLOAT_BYTES * channels
    grids = map_grids(study.base, study.part.x_train[:256], 4) if maps else {}
    with quantised_maps(module, grids):
        return plain_row(study, module, size) | {"parameters": parameters(study.base)}


def _channels(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.dim() == 1)


def words_row(study: Study, module: nn.Module, maps: bool = False, **notes: Any) -> dict[str, Any]:
    """Survivors in the second paper's words: 8-bit integers with positions, CCOO; of the maps 8
    bits too if said."""
    module = copy.deepcopy(module)
    quantise_weights(module)
    grids = map_grids(module, study.part.x_train[:256]) if maps else {}
    coded = {name: eight_bit(layer.weight.detach().numpy())
             for name, layer in weighted(module).items()}
    found = total(table(coded, ("none", "huffman"), ("ccoo",)))
    biases = FLOAT_BYTES * _channels(module)
    with quantised_maps(module, grids):
        return plain_row(study, module, found.files["ccoo", "none"] + biases,
                         coded=found.files["ccoo", "huffman"] + biases, **notes)


def peaked(study: Study) -> tuple[nn.Module, list[dict[str, Any]]]:
    """The network of the reversed order, its convolutions cut below their peaks, and the steps."""
    start = study.kept("order_reversed_0")
    module, steps = peak_prune(start, study.part, OF_PEAKS, study.budget,
                               right(study.base, study.part), tuner(study, IMAGES, LAST))
    study.keep(module, "peak")
    return module, [dataclasses.asdict(step) for step in steps]


def peak_row(study: Study) -> dict[str, Any]:
    """Words of 8 bits, after peak-pruning."""
    module, steps = peaked(study)
    return words_row(study, module, steps=steps)


def joint_row(study: Study, name: str, select: dict[str, Select], start: str | None = None
              ) -> dict[str, Any]:
    """All layers pruned together; start: the network to begin with, the untouched one if none."""
    begin = None if start is None else study.kept(start)
    settings = Settings(study.budget / 2, "joint", 16, 0.5, confidence=0.0)
    module, trials = pruned(study, name, settings, tuner(study, IMAGES, LAST), select, begin)
    return words_row(study, module, trials=trials, busy=_busy(module))


def _busy(module: nn.Module) -> float:
    """Share of additions of a column-broadcast engine in which its lanes work, for ip1."""
    clocks, ideal = broadcast_clocks(weighted(module)["ip1"].weight, BALANCED_LANES)
    return ideal / clocks


def compiled_row(study: Study, name: str | None, count: int) -> dict[str, Any]:
    """Clustered to so many magnitudes a layer and trained again, as a binary for `small`."""
    module = copy.deepcopy(study.base) if name is None else study.kept(name)
    shared = cluster(module, count)
    settings = Training(epochs=CLUSTER_EPOCHS, rate=CLUSTER_RATE, seed=SEED)
    Trainer(module, study.part, settings, shared, teacher=copy.deepcopy(study.base)).run(
        study.folder / f"clusters_{name}_{count}.training")
    made = binary.program(module, study.part.x_train, count)
    found = binary.measure(made)
    if found.taps != sum(survivors(module).values()):
        raise SystemExit(f"the binary has {found.taps} taps, the network another number of "
                         "weights; the compiler lost some")
    if (name, count) == SMALLEST:
        save_weights(module, WEIGHTS / f"lenet5_{study.data}_small.npz")
    return {"parameters": parameters(module), **study.accuracies(module), **found.cells(),
            "bytes": found.packed,
            "integers": binary.integer_accuracy(made, study.whole.x_test, study.whole.y_test)}


Row = Callable[[Study], dict[str, Any]]
BASELINES: dict[str, Row] = {
    "float32": float_row,
    "torch int8": torch_row,
    "uniform 4 bits, weights": functools.partial(four_row, maps=False),
    "uniform 4 bits, weights and maps": functools.partial(four_row, maps=True),
    "forward order, 8 bits": lambda study: words_row(study, study.kept("order_forward_all_0")),
    "reversed order, 8 bits": lambda study: words_row(study, study.kept("order_reversed_0")),
}
MNIST: dict[str, Row] = {
    "reversed, peaks, 8 bits": peak_row,
    "reversed, peaks, 8 bits, maps too": lambda study: words_row(study, study.kept("peak"), True),
    "joint, 8 bits": lambda study: joint_row(study, "joint", {}),
    "dense, 16 magnitudes": functools.partial(compiled_row, name=None, count=16),
    **{f"joint, {count} magnitudes": functools.partial(compiled_row, name="joint", count=count)
       for count in MAGNITUDES},
    "joint twice, 8 bits": lambda study: joint_row(study, "twice", {}, "joint"),
    **{f"joint twice, {count} magnitudes": functools.partial(compiled_row, name="twice",
                                                             count=count) for count in (8, 4)},
    "joint, ip1 balanced, 8 bits": lambda study: joint_row(study, "balanced",
                                                           {"ip1": balanced(BALANCED_LANES)}),
}
FASHION: dict[str, Row] = {
    "joint order, 8 bits": lambda study: words_row(study, study.kept("order_joint_0")),
    "dense, 16 magnitudes": functools.partial(compiled_row, name=None, count=16),
    **{f"joint order, {count} magnitudes": functools.partial(compiled_row, name="order_joint_0",
                                                             count=count)
       for count in MAGNITUDES},
}
ROWS: dict[str, dict[str, Row]] = {"mnist": {**BASELINES, **MNIST},
                                   "fashion": {**BASELINES, **FASHION}}


# ---- results -------------------------------------------------------------------------------
def tables(study: Study, rows: dict[str, dict[str, Any]], orders: list[dict[str, Any]]
           ) -> list[Table]:
    """What is known of all three."""
    out = [sizes_table(study, rows)] if "float32" in rows else []
    if orders:
        out.append(orders_table(study, orders))
    if len({row["seed"] for row in orders}) > 1:
        out.append(means_table(study, orders))
    steps = rows.get("reversed, peaks, 8 bits", {}).get("steps")
    if steps:
        out.append(peaks_table(steps))
    if "joint, ip1 balanced, 8 bits" in rows:
        out.append(balance_table(rows))
    return out


def sizes_table(study: Study, rows: dict[str, dict[str, Any]]) -> Table:
    """A row a network."""
    first = rows["float32"]
    cells: list[list[Cell]] = []
    for name in ROWS[study.data]:
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
                  "times smaller ": ".1f"}, ROWS_NOTES[study.data])


def orders_table(study: Study, orders: list[dict[str, Any]]) -> Table:
    """A row a search."""
    whole_loss = {kind: study.accuracies(study.base)[kind] for kind in ("held", "test")}
    names = list(survivors(study.base))
    count = sum(survivors(study.base).values())
    cells = [[row["order"], _trained(row), row["seed"],
              100 * sum(row["left"].values()) / count, *(row["left"][name] for name in names),
              *(100 * (whole_loss[kind] - row[kind]) for kind in ("held", "test")), row["steps"]]
             for row in orders]
    return Table("Orders of pruning", ("order", "trained", "seed", "left %", *names, "held loss",
                                       "test loss", "steps"), cells,
                 {"held loss": "+.3f", "test loss": "+.2f"}, ORDERS_NOTES[study.data])


def means_table(study: Study, orders: list[dict[str, Any]]) -> Table:
    """Means over seeds."""
    count = sum(survivors(study.base).values())
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
    parser = argparse.ArgumentParser(description="LeNet-5 compressed within a budget.")
    parser.add_argument("data", nargs="?", choices=tuple(STUDIES), default="mnist")
    parser.add_argument("part", nargs="?", choices=("orders", "rows"))
    arguments = parser.parse_args()
    study, asked = STUDIES[arguments.data], arguments.part
    orders, rows = (Parts(f"{study.page}{kind}", fresh=False) for kind in ("_orders", ""))
    if asked != "rows":
        order_rows(study, orders)
    if asked != "orders":
        for name, make in ROWS[study.data].items():
            print(name, flush=True)
            rows(name, functools.partial(make, study))
    save(study.page, f"python bench/compression/lenet5.py {study.data}", ABOUT[study.data],
         tables(study, rows.known(), list(orders.known().values())))


if __name__ == "__main__":
    with repeatable(SEED):
        main()
