"""Savings of slimmer networks at 1 % loss: `python bench/compression/slimmer.py [NET DATA MODE]`.

For each network and data set: features made linear only, kernels made lower only, both, and as a
baseline single weights pruned by magnitude, layers in forward order. The search decides on images
held back from training (train.py); test images are read when a row is finished. Finished rows are
kept, and a row cut off goes on from its checkpoint in out/slimmer/. The page and its JSON file are
written after every row.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import functools
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diannao
import torch
from kcnn.arch.config import Config
from kcnn.arch.errors import KcnnError
from kcnn.compiler import pipeline
from kcnn.compress import prune
from kcnn.compress.budget import Round, Settings, Tune, right, slim
from kcnn.compress.clusters import weighted
from kcnn.compress.compact import Compact
from kcnn.compress.data import Data, split
from kcnn.compress.finetune import Settings as Training
from kcnn.compress.finetune import Trainer
from kcnn.compress.sites import sites
from kcnn.compress.work import Meter, Work, macs
from kcnn.tlm import machine
from networks import DATA, WEIGHTS, build, load_weights, save_weights
from tables import Cell, Parts, Table, save
from torch import Tensor, nn
from train import HELD, RECIPES, SEED, varied

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "out" / "slimmer"
BUDGET = 0.01
ONE_SIDED = 1.645                   # standard errors, 95 %
PAIRS = (("lenet5", "mnist"), ("lenet5", "fashion"), ("vgg7", "fashion"), ("resnet20", "cifar10"),
         ("vgg7", "cifar10"))
METHODS = {"linear": ("linear",), "lower": ("lower",), "both": ("lower", "linear")}
CALLED = {"linear": "linear only", "lower": "lower kernel only", "both": "both",
          "pruned": "magnitudes, forward order"}
TRIALS, PRUNED_TO = 3, 0.4           # baseline: steps a layer, and what the first of them leaves
PUBLISHED = {"linear": 52.0, "lower": 65.0}


@dataclasses.dataclass(frozen=True)
class Plan:
    """A search. steps, last: of 64 images, trained in a round and at the end; patient, share: as in
    budget.Settings, as is step."""

    steps: int
    last: int
    step: float = 0.25
    patient: bool = True
    share: float = 0.05
    rate: float = 1e-3


DEEP = Plan(150, 500, share=0.1)            # dear to try and to train
PLANS = {("lenet5", "mnist"): Plan(400, 2000, patient=False),
         ("lenet5", "fashion"): Plan(400, 2000),
         ("vgg7", "fashion"): DEEP, ("vgg7", "cifar10"): DEEP, ("resnet20", "cifar10"): DEEP}
BATCH = 64
ABOUT = """Slimmer networks: what is saved at 1 % loss. Accuracies are those of the test images,
which decided nothing; error is one standard error of the difference. Savings are
multiply-accumulates of the whole network. ResNet-20 is compared with the published network trained
on for some epochs on the same images (train.py). The loss on the images that decide is within the
budget by so many standard errors that 95 of 100 times the one on as many test images should be;
that was made so strict after two of eleven rows had lost 1.02 and 1.20 points on the test images.
`magnitudes, forward order`: as a baseline single weights pruned layer after layer, with the same
training of a step, budget and bound; three steps a layer, so 6.4 % of the weights are the fewest
that it can leave."""
SPEED = """Speed-ups for one image: on DianNao and on its modified form against the untouched
network on DianNao; on our machine (`small`, both networks compiled with 16 clusters) in simulated
clocks."""


# ---- one row -------------------------------------------------------------------------------
def row(network: str, data: str, mode: str) -> dict[str, Any]:
    """Search, then measure on the test images."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    whole = DATA[data].load()
    part = split(whole, HELD, SEED)
    base = load_weights(build(network, data), WEIGHTS / f"{network}_{data}.npz")
    name = f"{network}_{data}_{mode}"
    started = time.process_time()
    KEPT.mkdir(parents=True, exist_ok=True)
    sure = confidence(len(part.x_test), len(whole.x_test))
    tune = tuner(base, part, network, data)
    module, rounds = (baseline(base, part, sure, tune, name) if mode == "pruned" else
                      slimmer(base, part, METHODS[mode], PLANS[network, data], sure, tune, name))
    save_weights(module, KEPT / f"{name}.npz")
    return {"network": network, "data": data, "mode": mode,
            "seconds": round(time.process_time() - started),
            **tested(base, module, whole), **measured(base, module, part.example),
            "clocks_before": clocks(base, part), "clocks": clocks(module, part), "rounds": rounds}


def slimmer(base: nn.Module, part: Data, methods: tuple[str, ...], plan: Plan, sure: float,
            tune: Tune, name: str) -> tuple[nn.Module, list[dict[str, Any]]]:
    """The network of a search, and its rounds."""
    settings = Settings(BUDGET, methods, share=plan.share, step=plan.step, seed=SEED,
                        confidence=sure, patient=plan.patient)
    found = slim(base, part, settings, tune, path=KEPT / f"{name}.pt", tell=told(name))
    return found.module, [dataclasses.asdict(one) for one in found.rounds]


def baseline(base: nn.Module, part: Data, sure: float, tune: Tune, name: str
           ) -> tuple[nn.Module, list[dict[str, Any]]]:
    """The baseline, all layers trained in every step, and its steps."""
    settings = prune.Settings(BUDGET, "forward", TRIALS * len(weighted(base)), PRUNED_TO,
                              whole=True, confidence=sure, seed=SEED)

    def tell(found: prune.Trial) -> None:
        print(f"{name}: {found.layers}, {found.left:.1%} left, loss {found.loss:+.4f} (bound "
              f"{found.bound:+.4f}){'' if found.stands else ', undone'}", flush=True)

    found = prune.prune(base, part, settings, tune, KEPT / f"{name}.pt", tell)
    return found.module, [dataclasses.asdict(one) for one in found.trials]


def confidence(deciding: int, tested: int) -> float:
    """Standard errors of the loss on the images that decide from which 95 of 100 times so many test
    images stay: those have an error of their own."""
    return ONE_SIDED * math.sqrt(1 + deciding / tested)


def tuner(base: nn.Module, part: Data, network: str, data: str) -> Tune:
    """Training on some of the training images, with the network at the start as teacher."""
    teacher, plan = copy.deepcopy(base).eval(), PLANS[network, data]
    recipe = RECIPES[network, data]

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
                                   Config.load("small"), equalise=False).program
    except KcnnError as error:
        print(f"not on small: {error}", flush=True)
        return None
    return machine.cycles(program)


# ---- results -------------------------------------------------------------------------------
def tables(rows: list[dict[str, Any]]) -> list[Table]:
    """Savings, speed-ups, and medians next to the published ones."""
    savings = Table("Savings", ("network", "data", "method", "before %", "after %", "loss", "error",
                                "saving %", "weights left %"),
                    [(*_named(r), 100 * r["accuracy_before"], 100 * r["accuracy"], 100 * _loss(r),
                      100 * r["error"], 100 * r["saving"],
                      100 * r["weights"] / r["weights_before"]) for r in rows],
                    {"loss": "+.2f", "saving %": ".1f", "weights left %": ".1f"})
    speed = Table("Speed-ups", ("network", "data", "method", "DianNao", "modified DianNao",
                                "our machine", "1 / (1 - saving)"),
                  [(*_named(r), r["diannao"], r["modified"],
                    r["clocks_before"] / r["clocks"] if r["clocks"] else None,
                    1 / (1 - r["saving"])) for r in rows], note=SPEED)
    return [savings, speed, _medians(rows)]


def _named(found: dict[str, Any]) -> tuple[str, str, str]:
    return found["network"], found["data"], CALLED[found["mode"]]


def _loss(found: dict[str, Any]) -> float:
    return found["accuracy_before"] - found["accuracy"]


def _medians(rows: list[dict[str, Any]]) -> Table:
    lines: list[list[Cell]] = []
    for mode, called in CALLED.items():
        mine = [found for found in rows if found["mode"] == mode]
        if mine:
            lines.append([called, len(mine), 100 * statistics.median(r["saving"] for r in mine),
                          PUBLISHED.get(mode), 100 * max(_loss(r) for r in mine)])
    return Table("Medians", ("method", "pairs", "median saving %", "published %", "largest loss"),
                 lines, {"median saving %": ".1f", "largest loss": "+.2f"})


def main() -> None:
    """Make the rows that are missing, or those named; the page shows all that are known."""
    parser = argparse.ArgumentParser(description="Savings of slimmer networks at 1 % loss.")
    parser.add_argument("network", nargs="?", choices=sorted({net for net, _ in PAIRS}))
    parser.add_argument("data", nargs="?", choices=sorted(DATA))
    parser.add_argument("mode", nargs="?", choices=list(CALLED))
    arguments = parser.parse_args()
    asked = (arguments.network, arguments.data, arguments.mode)
    every = [(*pair, mode) for pair in PAIRS for mode in CALLED]
    for one in every:
        if all(a in (None, b) for a, b in zip(asked, one, strict=True)):
            parts = Parts("slimmer", fresh=False)
            parts("_".join(one), functools.partial(row, *one))
            known = parts.known()
            save("slimmer", "python bench/compression/slimmer.py", ABOUT,
                 tables([known["_".join(name)] for name in every if "_".join(name) in known]))


if __name__ == "__main__":
    main()
