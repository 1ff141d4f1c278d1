"""Clustered weights and maps on trained networks: `python bench/compression/kcnn_table.py`.

Data come from the folder in KCNN_DATA. What decides (numbers of clusters, calibration) sees only
training images; the test images give the accuracies shown. A network whose weights are not there
(train.py) is left out and named. Goes on where it was interrupted; --fresh begins again,
--networks takes some only.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import kcnn_costs
import networks
import numpy as np
import torch
from baselines import torch_int8, uniform
from cluster_choice import Trial, choose, confidence_limit
from kcnn.compress import centroids, maps
from kcnn.compress.clusters import cluster, weighted
from kcnn.compress.data import Data, accuracy, split
from kcnn.compress.finetune import Settings, Trainer
from matplotlib.figure import Figure
from rich.console import Console
from tables import Cell, Parts, Table, save
from torch import nn

HELD, SEED = 0.2, 0                # as in train.py: images that training has not seen
CALIBRATION = 200
# test images; images that decide on numbers of clusters, and what numbers are tried: fewer where an
# image takes longer
TESTED = {"lenet5": 5000, "vgg7": 2000, "resnet20": 1000}
DECIDING = {"lenet5 mnist": 2000, "lenet5 fashion": 2000, "vgg7 fashion": 1000,
            "vgg7 cifar10": 500, "resnet20 cifar10": 400}
CHOICES = {"lenet5": (2, 4, 8, 16), "vgg7": (2, 4, 8, 16), "resnet20": (4, 8, 16)}
WEIGHTS_ALONE = ("vgg7 cifar10", "resnet20 cifar10")     # maps are not clustered there
BUDGET = 0.01
RULES = ("interval", "budget")
PAIRS = (("lenet5", "mnist"), ("lenet5", "fashion"), ("vgg7", "fashion"), ("vgg7", "cifar10"),
         ("resnet20", "cifar10"))
KINDS = (("signed", "signed", False), ("magnitude", "magnitude", False),
         ("magnitude x channel scale", "magnitude", True))
BITS = (2, 3, 4, 5)
MAP_COUNTS = (3, 7, 15)
# magnitudes and map values with which some networks are fine-tuned, and on how many images;
# resnet20.py has more of ResNet-20
TUNED = ((4, 7), (8, 15))
IMAGES = {"lenet5 mnist": 12000, "lenet5 fashion": 12000, "vgg7 fashion": 6000}
Part = dict[str, Any]


class Study:
    """One network with the weights that train.py kept, and its data."""

    def __init__(self, network: str, data: str) -> None:
        self.network, self.set, self.name = network, data, f"{network} {data}"
        self.module = networks.load_weights(networks.build(network, data), weights(network, data))
        self.data = networks.DATA[data].load()

    @cached_property
    def training(self) -> Data:
        """Training images apart from those that decide."""
        return split(self.data, HELD, SEED)

    @property
    def deciding(self) -> tuple[torch.Tensor, torch.Tensor]:
        """What numbers of clusters are chosen on."""
        count = DECIDING[self.name]
        return self.training.x_test[:count], self.training.y_test[:count]

    @property
    def calibration(self) -> torch.Tensor:
        """What maps are clustered on."""
        return self.training.x_train[:CALIBRATION]

    def tested(self, module: nn.Module) -> float:
        """Accuracy on the first test images, in percent."""
        count = TESTED[self.network]
        return 100 * accuracy(module, self.data.x_test[:count], self.data.y_test[:count])


def weights(network: str, data: str) -> Path:
    """Where train.py keeps the weights."""
    return networks.WEIGHTS / f"{network}_{data}.npz"


# ---- parts ---------------------------------------------------------------------------------
def kinds(study: Study) -> Part:
    """Test accuracy with all weights clustered, by kind and bits of an index (zero included)."""
    out: Part = {"float": study.tested(study.module)}
    for title, kind, scaled in KINDS:
        for bits in BITS:
            values = (1 << bits) - 1 if kind == "signed" else (1 << bits - 1) - (bits > 1)
            module = copy.deepcopy(study.module)
            cluster(module, values, kind, scaled)
            out[f"{title} {bits}"] = study.tested(module)
    return out


def baselines(study: Study) -> Part:
    """Test accuracy in torch's int8, and with weights on grids a channel, by bits."""
    out = {f"{bits}": study.tested(uniform(study.module, bits)) for bits in BITS}
    with torch_int8(study.module, study.calibration) as module:
        return out | {"torch int8": study.tested(module)}


def rules(study: Study) -> Part:
    """Test accuracy with all maps clustered, and the density of what layers read."""
    out: Part = {}
    for rule in maps.RULES:
        for count in MAP_COUNTS:
            found = maps.calibrate(study.module, study.calibration, count, rule)
            with maps.clustering(study.module, found):
                seen = maps.inputs(study.module, study.calibration[:100])
                zero = [np.mean(seen[name] != 0) for name in found]
                out[f"{rule} {count}"] = [study.tested(study.module), 100 * float(np.mean(zero))]
    return out


def starts(study: Study) -> Part:
    """Distortion of Lloyd's iteration over that of the exact clusters, mean of layers."""
    out: Part = {}
    for count in (4, 8, 16, 32):
        for method in centroids.STARTS:
            ratios = []
            for part in weighted(study.module).values():
                points = part.weight.detach().double().numpy().ravel()
                points = points[points != 0]
                best = centroids.distortion(points, centroids.centroids(points, count))
                found = centroids.centroids(points, count, method, SEED)
                ratios.append(centroids.distortion(points, found) / best)
            out[f"{method} {count}"] = float(np.mean(ratios))
    return out


def choice(study: Study) -> Part:
    """Numbers of clusters by the confidence interval and by a budget, and what becomes of test
    accuracy, operations and bytes."""
    trial = Trial(study.module, study.calibration, "magnitude", "machine")
    sites = [site for site in trial.sites
             if site.startswith("weight ") or study.name not in WEIGHTS_ALONE]
    known: dict[tuple[Any, ...], float] = {}

    def measure(counts: Mapping[str, int | None]) -> float:
        key = tuple(counts.items())
        if key not in known:
            with trial.clustered(counts):
                known[key] = accuracy(study.module, *study.deciding)
        return known[key]

    whole = accuracy(study.module, *study.deciding)
    limits = {"interval": confidence_limit(whole, len(study.deciding[0])),
              "budget": whole - BUDGET}
    out: Part = {}
    for rule, limit in limits.items():
        found = choose(sites, measure, limit, CHOICES[study.network])
        out[rule] = {"clusters": found, "limit": limit, **chosen_costs(study, rule, found)}
    return {"whole": whole, "images": len(study.deciding[0]), **out}


def chosen_costs(study: Study, rule: str, found: Mapping[str, int | None]) -> Part:
    """The network with the chosen clusters of weights and maps."""
    counts = {what: {site.removeprefix(f"{what} "): count for site, count in found.items()
                     if site.startswith(f"{what} ") and count is not None}
              for what in ("weight", "map")}
    read = maps.calibrate(study.module, study.calibration, counts["map"])
    what = "magnitudes and maps" if counts["map"] else "magnitudes"
    title = f"{what} by the {rule}"
    return kcnn_costs.clustered(title, study.module, study.calibration, study.tested,
                                counts["weight"], read=read)


def tuned(study: Study, magnitudes: int, values: int) -> Part:
    """Fine-tuning with few magnitudes and map values: accuracies, and costs after it."""
    module = copy.deepcopy(study.module)
    found = cluster(module, magnitudes)
    read = maps.calibrate(study.module, study.calibration, values)
    with maps.clustering(module, read):
        before = study.tested(module)
    Trainer(module, some(study), Settings(rate=1e-3, seed=SEED), found, read, study.module).run()
    title = f"{magnitudes} magnitudes, {values} map values, fine-tuned"
    read = maps.calibrate(module, study.calibration, values)
    return {"before": before, **kcnn_costs.clustered(title, module, study.calibration, study.tested,
                                                     magnitudes, read=read)}


def some(study: Study) -> Data:
    """As many training images as a network of this size is fine-tuned with."""
    data, count = study.training, IMAGES[study.name]
    return dataclasses.replace(data, x_train=data.x_train[:count], y_train=data.y_train[:count])


def costs(study: Study) -> list[Part]:
    """Dense against clustered without training, and the pruned network if there is one."""
    images = study.calibration
    of = partial(kcnn_costs.clustered, images=images, test=study.tested)
    out = kcnn_costs.floats(study.module, images, study.tested)
    out += [of(f"{kcnn_costs.SIGNED} signed centroids", study.module, counts=kcnn_costs.SIGNED,
               kind="signed"),
            of(f"{kcnn_costs.MAGNITUDES} magnitudes with signs", study.module,
               counts=kcnn_costs.MAGNITUDES)]
    pruned = kcnn_costs.kept_pruned(study.network, study.set)
    if pruned is not None:
        count = kcnn_costs.PRUNED[study.network, study.set]
        out += [of(f"pruned, {kcnn_costs.SIGNED} signed centroids", pruned,
                   counts=kcnn_costs.SIGNED, kind="signed", pruned=True),
                of(f"pruned, {count} magnitudes with signs", pruned, counts=count, pruned=True)]
    return out


def forms(study: Study) -> Part:
    """Work of the forms A to E, also of the pruned network if there is one."""
    pruned = kcnn_costs.kept_pruned(study.network, study.set)
    out = {study.name: kcnn_costs.all_forms(study.module, study.calibration, False)}
    if pruned is not None:
        out[f"{study.name}, pruned"] = kcnn_costs.all_forms(pruned, study.calibration, True)
    return out


def machines(study: Study) -> Part:
    """The machine's clocks by what is compiled."""
    pruned, of = kcnn_costs.kept_pruned(study.network, study.set), study.training.x_train
    out = {f"{count} magnitudes": kcnn_costs.machine(study.module, of, count)
           for count in (16, kcnn_costs.MAGNITUDES)}
    if pruned is not None:
        count = kcnn_costs.PRUNED[study.network, study.set]
        out[f"pruned, {count} magnitudes"] = kcnn_costs.machine(pruned, of, count)
    return out


# ---- tables --------------------------------------------------------------------------------
def weights_table(found: Mapping[str, Part], plain: Mapping[str, Part]) -> Table:
    """Kinds of weight clusters at equal index bits; plain: the baselines."""
    rows: list[list[Cell]] = []
    for name, part in found.items():
        rows += [[name, title, part["float"], None, *(part[f"{title} {bits}"] for bits in BITS)]
                 for title, _, _ in KINDS]
        if name in plain:
            rows.append([name, "uniform x channel scale", part["float"], plain[name]["torch int8"],
                         *(plain[name][f"{bits}"] for bits in BITS)])
    return Table("All weights clustered, nothing trained: test accuracy, percent",
                 ("network", "kind", "float", "torch int8", *(f"{bits} bits" for bits in BITS)),
                 rows,
                 note="Bits of an index, zero included: 3, 7, 15, 31 signed centroids, or 1, 3, 7, "
                      "15 magnitudes with signs; uniform: the integers of so many bits. torch's "
                      "int8 is of weights and maps.")


def maps_table(found: Mapping[str, Part]) -> Table:
    """Rules of map clusters."""
    rows = [(name, rule, *(cell for count in MAP_COUNTS for cell in part[f"{rule} {count}"]))
            for name, part in found.items() for rule in maps.RULES]
    columns = [f"{count} values{what}" for count in MAP_COUNTS for what in ("", ": density")]
    return Table("All maps but the first clustered, nothing trained: test accuracy, percent",
                 ("network", "rule", *columns), rows,
                 note="Values beside zero. Paper: only zero becomes zero. Machine: zero is a value "
                      "like the others. Density: non-zero values that layers read, percent.")


def starts_table(found: Mapping[str, Part]) -> Table:
    """Lloyd against the exact clusters."""
    rows = [(name, method, *(part[f"{method} {count}"] for count in (4, 8, 16, 32)))
            for name, part in found.items() for method in centroids.STARTS]
    return Table("Squared error of Lloyd's iteration over that of exact k-means, weights",
                 ("network", "start", "4", "8", "16", "32"), rows,
                 {count: ".4f" for count in ("4", "8", "16", "32")})


def choice_table(found: Mapping[str, Part], floats: Mapping[str, float]) -> Table:
    """Clusters by layer."""
    rows: list[tuple[Cell, ...]] = []
    for name, part in found.items():
        for rule in RULES:
            chosen = part[rule]["clusters"]
            shown = (" ".join("float" if count is None else str(count) for site, count
                              in chosen.items() if site.startswith(f"{what} ")) or None
                     for what in ("weight", "map"))
            rows.append((name, rule, part["images"], 100 * (part["whole"] - part[rule]["limit"]),
                         *shown, floats[name], part[rule]["test"]))
    return Table("Smallest numbers of clusters, layer by layer",
                 ("network", "rule", "images", "may lose, points", "magnitudes, in order",
                  "map values, in order", "float, percent", "test accuracy, percent"), rows,
                 note="On so many images held back from training a network may lose what lies "
                      "within the 95 % confidence interval of its accuracy, or 1 point. "
                      "Magnitudes with a channel scale, map values beside zero; tried: 2, 4, 8, "
                      "16, for ResNet-20 4, 8, 16. On CIFAR-10 only weights are clustered. Nothing "
                      "is trained. A search over so many trials fits the images that decide: on "
                      "test images more may be lost.")


def tuned_table(found: Mapping[tuple[str, int, int], Part], floats: Mapping[str, float]) -> Table:
    """Fine-tuned networks."""
    rows = [(name, magnitudes, values, floats[name], part["before"], part["test"],
             part["bytes"], part["coded"])
            for (name, magnitudes, values), part in found.items()]
    return Table("Fine-tuned with clustered weights and maps, unpruned",
                 ("network", "magnitudes", "map values", "float, percent", "clustered, percent",
                  "fine-tuned, percent", "bytes", "with Huffman codes"), rows,
                 note=f"Training images, each seen once: {_told(IMAGES)}.")


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def plot(known: Mapping[str, Any], names: Sequence[str]) -> Figure:
    """Accuracy lost over bits of a weight's index, and over values of maps."""
    figure = Figure((9, 4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for color, name in enumerate(names):
        part, clustered = known.get(f"{name} kinds"), known.get(f"{name} rules")
        for style, (title, _, _) in zip((":", "--", "-"), KINDS, strict=True):
            if part:
                left.plot(BITS, [part["float"] - part[f"{title} {bits}"] for bits in BITS], style,
                          color=f"C{color}", label=name if style == "-" else None)
        for style, rule in zip(("-", ":"), maps.RULES, strict=True):
            if part and clustered:
                right.plot(MAP_COUNTS, [part["float"] - clustered[f"{rule} {count}"][0]
                                        for count in MAP_COUNTS], style, color=f"C{color}")
    left.set(xlabel="bits of an index, zero included", xticks=BITS, yscale="symlog",
             ylabel="test accuracy lost, points",
             title="weights: magnitudes x scale (-), magnitudes (--), signed (:)")
    right.set(xlabel="values beside zero", xticks=MAP_COUNTS,
              title="maps: machine (-), paper (:)")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.title.set_fontsize(9)
    left.legend()
    return figure


def tables(known: Mapping[str, Any], names: Sequence[str]) -> list[Table]:
    """All of them, of the finished parts. A network has a row where its part is finished."""
    found = {step: {name: known[f"{name} {step}"] for name in names if f"{name} {step}" in known}
             for step in STEPS}
    floats = {name: parts[0]["test"] for name, parts in found["costs"].items()}
    chosen = {name: {rule: found["choice"][name][rule] for rule in RULES
                     if name in found["choice"]} for name in floats}
    trained = {(name, *counts): known[f"{name} tuned {counts}"] for name in floats
               for counts in TUNED if f"{name} tuned {counts}" in known}
    compiled = {(name, what): part for name, parts in found["machines"].items()
                for what, part in parts.items()}
    layers = [kcnn_costs.layers_table(
        name, next(part for part in parts if "magnitudes" in part["weights"]),
        {rule: part["clusters"] for rule, part in chosen[name].items()})
        for name, parts in found["costs"].items()]
    return [kcnn_costs.costs_table({name: [*parts, *chosen[name].values()]
                                    for name, parts in found["costs"].items()}),
            kcnn_costs.machine_table(compiled),
            kcnn_costs.forms_table({name: part for parts in found["forms"].values()
                                    for name, part in parts.items()}),
            choice_table({name: part for name, part in found["choice"].items() if name in floats},
                         floats),
            tuned_table(trained, floats), weights_table(found["kinds"], found["baselines"]),
            maps_table(found["rules"]), starts_table(found["starts"]), *layers]


STEPS = {"kinds": kinds, "baselines": baselines, "rules": rules, "starts": starts, "costs": costs,
         "forms": forms, "machines": machines, "choice": choice}


def main() -> None:
    """All pairs that have trained weights."""
    parser = argparse.ArgumentParser(description="Clustered weights and maps on trained networks.")
    parser.add_argument("--fresh", action="store_true", help="forget parts made before")
    parser.add_argument("--page", action="store_true", help="make no part, only the page")
    parser.add_argument("--networks", nargs="*", help="make parts of some, such as lenet5 vgg7")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    parts, screen = Parts("kcnn", arguments.fresh), Console(stderr=True)
    missing = [pair for pair in PAIRS if not weights(*pair).exists()]
    for pair in missing:
        screen.print(f"{' '.join(pair)}: left out, {weights(*pair).name} is missing")
    if len(missing) == len(PAIRS):
        raise SystemExit("no network has weights; `python bench/compression/train.py` makes them")
    there = [pair for pair in PAIRS if pair not in missing]
    for network, data in there if not arguments.page else ():
        if network in (arguments.networks or [network]):
            make_parts(Study(network, data), parts, screen)
    known, names = parts.known(), [" ".join(pair) for pair in there]
    save("kcnn", "python bench/compression/kcnn_table.py", about(missing, known),
         tables(known, names), plot=plot(known, names))


def make_parts(study: Study, parts: Parts, screen: Console) -> None:
    """What is not known of a network yet."""
    for step, make in STEPS.items():
        screen.print(f"{study.name}: {step}")
        parts(f"{study.name} {step}", partial(make, study))
    for counts in TUNED if study.name in IMAGES else ():
        screen.print(f"{study.name}: fine-tuning with {counts}")
        parts(f"{study.name} tuned {counts}", partial(tuned, study, *counts))


def about(missing: Sequence[tuple[str, str]], known: Mapping[str, Any]) -> str:
    """What the page begins with; names what is not there."""
    left_out = "".join(f" {' on '.join(pair)} is left out: its weights are missing."
                       for pair in missing)
    unmade = [f"{' '.join(pair)} ({step})" for pair in PAIRS if pair not in missing
              for step in STEPS if f"{' '.join(pair)} {step}" not in known]
    if unmade:
        left_out += f" Not made yet: {', '.join(unmade)}."
    return ("KCNN's clustering and accounting on networks that can be trained here. Accuracies are "
            f"those of the first test images, which decided nothing ({_told(TESTED)}).{left_out}")


if __name__ == "__main__":
    main()
