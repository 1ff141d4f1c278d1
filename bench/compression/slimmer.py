"""Savings of slimmer networks at 1 % loss: `python bench/compression/slimmer.py [NET DATA MODE]`.

For each network and data set: features made linear only, kernels made lower only, both, and both
with cycles of the modified DianNao in place of multiply-accumulates. The search decides on images
held back from training (train.py); test images are read when a row is finished. Rows that are in
results/slimmer.json are kept; a row cut off goes on from its checkpoint in out/slimmer/.
The result is written after every row: results/slimmer.json and results/slimmer.md.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kcnn.arch.config import Config
from kcnn.arch.engine import MemoryModel
from kcnn.arch.errors import KcnnError
from kcnn.cli.engines import memory_image
from kcnn.compiler import pipeline
from kcnn.compiler.compress import diannao
from kcnn.compiler.compress.budget import Round, Settings, right, slim
from kcnn.compiler.compress.compact import Compact
from kcnn.compiler.compress.data import Data, split
from kcnn.compiler.compress.finetune import Settings as Training
from kcnn.compiler.compress.finetune import Trainer
from kcnn.compiler.compress.sites import sites
from kcnn.compiler.compress.work import Cost, Meter, Work, macs
from kcnn.tlm import machine
from networks import DATA, WEIGHTS, build, load_weights, save_weights
from torch import Tensor, nn
from train import HELD, RECIPES, SEED, varied

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).parent / "results"
KEPT = ROOT / "out" / "slimmer"
BUDGET = 0.01
PAIRS = (("lenet5", "mnist"), ("lenet5", "fashion"), ("vgg7", "fashion"), ("resnet20", "cifar10"),
         ("vgg7", "cifar10"))
MODES: dict[str, tuple[tuple[str, ...], Cost]] = {
    "linear": (("linear",), macs),
    "lower": (("lower",), macs),
    "both": (("lower", "linear"), macs),
    "cycles": (("lower", "linear"), lambda works: diannao.total(works, diannao.MODIFIED)),
}
CALLED = {"linear": "linear only", "lower": "lower kernel only", "both": "both",
          "cycles": "both, cycles as cost"}
PUBLISHED = {"linear": 0.52, "lower": 0.65}


@dataclasses.dataclass(frozen=True)
class Plan:
    """Training of one network within the search: steps of 64 images in a round and at the end."""

    steps: int
    last: int
    step: float
    rate: float = 1e-3


PLANS = {"lenet5": Plan(400, 2000, 0.25), "vgg7": Plan(150, 500, 0.25),
         "resnet20": Plan(150, 500, 0.25)}
BATCH = 64
HEADER = """# Slimmer networks: savings at 1 % loss

Made by `python bench/compression/slimmer.py` from slimmer.json. Accuracies are those of the test
images, which decided nothing; ± is one standard error of the difference. Savings are
multiply-accumulates of the whole network. ResNet-20 is compared with the published network trained
on for some epochs on the same images (train.py). Speed-ups for one image: on DianNao and on its
modified form against the untouched network on DianNao; on our machine (`small`, both networks
compiled with 16 clusters) in simulated clocks.

| network | data | method | accuracy before | after | loss | saving | weights left | DianNao \
| modified DianNao | our machine |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"""


# ---- one row -------------------------------------------------------------------------------
def row(network: str, data: str, mode: str) -> dict[str, Any]:
    """Search, then measure on the test images."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    whole = DATA[data].load()
    part = split(whole, HELD, SEED)
    base = load_weights(build(network, data), WEIGHTS / f"{network}_{data}.npz")
    methods, cost = MODES[mode]
    name = f"{network}_{data}_{mode}"
    started = time.process_time()
    KEPT.mkdir(parents=True, exist_ok=True)
    found = slim(base, part, Settings(BUDGET, methods, step=PLANS[network].step, seed=SEED),
                 tuner(base, part, network, data), cost, KEPT / f"{name}.pt", told(name))
    save_weights(found.module, KEPT / f"{name}.npz")
    return {"network": network, "data": data, "mode": mode,
            "seconds": round(time.process_time() - started),
            **tested(base, found.module, whole), **measured(base, found.module, part.example),
            "clocks_before": clocks(base, part), "clocks": clocks(found.module, part),
            "rounds": [dataclasses.asdict(one) for one in found.rounds]}


def tuner(base: nn.Module, part: Data, network: str, data: str
          ) -> Callable[[nn.Module, int, bool], None]:
    """Training on some of the training images, with the network at the start as teacher."""
    teacher, plan, recipe = copy.deepcopy(base).eval(), PLANS[network], RECIPES[network, data]

    def augment(x: Tensor, generator: torch.Generator) -> Tensor:
        return varied(x, recipe.shift, recipe.mirror, generator)

    def tune(module: nn.Module, number: int, last: bool) -> None:
        left = BATCH * (plan.last if last else plan.steps)
        small = Compact(module, sites(module, part.example))
        generator = torch.Generator().manual_seed(number)
        order = torch.randperm(len(part.x_train), generator=generator)
        rows = order.repeat(-(-left // len(order)))[:left]
        some = Data(part.x_train[rows], part.y_train[rows], part.x_test, part.y_test)
        settings = Training(rate=plan.rate, batch=BATCH, seed=number)
        Trainer(small.module, some, settings, teacher=teacher, augment=augment).run()
        small.spread()
    return tune


def told(name: str) -> Callable[[Round], None]:
    """Prints the rounds of a row."""
    def tell(found: Round) -> None:
        print(f"{name}: cost {found.cost:.3f}, loss {found.loss:+.4f} (bound {found.bound:+.4f})"
              f"{', last' if found.last else ''}, {'kept' if found.kept else 'undone'}", flush=True)
    return tell


def tested(base: nn.Module, slimmed: nn.Module, whole: Data) -> dict[str, float]:
    """Accuracies on test images, and the standard error of their difference."""
    before, after = right(base, whole), right(slimmed, whole)
    return {"accuracy_before": float(before.mean()), "accuracy": float(after.mean()),
            "error": float((before - after).std()) / math.sqrt(len(before))}


def measured(base: nn.Module, slimmed: nn.Module, example: Tensor) -> dict[str, Any]:
    """Savings and speed-ups against the network at the start."""
    meter = Meter(base, example)
    before, after = meter(base), meter(slimmed)
    plain = diannao.total(before, diannao.BASE)
    return {"macs_before": macs(before), "macs": macs(after),
            "saving": 1 - macs(after) / macs(before),
            "weights_before": taps(before), "weights": taps(after),
            "diannao": plain / diannao.total(after, diannao.BASE),
            "modified": plain / diannao.total(after, diannao.MODIFIED)}


def taps(works: list[Work]) -> int:
    """Weights that are not zero."""
    return sum(work.taps for work in works)


def clocks(module: nn.Module, part: Data) -> int | None:
    """Clocks of one image on `small`, by its model; None where the network does not fit."""
    try:
        program = pipeline.compile(module, (part.example,), part.x_train[:64].numpy(),
                                   Config.load("small")).program
    except KcnnError as error:
        print(f"not on small: {error}", flush=True)
        return None
    layouts = [program.tensors[port.tensor].layout for port in program.inputs]
    codes = [np.zeros((one.planes, 1, one.channels, one.height, one.width), np.int64)
             for one in layouts]                    # clocks do not depend on the image
    model = MemoryModel.fixed(program.config.latency)
    return machine.simulate(program, memory_image(program, codes), model).cycles


# ---- results -------------------------------------------------------------------------------
def load_rows() -> list[dict[str, Any]]:
    """What is finished."""
    path = RESULTS / "slimmer.json"
    return json.loads(path.read_text())["rows"] if path.exists() else []


def write(rows: list[dict[str, Any]]) -> None:
    """Both files, each replaced at once."""
    rows = sorted(rows, key=lambda r: (PAIRS.index((r["network"], r["data"])),
                                       list(MODES).index(r["mode"])))
    for name, text in (("slimmer.json", json.dumps({"budget": BUDGET, "rows": rows}, indent=1)),
                       ("slimmer.md", table(rows))):
        partial = RESULTS / f".{name}"
        partial.write_text(text + "\n")
        partial.replace(RESULTS / name)


def table(rows: list[dict[str, Any]]) -> str:
    """The report in Markdown."""
    lines = HEADER.splitlines()
    lines += [_line(found) for found in rows]
    lines += ["", "| method | pairs | median saving | published median | largest loss |",
              "| --- | --- | --- | --- | --- |"]
    return "\n".join(lines + [_median(mode, [r for r in rows if r["mode"] == mode])
                              for mode in MODES if any(r["mode"] == mode for r in rows)])


def _line(found: dict[str, Any]) -> str:
    loss = found["accuracy_before"] - found["accuracy"]
    cells = [found["network"], found["data"], CALLED[found["mode"]],
             f"{100 * found['accuracy_before']:.2f} %", f"{100 * found['accuracy']:.2f} %",
             f"{100 * loss:+.2f} ± {100 * found['error']:.2f}", f"{100 * found['saving']:.1f} %",
             f"{100 * found['weights'] / found['weights_before']:.1f} %",
             f"{found['diannao']:.2f}x", f"{found['modified']:.2f}x",
             f"{found['clocks_before'] / found['clocks']:.2f}x" if found["clocks"] else "too large"]
    return f"| {' | '.join(cells)} |"


def _median(mode: str, rows: list[dict[str, Any]]) -> str:
    saving = statistics.median(found["saving"] for found in rows)
    loss = max(found["accuracy_before"] - found["accuracy"] for found in rows)
    published = f"{100 * PUBLISHED[mode]:.0f} %" if mode in PUBLISHED else ""
    return (f"| {CALLED[mode]} | {len(rows)} | {100 * saving:.1f} % | {published} | "
            f"{100 * loss:+.2f} |")


def main() -> None:
    """Make the rows that are missing, or those named."""
    parser = argparse.ArgumentParser(description="Savings of slimmer networks at 1 % loss.")
    parser.add_argument("network", nargs="?", choices=sorted({net for net, _ in PAIRS}))
    parser.add_argument("data", nargs="?", choices=sorted(DATA))
    parser.add_argument("mode", nargs="?", choices=list(MODES))
    arguments = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    for mode in MODES:
        for network, data in PAIRS:
            asked = (arguments.network, arguments.data, arguments.mode)
            if any(a not in (None, b) for a, b in zip(asked, (network, data, mode), strict=True)):
                continue
            rows = load_rows()
            if any((r["network"], r["data"], r["mode"]) == (network, data, mode) for r in rows):
                continue
            made = row(network, data, mode)
            write([*load_rows(), made])
            print(_line(made), flush=True)


if __name__ == "__main__":
    main()
