"""What clustered weights leave of operations, bytes and clocks: parts and tables of kcnn_table.py.

Operations are those of one image: form A on clustered layers, zero activations skipped, zero
weights too where a network is pruned. Bytes are those of the weights alone, biases left out.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import binary
import forms
import networks
from kcnn.arch.config import Config
from kcnn.arch.errors import KcnnError
from kcnn.compress import account, maps
from kcnn.compress.account import Layer
from kcnn.compress.clusters import Clusters, cluster, weighted
from kcnn.compress.formats.coded import of_clusters
from kcnn.compress.formats.file import sizes
from tables import Cell, Table
from torch import Tensor, nn

SIGNED, MAGNITUDES = 15, 7         # both with zero in 4 bits
FORM_VALUES = 15                   # of weights and of maps, in the table of forms
MACHINE = "small"
# networks that other studies pruned and clustered, and the magnitudes of a layer there
PRUNED = {("lenet5", "mnist"): 4, ("resnet20", "cifar10"): 8}
Part = dict[str, Any]
Test = Callable[[nn.Module], float]


def kept_pruned(network: str, data: str) -> nn.Module | None:
    """The network that its study pruned, if there is one."""
    return networks.compressed(network, data) if (network, data) in PRUNED else None


# ---- parts ---------------------------------------------------------------------------------
def floats(module: nn.Module, images: Tensor, test: Test) -> list[Part]:
    """The network without clusters, nothing skipped and zero activations skipped."""
    layers = account.measure(module, images)
    size = sum(map(account.dense_bytes, layers))
    accuracy = test(module)
    return [{"weights": title, "test": accuracy, "bytes": size, "coded": None,
             **_operations(list(map(count, layers))), "layers": []}
            for title, count in (("float32", account.original),
                                 ("float32, zero activations skipped",
                                  lambda layer: account.skipping(layer, False)))]


def clustered(title: str, module: nn.Module, images: Tensor, test: Test,
              counts: int | Mapping[str, int], kind: str = "magnitude", pruned: bool = False,
              read: Mapping[str, maps.MapClusters] | None = None) -> Part:
    """The network with clustered weights; counts: for all layers, or by layer, where layers not
    named stay float32. read: clusters of the maps that layers read."""
    module = copy.deepcopy(module)
    found = cluster(module, counts, kind)
    with maps.clustering(module, read or {}):
        layers, accuracy = account.measure(module, images), test(module)
    values = {name: counts if isinstance(counts, int) else counts.get(name) for name in
              weighted(module)}
    rows = [layer_cells(layer, values[layer.name], found.get(layer.name), pruned)
            for layer in layers]
    return {"weights": title, "test": accuracy, "layers": rows,
            **{key: sum(row[key] for row in rows)
               for key in ("multiplications", "additions", "bytes", "coded")}}


def layer_cells(layer: Layer, values: int | None, found: Clusters | None, pruned: bool) -> Part:
    """Operations and bytes of one layer; without clusters every weight is a float32 of its own."""
    size = {"none": account.dense_bytes(layer), "huffman": account.dense_bytes(layer)}
    done = account.skipping(layer, pruned)
    if found is not None and values is not None:
        size = sizes(of_clusters(found), "index", ["none", "huffman"])
        done = account.clustered(layer, values, pruned)
    return {"layer": layer.name, "macs": layer.macs, "active": 100 * layer.active / layer.macs,
            "floats": account.dense_bytes(layer), "bytes": size["none"],
            "coded": size["huffman"], **_operations([done])}


def _operations(done: list[account.Operations]) -> Part:
    whole = account.total(done)
    return {"multiplications": whole.multiplications, "additions": whole.additions}


def all_forms(module: nn.Module, images: Tensor, pruned: bool) -> Part:
    """Work of the five forms, over all layers, as lists of numbers."""
    layers = account.measure(module, images)
    out = {}
    for form in forms.FORMS:
        found = sum((forms.expected(form, layer, FORM_VALUES, FORM_VALUES, pruned)
                     for layer in layers), forms.Counts())
        out[form] = [found.multiplications, found.additions, found.increments, found.lookups,
                     100 * found.hit_rate if found.lookups else None]
    return out


def machine(module: nn.Module, images: Tensor, magnitudes: int) -> Part:
    """The network on the machine; only the sentence of the compiler where it refuses it."""
    macs = sum(layer.macs for layer in account.measure(module, images[:1]))
    array = -(-macs // Config.preset(MACHINE).lanes)
    try:
        program = binary.program(module, images, magnitudes)
    except KcnnError as error:
        return {"refused": str(error), "array": array}
    found = binary.measure(program)
    return {"taps": found.taps, "streams": len(program.streams), "packed": found.packed,
            "clocks": found.clocks, "array": array}


# ---- tables --------------------------------------------------------------------------------
def costs_table(found: Mapping[str, list[Part]]) -> Table:
    """Dense against clustered, a row a network and kind of weights."""
    rows: list[tuple[Cell, ...]] = []
    for name, parts in found.items():
        base = parts[0]["multiplications"] + parts[0]["additions"]
        for part in parts:
            both = part["multiplications"] + part["additions"]
            rows.append((name, part["weights"], part["test"], part["multiplications"] / 1e6,
                         part["additions"] / 1e6, both / 1e6, 100 * (both / base - 1),
                         part["bytes"], 100 * (part["bytes"] / parts[0]["bytes"] - 1),
                         _less(part["coded"], parts[0]["bytes"])))
    return Table("Operations and bytes, dense against clustered",
                 ("network", "weights", "test accuracy, percent", "multiplications, millions",
                  "additions, millions", "both, millions", "operations, percent", "bytes",
                  "bytes, percent", "with Huffman codes, percent"), rows,
                 {name: ",.3f" for name in ("multiplications, millions", "additions, millions",
                                            "both, millions")}
                 | {name: "+.1f" for name in ("operations, percent", "bytes, percent",
                                              "with Huffman codes, percent")},
                 note="Operations of an image: form A (activations of a cluster are added, then "
                      "multiplied), zero activations skipped, zero weights too where pruned; the "
                      "signs of magnitudes go into the additions. Bytes: codebook, channel scales "
                      "and indices, of 4 bits for 15 centroids and for 7 magnitudes with signs and "
                      "zero; codes and gaps where that is smaller. On AlexNet with "
                      "published densities the KCNN paper tells -66 % and -85 %, which "
                      "results/alexnet.md takes apart: 16 clusters, unpruned, zero activations "
                      "skipped; its convolutions stay wide. Pruned: the networks of lenet5.md and "
                      "resnet20.md, pruned and trained on; the difference to the rows above them "
                      "is what pruning adds.")


def _less(size: int | None, base: int) -> float | None:
    return None if size is None else 100 * (size / base - 1)


def layers_table(name: str, part: Part, chosen: Mapping[str, Mapping[str, int | None]]) -> Table:
    """One network layer by layer; chosen: clusters of sites by rule."""
    rows = []
    for row in part["layers"]:
        both = row["multiplications"] + row["additions"]
        rows.append((row["layer"], row["macs"] / 1e6, row["active"],
                     row["multiplications"] / 1e6, row["additions"] / 1e6, 50 * both / row["macs"],
                     100 * row["bytes"] / row["floats"],
                     *(_count(sites, f"{what} {row['layer']}") for what in ("weight", "map")
                       for sites in chosen.values())))
    columns = [f"{what}, {rule}" for what in ("magnitudes", "map values") for rule in chosen]
    return Table(f"{name}: {part['weights']}, by layer, and the fewest clusters that are enough",
                 ("layer", "multiply-accumulates, millions", "of non-zero activations, percent",
                  "multiplications, millions", "additions, millions", "operations left, percent",
                  "bytes left, percent", *columns), rows,
                 {name: ",.3f" for name in ("multiply-accumulates, millions",
                                            "multiplications, millions", "additions, millions")})


def _count(sites: Mapping[str, int | None], site: str) -> Cell:
    if site not in sites:
        return None
    count = sites[site]
    return "float" if count is None else count


def forms_table(found: Mapping[str, Mapping[str, list[Cell]]]) -> Table:
    """A row a network and form."""
    rows = [(name, form, *(None if value is None else float(value) / 1e6 for value in work[:4]),
             work[4]) for name, every in found.items() for form, work in every.items()]
    return Table("Forms A to E, 15 weight and 15 map values, millions an image",
                 ("network", "form", "multiplications", "additions", "counter increments",
                  "lookups", "cache hits, percent"), rows,
                 {name: ",.3f" for name in ("multiplications", "additions", "counter increments",
                                            "lookups")} | {"cache hits, percent": ".3f"},
                 note="A adds activations of equal weights, B weights of equal activations, C and "
                      "D read products from a table of all pairs or of a pixel, E counts pairs. "
                      "Where pruned, zero weights are skipped. D: an upper bound of its misses.")


def machine_table(found: Mapping[tuple[str, str], Part]) -> Table:
    """The machine beside a dense array of as many multipliers."""
    rows: list[tuple[Cell, ...]] = []
    for (name, weights), part in found.items():
        clocks = part.get("clocks")
        rows.append((name, weights, part.get("taps"), part.get("streams"), part.get("packed"),
                     clocks, part["array"], part["array"] / clocks if clocks else None))
    refused = dict.fromkeys(f"{name}: {part['refused']}." for (name, _), part in found.items()
                            if "refused" in part)
    return Table("The same networks on our machine, configuration small, one image",
                 ("network", "weights", "taps", "stream bytes", "bytes of the binary", "clocks",
                  "clocks of a dense array", "array over machine"), rows,
                 note="Clocks by the machine's model (TLM). The dense array has 16 multipliers, as "
                      "many as the machine has lanes, all of them busy with every weight; the "
                      "machine has 4, one for 4 lanes, skips zero weights but not zero "
                      "activations, and its fully connected layers use one lane." + "".join(
                          f" Not on `small`: {line}" for line in refused))
