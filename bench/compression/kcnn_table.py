"""Clustered weights and maps on trained networks: `python bench/compression/kcnn_table.py`.

Data come from the folder in KCNN_DATA. What decides (numbers of clusters, calibration) sees only
training images; the test images give the accuracies shown. Goes on where it was interrupted;
--fresh begins again, --networks takes some only.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any

import networks
import numpy as np
import torch
from kcnn.arch import host
from kcnn.arch.config import Config
from kcnn.arch.engine import MemoryModel
from kcnn.arch.errors import KcnnError
from kcnn.cli import engines
from kcnn.compiler import pipeline
from kcnn.compiler.compress import account, centroids, forms, maps
from kcnn.compiler.compress.cluster_choice import Trial, choose_clusters
from kcnn.compiler.compress.clusters import Clusters, cluster, weighted
from kcnn.compiler.compress.data import Data, accuracy, split
from kcnn.compiler.compress.finetune import Settings, Trainer
from kcnn.compiler.compress.formats.coded import of_clusters
from kcnn.compiler.compress.formats.file import sizes
from rich.console import Console
from tables import Cell, Parts, Table, save
from torch import nn

HELD, SEED = 0.2, 0                # as in train.py: images that training has not seen
DECIDING, CALIBRATION = 2000, 500
CHOICES = (2, 4, 8, 16)
PAIRS = (("lenet5", "mnist"), ("lenet5", "fashion"), ("vgg7", "fashion"), ("vgg7", "cifar10"),
         ("resnet20", "cifar10"))
KINDS = (("signed", "signed", False), ("magnitude", "magnitude", False),
         ("magnitude x channel scale", "magnitude", True))
# magnitudes and map values of the networks that are fine-tuned, epochs
TUNED = ((4, 7), (2, 7))
EPOCHS = {"lenet5": 2, "vgg7": 1, "resnet20": 1}
MACHINE = "small"
Part = dict[str, Any]


class Study:
    """One network and its data."""

    def __init__(self, network: str, data: str) -> None:
        self.network, self.name = network, f"{network} {data}"
        self.module = networks.trained(network, data)
        self.data = networks.DATA[data].load()

    @cached_property
    def training(self) -> Data:
        """Training images apart from those that decide."""
        return split(self.data, HELD, SEED)

    @property
    def deciding(self) -> tuple[torch.Tensor, torch.Tensor]:
        """What numbers of clusters are chosen on."""
        return self.training.x_test[:DECIDING], self.training.y_test[:DECIDING]

    @property
    def calibration(self) -> torch.Tensor:
        """What maps are clustered on."""
        return self.training.x_train[:CALIBRATION]

    def tested(self, module: nn.Module) -> float:
        """Accuracy on all test images, in percent."""
        return 100 * accuracy(module, self.data.x_test, self.data.y_test)


# ---- parts ---------------------------------------------------------------------------------
def kinds(study: Study) -> Part:
    """Test accuracy with all weights clustered, by kind and bits of an index (zero included)."""
    out: Part = {"float": study.tested(study.module)}
    for title, kind, scaled in KINDS:
        for bits in (2, 3, 4, 5):
            values = (1 << bits) - 1 if kind == "signed" else (1 << bits - 1) - (bits > 1)
            module = copy.deepcopy(study.module)
            cluster(module, values, kind, scaled)
            out[f"{title} {bits}"] = study.tested(module)
    return out


def rules(study: Study) -> Part:
    """Test accuracy with all maps clustered, and the density of what layers read."""
    out: Part = {}
    for rule in maps.RULES:
        for count in (3, 7, 15, 31):
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
    """Numbers of clusters by the confidence interval, and what becomes of test accuracy."""
    found = choose_clusters(study.module, *study.deciding, study.calibration, choices=CHOICES)
    with Trial(study.module, study.calibration, "magnitude", "machine").clustered(found):
        return {"clusters": found, "test": study.tested(study.module)}


def tuned(study: Study, magnitudes: int, values: int) -> Part:
    """Fine-tuning with few magnitudes and map values: accuracies and costs."""
    module = copy.deepcopy(study.module)
    found = cluster(module, magnitudes)
    read = maps.calibrate(study.module, study.calibration, values)
    out: Part = {}
    with maps.clustering(module, read):
        out["before"] = study.tested(module)
    settings = Settings(epochs=EPOCHS[study.network], rate=1e-3, seed=SEED)
    Trainer(module, study.training, settings, found, read, study.module).run()
    read = maps.calibrate(module, study.calibration, values)
    with maps.clustering(module, read):
        out["after"] = study.tested(module)
        layers = account.measure(module, study.calibration[:100])
    return {**out, **costs(layers, found, magnitudes, values),
            **machine(module, study, magnitudes)}


def costs(layers: list[account.Layer], found: Mapping[str, Clusters], magnitudes: int,
          values: int) -> Part:
    """Operations and bytes left, in percent, and what form D's cache would serve."""
    done = account.total(account.clustered(layer, magnitudes, True) for layer in layers)
    base = account.total(map(account.original, layers))
    stored = sum(sizes(of_clusters(clusters), "index", ["huffman"])["huffman"]
                 for clusters in found.values())
    plain = sum(sizes(of_clusters(clusters), "index", ["none"])["none"]
                for clusters in found.values())
    cached = sum((forms.expected("D", layer, magnitudes, values) for layer in layers),
                 forms.Counts())
    floats = sum(map(account.dense_bytes, layers))
    array = -(-sum(layer.macs for layer in layers) // Config.preset(MACHINE).lanes)
    return {"array": array, "operations": 100 * done.both / base.both,
            "multiplications": 100 * done.multiplications / base.multiplications,
            "bytes": 100 * plain / floats, "coded": 100 * stored / floats,
            "hits": 100 * cached.hit_rate}


def machine(module: nn.Module, study: Study, clusters: int) -> Part:
    """Cycles of one image, and bytes of the streams; None where the compiler refuses."""
    config = Config.preset(MACHINE)
    try:
        program = pipeline.compile(module, (study.data.example,), study.calibration[:128].numpy(),
                                   config, clusters=clusters).program
    except KcnnError as error:
        return {"cycles": None, "streams": None, "refused": str(error)}
    image = study.data.x_test[:1].numpy()
    codes = [host.encode(image, program.tensors[port.tensor], config) for port in program.inputs]
    result = engines.execute("tlm", program, codes, MemoryModel.fixed(config.latency)).result
    assert result is not None
    return {"cycles": result.cycles, "streams": len(program.streams)}


# ---- tables --------------------------------------------------------------------------------
def weights_table(found: Mapping[str, Part]) -> Table:
    """Kinds of weight clusters at equal index bits."""
    rows = [(name, title, part["float"], *(part[f"{title} {bits}"] for bits in (2, 3, 4, 5)))
            for name, part in found.items() for title, _, _ in KINDS]
    return Table("All weights clustered, nothing trained: test accuracy, percent",
                 ("network", "kind", "float", "2 bits", "3 bits", "4 bits", "5 bits"), rows,
                 note="Bits of an index, zero included: 3, 7, 15, 31 signed centroids, or 1, 3, 7, "
                      "15 magnitudes with signs.")


def maps_table(found: Mapping[str, Part]) -> Table:
    """Rules of map clusters."""
    rows = [(name, rule, *(cell for count in (3, 7, 15, 31) for cell in part[f"{rule} {count}"]))
            for name, part in found.items() for rule in maps.RULES]
    columns = [f"{count} values{what}" for count in (3, 7, 15, 31) for what in ("", ": density")]
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
        chosen = part["clusters"]
        for what in ("weight", "map"):
            counts = [chosen[site] for site in chosen if site.startswith(f"{what} ")]
            shown = " ".join("float" if count is None else str(count) for count in counts)
            rows.append((name, what, shown, floats[name], part["test"]))
    return Table("Smallest numbers of clusters by the confidence interval (95 %, 2,000 images)",
                 ("network", "of", "clusters of the layers, in order", "float, percent",
                  "test accuracy, percent"), rows,
                 note=f"Magnitudes with a channel scale, map values beside zero; tried: "
                      f"{', '.join(map(str, CHOICES))}. Nothing is trained.")


def tuned_table(found: Mapping[tuple[str, int, int], Part], floats: Mapping[str, float]) -> Table:
    """Fine-tuned networks."""
    rows = [(name, magnitudes, values, floats[name], part["before"], part["after"],
             part["operations"], part["multiplications"], part["bytes"], part["coded"],
             part["hits"], part["streams"], part["cycles"], part["array"])
            for (name, magnitudes, values), part in found.items()]
    return Table("Fine-tuned with clustered weights and maps, unpruned",
                 ("network", "magnitudes", "map values", "float, percent", "clustered",
                  "fine-tuned", "operations left", "multiplications left", "bytes left",
                  "with Huffman", "cache hits, form D", "stream bytes", "cycles", "dense array"),
                 rows,
                 note="Operations of form A, zero activations skipped, percent of 2 x "
                      "multiply-accumulates; bytes of codebook and index vectors, percent of "
                      "float32. Streams and cycles: our machine, configuration small, one image; "
                      "its fully connected layers then use one lane. Dense array: clocks of as "
                      "many multipliers as the machine has lanes, all of them busy.")


def main() -> None:
    """All pairs that have trained weights."""
    parser = argparse.ArgumentParser(description="Clustered weights and maps on trained networks.")
    parser.add_argument("--fresh", action="store_true", help="forget parts made before")
    parser.add_argument("--networks", nargs="*", help="such as lenet5 resnet20")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    parts, screen = Parts("kcnn", arguments.fresh), Console(stderr=True)
    steps = {"kinds": kinds, "rules": rules, "starts": starts, "choice": choice}
    found: dict[str, dict[str, Part]] = {step: {} for step in steps}
    trained: dict[tuple[str, int, int], Part] = {}
    for network, data in PAIRS:
        if arguments.networks and network not in arguments.networks:
            continue
        study = Study(network, data)
        for step, make in steps.items():
            screen.print(f"{study.name}: {step}")
            found[step][study.name] = parts(f"{study.name} {step}", partial(make, study))
        for counts in TUNED:
            screen.print(f"{study.name}: fine-tuning with {counts}")
            trained[study.name, *counts] = parts(f"{study.name} tuned {counts}",
                                                 partial(tuned, study, *counts))
    floats = {name: part["float"] for name, part in found["kinds"].items()}
    save("kcnn", "python bench/compression/kcnn_table.py",
         "KCNN's clustering on networks that can be trained here.",
         [weights_table(found["kinds"]), maps_table(found["rules"]),
          starts_table(found["starts"]), choice_table(found["choice"], floats),
          tuned_table(trained, floats)])


if __name__ == "__main__":
    main()
