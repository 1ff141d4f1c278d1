"""Compressed networks on three machines: `python bench/compression/diannao_table.py`.

LeNet-5 and ResNet-20 before and after their studies (lenet5.py, resnet20.py) pruned them: clocks of
one image on DianNao, on DianNao with kernel classes, and on our machine, configuration small. What
features made linear or kernels made lower bring on the same three is told by slimmer.py. Data come
from the folder in KCNN_DATA, for calibration. Goes on where it was interrupted; --fresh begins
again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any

import binary
import diannao
import networks
import torch
from kcnn.arch.config import Config
from kcnn.compress.data import split
from kcnn.compress.work import Meter, Work, issues, macs
from tables import Cell, Parts, Table, save
from torch import Tensor, nn
from train import HELD, SEED

# network, data, magnitudes of the pruned network
NETWORKS = (("lenet5", "mnist", 4), ("resnet20", "cifar10", 8))
DENSE_MAGNITUDES = 16
SMALL = Config.preset("small")
Part = dict[str, Any]
ABOUT = """Clocks of one image, before and after pruning and clustering. DianNao by
bench/compression/diannao.py: computation and transfers of every layer with weights, 16-bit values;
pools and sums of maps are not counted. Our machine, configuration small, with everything, by its
model (TLM). DianNao skips no weight of a kernel, only features and inputs without any, so scattered
zeros save next to nothing there. Its form with kernel classes was made for kernels that are smaller
as a whole (slimmer.py); scattered zeros leave few of these."""


def pair(network: str, data: str, magnitudes: int) -> list[Part]:
    """The network as trained and as its study left it."""
    base = networks.load_weights(networks.build(network, data),
                                 networks.WEIGHTS / f"{network}_{data}.npz")
    images = split(networks.DATA[data].load(), HELD, SEED).x_train
    meter, small = Meter(base, images[:1]), networks.compressed(network, data)
    return [{"weights": title, **measured(meter(module), module, images, count)}
            for title, module, count in (
                (f"as trained, {DENSE_MAGNITUDES} magnitudes", base, DENSE_MAGNITUDES),
                (f"pruned, {magnitudes} magnitudes", small, magnitudes))]


def measured(works: Sequence[Work], module: nn.Module, images: Tensor, magnitudes: int) -> Part:
    """Clocks of the whole network and of its layers."""
    found = binary.measure(binary.program(module, images, magnitudes))
    return {"macs": macs(works), "taps": sum(work.taps for work in works),
            "diannao": diannao.total(works, diannao.BASE),
            "modified": diannao.total(works, diannao.MODIFIED), "ours": found.clocks,
            "layers": [layer(work) for work in works]}


def layer(work: Work) -> list[Cell]:
    """Name, multiply-accumulates, DianNao's clocks by what takes them, those of its other form,
    and the clocks in which our machine issues taps."""
    plain, classes = (diannao.cycles(work, machine)
                      for machine in (diannao.BASE, diannao.MODIFIED))
    return [work.name, work.macs, plain.compute, plain.memory, plain.total, classes.total,
            issues(SMALL.lanes)([work])]


# ---- tables --------------------------------------------------------------------------------
def machines() -> Table:
    """What the machines have."""
    multipliers = SMALL.lanes // SMALL.share
    base = diannao.BASE
    return Table("The machines", ("machine", "multipliers", "adders for products or sums",
                                  "multiply-accumulates a clock", "GHz"), [
        ("DianNao", base.tile ** 2, base.tile * (base.tile - 1), base.tile ** 2,
         base.frequency / 1e9),
        ("DianNao with kernel classes", base.tile ** 2, base.tile * (base.tile - 1),
         base.tile ** 2, base.frequency / 1e9),
        ("ours, small", multipliers, SMALL.lanes, SMALL.lanes, None)],
        note="Ours adds one tap for all its lanes in a clock and multiplies once a cluster. Its "
             "clock rate is not known from a layout, so times are not compared.")


def clocks(found: dict[str, list[Part]]) -> Table:
    """Clocks, and clocks times what a machine computes in one."""
    rows = [(name, part["weights"], part["macs"] / 1e6, part["taps"], part["diannao"],
             part["modified"], part["ours"], *(100 * part["macs"] / (part[machine] * lanes)
                                               for machine, lanes in lanes_of().items()))
            for name, parts in found.items() for part in parts]
    columns = ("DianNao", "modified DianNao", "ours")
    return Table("Clocks of one image", (
        "network", "weights", "multiply-accumulates, millions", "weights left", *columns,
        *(f"{name}: busy, percent" for name in columns)), rows,
        {"multiply-accumulates, millions": ",.3f", **dict.fromkeys(columns, ",.0f"),
         **{f"{name}: busy, percent": ".1f" for name in columns}},
        note="Multiply-accumulates of weights that are not zero. Busy: these, over clocks times "
             "what the machine computes in a clock (256, 256, 16).")


def lanes_of() -> dict[str, int]:
    """Multiply-accumulates a clock of each machine."""
    return {"diannao": diannao.BASE.tile ** 2, "modified": diannao.MODIFIED.tile ** 2,
            "ours": SMALL.lanes}


def speed(found: dict[str, list[Part]]) -> Table:
    """How much faster each machine gets."""
    rows = [(name, before["macs"] / after["macs"],
             *(before[machine] / after[machine] for machine in lanes_of()))
            for name, (before, after) in found.items()]
    return Table("Times fewer clocks by pruning, on the same machine",
                 ("network", "multiply-accumulates", "DianNao", "modified DianNao", "ours"), rows)


def by_layer(name: str, part: Part) -> Table:
    """Layers of a pruned network."""
    return Table(f"{name}, {part['weights']}, by layer",
                 ("layer", "multiply-accumulates", "DianNao: computes", "DianNao: transfers",
                  "DianNao: all", "modified: all", "ours: issues taps"), part["layers"],
                 dict.fromkeys(("DianNao: transfers", "DianNao: all", "modified: all"), ",.0f"),
                 note="All: the slower of computing and transfers, and filling the stages.")


def tables(found: dict[str, list[Part]]) -> list[Table]:
    """All of them."""
    return [machines(), clocks(found), speed(found),
            *(by_layer(name, parts[-1]) for name, parts in found.items())]


def main() -> None:
    """The page."""
    parser = argparse.ArgumentParser(description="Compressed networks on three machines.")
    parser.add_argument("--fresh", action="store_true", help="forget parts made before")
    parts = Parts("diannao", parser.parse_args().fresh)
    networks.folder()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    found = {f"{network} {data}": parts(f"{network} {data}", partial(pair, network, data, count))
             for network, data, count in NETWORKS}
    save("diannao", "python bench/compression/diannao_table.py", ABOUT, tables(found))


if __name__ == "__main__":
    main()
