"""Bytes of weights in every storage format: `python bench/compression/formats_table.py`.

LeNet-5 and ResNet-20 as their studies kept them, pruned and clustered; the published pruned and
clustered SqueezeNet (from the folder in KCNN_DATA); AlexNet-shaped weights drawn with a fixed seed
at two sets of densities. Goes on where it was interrupted; --fresh begins again.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping
from functools import partial

import networks
import numpy as np
import sizes
import torch
from kcnn.arch import stream
from kcnn.compress.clusters import cluster_weight, weighted
from kcnn.compress.formats import FORMATS, taps
from kcnn.compress.formats.coded import Coded, eight_bit, four, of_clusters, of_values
from matplotlib.figure import Figure
from rich.progress import track
from sizes import Row
from tables import Cell, Parts, Table, save

# densities with which the second paper's 16-bit words come to its 8.7 MB: 14 times fewer weights
FOURTEEN = {"fc6": 0.05, "fc7": 0.06, "fc8": 0.15}
ALEXNET_CODERS = ("none", "huffman")
CODERS = ("none", "huffman", "deflate", "lzma")
# networks of other studies, the magnitudes that they were trained for
SMALL = {"LeNet-5": ("lenet5", "mnist", 4), "ResNet-20": ("resnet20", "cifar10", 8)}
DRAWN = {"AlexNet": None, "AlexNet, fewer": FOURTEEN}
NOTE = ("Published, on the trained network: 13 times fewer weights and 28 times fewer bytes "
        "(8.7 MB, words of 16 bits; Electronics 2019, 8, 295); 27 times, and 35 times with Huffman "
        "codes (6.9 MB), for Deep Compression (ICLR 2016).")
# times fewer weights, times smaller, times smaller with Huffman codes
PUBLISHED = (("AlexNet, Electronics 2019, 8, 295", 13.0, 28.0, None),
             ("AlexNet, Deep Compression", 9.0, 27.0, 35.0),
             ("LeNet-5, Deep Compression", 12.0, 33.0, 39.0))
ABOUT = """Bytes of weights in each storage format, whole files: what the codes mean is counted,
biases are not. `entropy` is what no coder of single numbers can beat; huffman, deflate and lzma are
Python's. csc64 is csc for 64 lanes; release the file of the published SqueezeNet; index the smaller
of dense codes and codes with gaps; taps the stream of our machine with a scale and a bias a
channel. The plot has a point a layer: LeNet-5, ResNet-20, and the shapes of SqueezeNet and AlexNet
with 16 magnitudes."""
SHOWN = ("bitmap", "csr", "csc", "ccoo", "index", "taps")

Code = Callable[[str, np.ndarray], Coded]


def integers(name: str, weight: np.ndarray) -> Coded:
    """8-bit integers."""
    return eight_bit(weight)


def deep(name: str, weight: np.ndarray) -> Coded:
    """Signed clusters as Deep Compression has them: 255 for convolutions, 31 for others."""
    return of_clusters(cluster_weight(torch.from_numpy(weight), 255 if "conv" in name else 31,
                                      "signed"))


def few(name: str, weight: np.ndarray) -> Coded:
    """15 signed clusters, so codes of 4 bits."""
    return of_clusters(cluster_weight(torch.from_numpy(weight), 15, "signed"))


def magnitudes(name: str, weight: np.ndarray, count: int = 16, scaled: bool = True) -> Coded:
    """Magnitudes with signs, if said with a scale a channel, as our machine has them."""
    return of_clusters(cluster_weight(torch.from_numpy(weight), count, scaled=scaled))


def kept(network: str, data: str) -> dict[str, np.ndarray]:
    """Weights (K, C, kh, kw) of a network that its study has kept, by layer."""
    return {name: four(layer.weight.detach().numpy()) for name, layer
            in weighted(networks.compressed(network, data)).items()}


def rows_of(weights: Mapping[str, np.ndarray], code: Code, what: str, coders: tuple[str, ...],
            parts: Parts) -> list[Row]:
    """Sizes of all layers; a bar shows the progress."""
    return [unpacked(parts(f"{what}: {name}", partial(packed, name, weight, code, coders)))
            for name, weight in track(weights.items(), what, transient=True)]


def packed(name: str, weight: np.ndarray, code: Code, coders: tuple[str, ...]) -> list[object]:
    """The sizes of a layer as JSON values."""
    row = sizes.row(name, code(name, weight), coders)
    return [row.layer, row.weights, row.nonzero, row.bits,
            [[*key, size] for key, size in row.files.items()]]


def unpacked(values: list) -> Row:
    """Inverse of `packed`."""
    layer, weights, nonzero, bits, files = values
    return Row(layer, weights, nonzero, bits, {(form, coder): size for form, coder, size in files})


def in_total(title: str, rows: list[Row], coders: tuple[str, ...], note: str = "") -> Table:
    """A row a format, all layers together."""
    whole = sizes.total(rows)
    cells: list[list[Cell]] = []
    for form in FORMATS:
        if (form, "none") not in whole.files:
            continue
        found = [whole.files[form, coder] for coder in (*coders, "entropy")]
        cells.append([form, *(part for size in found
                              for part in (size, whole.float_bytes / size))])
    best = [sum(sizes.smallest(row, coder)[1] for row in rows) for coder in (*coders, "entropy")]
    cells.append(["smallest of each layer",
                  *(part for size in best for part in (size, whole.float_bytes / size))])
    columns = [name for coder in (*coders, "entropy") for name in (coder, f"{coder}: times less")]
    survive = f"{whole.nonzero:,} of {whole.weights:,} weights are left"
    return Table(f"{title}: {survive}", ("format", *columns), cells, note=note)


def by_layer(title: str, rows: list[Row], coder: str) -> Table:
    """A row a layer, a column a format."""
    cells = [[row.layer, 100 * row.nonzero / row.weights, row.bits,
              *(row.files.get((form, coder)) for form in FORMATS),
              sizes.smallest(row, coder)[0]] for row in rows]
    return Table(title, ("layer", "left, percent", "code bits", *FORMATS, "smallest"), cells)


@dataclasses.dataclass(frozen=True)
class Network:
    """Sizes of a network coded as its name says, and its tables."""

    title: str
    rows: list[Row]
    tables: list[Table]


def small(parts: Parts) -> list[Network]:
    """Totals and layers of the networks kept by other studies, in their clusters and in 8 bits."""
    out = []
    for called, (network, data, count) in SMALL.items():
        weights = kept(network, data)
        for coding, code in ((f"{count} magnitudes a channel scale",
                              partial(magnitudes, count=count)), ("8-bit integers", integers)):
            title = f"{called}, pruned, {coding}"
            rows = rows_of(weights, code, title, CODERS, parts)
            tables = [in_total(title, rows, CODERS)]
            if code is not integers:
                tables += [by_layer(f"{title}, bytes packed", rows, "none"),
                           by_layer(f"{title}, bytes with Huffman codes", rows, "huffman")]
            out.append(Network(title, rows, tables))
    return out


def alexnet(parts: Parts) -> list[Network]:
    """Totals for each coding and each set of densities; layers for one of them."""
    out = []
    for called, densities in DRAWN.items():
        weights = networks.alexnet_weights(densities)
        for coding, code in (("8-bit integers", integers), ("255 and 31 clusters", deep),
                             ("15 clusters", few),
                             ("16 magnitudes", partial(magnitudes, scaled=False))):
            title = f"{called}, {coding}"
            rows = rows_of(weights, code, title, ALEXNET_CODERS, parts)
            tables = [in_total(title, rows, ALEXNET_CODERS, NOTE)]
            if code is integers:
                tables.append(by_layer(f"{title}, bytes packed", rows, "none"))
            out.append(Network(title, rows, tables))
    return out


def squeezenet(parts: Parts) -> list[Network]:
    """The published network exactly as it is, and with fewer values."""
    weights = networks.squeezenet_weights()
    exact = "SqueezeNet v1.0, as published, 255 values a layer"
    rows = rows_of(weights, lambda name, weight: of_values(weight), exact, CODERS, parts)
    fewer = "SqueezeNet v1.0, clustered again, 16 magnitudes a channel scale"
    ours = rows_of(weights, magnitudes, fewer, CODERS, parts)
    streams = [parts(f"SqueezeNet, streams: {name}", partial(streams_of, name, weight))
               for name, weight in track(weights.items(), "SqueezeNet, streams", transient=True)]
    return [Network(exact, rows, [
                in_total(exact, rows, CODERS,
                         "The published file has 675,763 bytes, biases and codebooks included: "
                         "`release`, whose gaps of 4 bits it has. The paper (Iandola and others, "
                         "2016) tells 0.66 MB at 8 bits and 0.47 MB at 6 bits a value."),
                by_layer(f"{exact}, bytes packed", rows, "none")]),
            Network(fewer, ours, [in_total(fewer, ours, CODERS), streams_table(streams)])]


def streams_of(name: str, weight: np.ndarray) -> list[Cell]:
    """Taps, clusters and bytes of a layer's stream with its own values and with 16 magnitudes."""
    cells: list[Cell] = [name, int(np.count_nonzero(weight)),
                         100 * np.count_nonzero(weight) / weight.size]
    for coded in (of_values(weight), magnitudes(name, weight)):
        size = sum(section.size for section in FORMATS["taps"].encode(coded))
        cells += [clusters(coded), long_bytes(coded, size), size, size / coded.nonzero]
    return cells


def clusters(coded: Coded) -> int:
    """Clusters of a layer's stream: pairs of a channel and a magnitude that occurs in it."""
    rank, _ = taps.ranks(coded)
    used = rank[coded.codes.reshape(len(coded.codes), -1)]
    return sum(len(np.unique(row[row != 0])) for row in used)


def long_bytes(coded: Coded, size: int) -> int:
    """Bytes of gaps that are too long for a tap, in a layer's stream of so many bytes; those of
    its padding too."""
    channels = coded.shape[0] * (stream.CHANNEL_HEAD + 1)
    return size - channels - 2 * clusters(coded) - coded.nonzero


def streams_table(cells: list[list[Cell]]) -> Table:
    """A row a layer, and the whole."""
    sums = [sum(column) for column in list(zip(*cells, strict=True))[1:]]
    size = sum(array.size for array in networks.squeezenet_weights().values())
    sums[1], sums[5], sums[9] = 100 * sums[0] / size, sums[4] / sums[0], sums[8] / sums[0]
    columns = [f"{what}{kind}" for kind in ("", ", 16 magnitudes")
               for what in ("clusters", "bytes of long gaps", "bytes", "bytes a tap")]
    return Table("SqueezeNet v1.0 as streams of our machine",
                 ("layer", "taps", "left, percent", *columns), [*cells, ["total", *sums]],
                 note="A tap a weight that is not zero. The published 255 values of a layer have "
                      "as many magnitudes, which is few taps a cluster; 16 magnitudes and a scale "
                      "a channel are what the machine is made for. The network does not fit "
                      "`small` untiled, so there are no clocks.")


def summary(found: list[Network]) -> Table:
    """The best that one format does for each network, beside what has been published."""
    rows: list[tuple[Cell, ...]] = []
    for network in found:
        whole = sizes.total(network.rows)
        best = {coder: min((size, form) for (form, found), size in whole.files.items()
                           if found == coder) for coder in ("none", "huffman")}
        rows.append((network.title, whole.weights / whole.nonzero,
                     *(cell for size, form in best.values()
                       for cell in (form, size, whole.float_bytes / size)),
                     *(whole.float_bytes / whole.files[form, "none"]
                       for form in ("ccoo", "taps"))))
    rows += [(f"published: {title}", fewer, None, None, packed, None, None, coded, None, None)
             for title, fewer, packed, coded in PUBLISHED]
    return Table("Smallest format of each network, one for all layers",
                 ("network", "times fewer weights", "packed in", "bytes", "times smaller",
                  "Huffman codes in", "bytes ", "times smaller ", "ccoo packed, times",
                  "taps packed, times"), rows,
                 note="AlexNet has published densities but drawn weights, places and values; "
                      "`fewer`: 14 times fewer weights, as the second paper's 8.7 MB imply. The "
                      "others are trained networks.")


def plot(found: list[Network]) -> Figure:
    """Bytes a weight that is left over the share that is left, a point a layer."""
    figure = Figure((8, 5), layout="constrained")
    axes = figure.subplots()
    rows = [row for network in found if "magnitudes" in network.title for row in network.rows]
    for form, marker in zip(SHOWN, "osv^dx", strict=True):
        points = [(100 * row.nonzero / row.weights, row.files[form, "none"] / row.nonzero)
                  for row in rows if (form, "none") in row.files]
        left, size = zip(*points, strict=True)
        axes.scatter(left, size, 14, marker=marker, label=form, alpha=0.7)
    axes.set(xscale="log", yscale="log", xlabel="weights left, percent",
             ylabel="bytes a weight that is left, packed",
             title="Storage formats, layers of clustered networks")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    return figure


def main() -> None:
    """All tables and the plot."""
    parser = argparse.ArgumentParser(description="Bytes of weights in every storage format.")
    parser.add_argument("--fresh", action="store_true", help="forget parts made before")
    parts = Parts("formats", parser.parse_args().fresh)
    networks.folder()
    torch.set_num_threads(1)
    found = small(parts) + squeezenet(parts) + alexnet(parts)
    tables = [summary(found), *(table for network in found for table in network.tables)]
    save("formats", "python bench/compression/formats_table.py", ABOUT, tables, plot=plot(found))


if __name__ == "__main__":
    main()
