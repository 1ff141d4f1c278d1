"""Bytes of weights in every storage format: `python bench/compression/formats_table.py`.

AlexNet-shaped weights drawn with a fixed seed at two sets of densities, and the published pruned
and clustered SqueezeNet (from the folder in KCNN_DATA). Goes on where it was interrupted; --fresh
begins again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import partial

import networks
import numpy as np
import torch
from kcnn.compiler.compress import sizes
from kcnn.compiler.compress.clusters import cluster_weight
from kcnn.compiler.compress.formats import FORMATS
from kcnn.compiler.compress.formats.coded import Coded, eight_bit, of_clusters, of_values
from kcnn.compiler.compress.sizes import Row
from rich.progress import track
from tables import Cell, Parts, Table, save

# densities with which the second paper's 16-bit words come to its 8.7 MB: 14 times fewer weights
FOURTEEN = {"fc6": 0.05, "fc7": 0.06, "fc8": 0.15}
ALEXNET_CODERS = ("none", "huffman")
NOTE = ("Published, on the trained network: 13 times fewer weights and 28 times fewer bytes "
        "(8.7 MB, words of 16 bits; Electronics 2019, 8, 295); 27 times, and 35 times with Huffman "
        "codes (6.9 MB), for Deep Compression (ICLR 2016).")

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


def magnitudes(name: str, weight: np.ndarray) -> Coded:
    """16 magnitudes with signs and a scale a channel, as our machine has them."""
    return of_clusters(cluster_weight(torch.from_numpy(weight), 16))


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
    *first, files = values
    return Row(*first, {(form, coder): size for form, coder, size in files})


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


def alexnet(parts: Parts) -> list[Table]:
    """Totals for each coding and each set of densities; layers for one of them."""
    out = []
    for pruned, densities in (("published densities", None), ("densities of 14 times", FOURTEEN)):
        weights = networks.alexnet_weights(densities)
        for coding, code in (("8-bit integers", integers), ("255 and 31 clusters", deep),
                             ("15 clusters", few), ("16 magnitudes a channel scale", magnitudes)):
            rows = rows_of(weights, code, f"AlexNet, {pruned}, {coding}", ALEXNET_CODERS,
                           parts)
            out.append(in_total(f"AlexNet shapes, {pruned}, {coding}", rows, ALEXNET_CODERS, NOTE))
            if code is integers:
                out.append(by_layer(f"AlexNet shapes, {pruned}, {coding}, bytes packed", rows,
                                    "none"))
    return out


def squeezenet(parts: Parts) -> list[Table]:
    """Totals and layers of the published network, exactly as it is."""
    weights = networks.squeezenet_weights()
    coders = ("none", "huffman", "deflate", "lzma")
    rows = rows_of(weights, lambda name, weight: of_values(weight), "SqueezeNet", coders,
                   parts)
    ours = rows_of(weights, magnitudes, "SqueezeNet, magnitudes", coders, parts)
    return [in_total("SqueezeNet v1.0 as published, 255 values a layer, exact", rows, coders,
                     "The published file has 675,763 bytes: `release`, with the biases."),
            by_layer("SqueezeNet v1.0 as published, bytes packed", rows, "none"),
            in_total("SqueezeNet v1.0, clustered again to 16 magnitudes a channel scale", ours,
                     coders)]


def main() -> None:
    """All tables."""
    parser = argparse.ArgumentParser(description="Bytes of weights in every storage format.")
    parser.add_argument("--fresh", action="store_true", help="forget parts made before")
    parts = Parts("formats", parser.parse_args().fresh)
    networks.folder()
    torch.set_num_threads(1)
    tables = alexnet(parts) + squeezenet(parts)
    save("formats", "python bench/compression/formats_table.py",
         "Bytes of weights in each storage format, whole files: what the codes mean is counted, "
         "biases are not. `entropy` is what no coder of single numbers can beat. "
         "csc64 is csc for 64 lanes, index the smaller of dense codes and codes with gaps, taps "
         "the stream of our machine with a scale and a bias a channel.", tables)


if __name__ == "__main__":
    main()
