"""AlexNet's costs with published densities: `python bench/compression/alexnet.py`.

Operations and storage as the KCNN paper counts them, what pruning adds, the five forms, and the
second paper's accelerator: latency, cycles, energy. No image is needed; where cycles depend on
where zeros lie, they are drawn with a fixed seed.
"""

from __future__ import annotations

import statistics
import time

import energy
import forms
import networks
import numpy as np
import pixel_interleaved as pixel
import torch
from kcnn.compress import account
from kcnn.compress.account import Layer
from kcnn.compress.formats import ccoo, relative
from kcnn.compress.formats.coded import Coded, eight_bit
from tables import Cell, Table, save

CLUSTERS = 16
CLOCK = 200e6                    # of the accelerator, a usual one of its FPGA
PES = (64, 256, 1024)
SHOWN_PES = 256                  # beside torch
FIFO = 8
LANES = 32
TAP_MAGNITUDES = 16
SEED = 1
SHAPES = {"conv1": (1, pixel.Shape(3, 227, 227, 11, 4)),
          "conv2": (2, pixel.Shape(48, 27, 27, 5, 1, 2)),
          "conv3": (1, pixel.Shape(256, 13, 13, 3, 1, 1)),
          "conv4": (2, pixel.Shape(192, 13, 13, 3, 1, 1)),
          "conv5": (2, pixel.Shape(192, 13, 13, 3, 1, 1))}
# published run times, microseconds, with 64 PEs at 800 MHz and activation densities in percent
EIE = {"fc6": (35.1, 28.1, 30.3), "fc7": (35.3, 11.7, 12.2), "fc8": (37.5, 8.9, 9.9)}
EIE_CLOCK = 800e6


# ---- KCNN accounting -----------------------------------------------------------------------
def operations_left(layers: list[Layer], clusters: int, zero_weights: bool) -> float:
    """Share of multiplications and additions that form A leaves, of all layers."""
    done = account.total(account.clustered(layer, clusters, zero_weights) for layer in layers)
    return done.both / account.total(map(account.original, layers)).both


def storage_left(layers: list[Layer], conv_bits: int, fc_bits: int) -> float:
    """Share of the float32 bytes that so many bits a weight leave; codebooks included where the
    bits are those of an index."""
    stored = sum(stored_bytes(layer, conv_bits, fc_bits) for layer in layers)
    return stored / sum(map(account.dense_bytes, layers))


def stored_bytes(layer: Layer, conv_bits: int, fc_bits: int) -> int:
    """Bytes of a layer: of values above 8 bits, else of indices and their codebook."""
    bits = conv_bits if layer.kind == "conv" else fc_bits
    if bits > 8:
        return account.dense_bytes(layer, bits)
    return account.codebook_bytes(layer, 1 << bits)


def pruned_storage_left(layers: list[Layer]) -> float:
    """A 4-bit code and a 4-bit gap for each surviving weight, without fillers."""
    return sum(layer.nonzero for layer in layers) / sum(map(account.dense_bytes, layers))


def headline(layers: list[Layer]) -> Table:
    """Operations left by number of clusters."""
    rows = []
    for clusters in (8, 16, 32, 64):
        skip, both = (operations_left(layers, clusters, pruned) for pruned in (False, True))
        only = account.total(account.clustered(layer, clusters, False) for layer in layers)
        share = only.multiplications / sum(layer.macs for layer in layers)
        rows.append((clusters, 100 * skip, 100 * (skip - 1), 100 * both, 100 * (both - 1),
                     100 * share))
    return Table("Operations left, form A, percent of 2 x multiply-accumulates",
                 ("clusters", "zero activations skipped", "saved", "zero weights skipped too",
                  "saved too", "multiplications left"), rows,
                 note="The paper reports -66 %: it is met by 16 clusters, no pruning, zero "
                      "activations skipped, multiplications and additions counted alike.")


def storage(layers: list[Layer]) -> Table:
    """Storage left by assumption."""
    cases = [("fc 4-bit index, conv float32", 32, 4), ("fc 4-bit index, conv 16 bits", 16, 4),
             ("5-bit index everywhere", 5, 5), ("4-bit index everywhere", 4, 4)]
    rows: list[tuple[Cell, ...]] = [
        (name, 100 * left, 100 * (left - 1)) for name, conv, fc in cases
        for left in [storage_left(layers, conv, fc)]]
    pruned = pruned_storage_left(layers)
    rows.append(("pruned, 4-bit index and 4-bit gap, no fillers", 100 * pruned,
                 100 * (pruned - 1)))
    return Table("Storage left, percent of float32", ("weights", "left", "saved"), rows,
                 note="The paper reports -85 %, between the first two rows: 4-bit indices for "
                      "fully connected layers. Pruning brings it to a thirty-sixth.")


def by_layer(layers: list[Layer]) -> Table:
    """Operations of each layer with 16 clusters."""
    rows: list[tuple[str, float, float, float, float, float, float]] = []
    for layer in layers:
        skip, both = (account.clustered(layer, CLUSTERS, pruned) for pruned in (False, True))
        rows.append((layer.name, layer.macs / 1e6, skip.multiplications / 1e6,
                     skip.additions / 1e6, both.additions / 1e6,
                     50 * skip.both / layer.macs, 50 * both.both / layer.macs))
    macs, products, sums, pruned_sums = (sum(column) for column in list(zip(
        *(row[1:] for row in rows), strict=True))[:4])
    rows.append(("total", macs, products, sums, pruned_sums, 50 * (products + sums) / macs,
                 50 * (products + pruned_sums) / macs))
    return Table("Operations by layer, 16 clusters, millions an image",
                 ("layer", "multiply-accumulates", "multiplications", "additions",
                  "additions if pruned", "left, percent", "left if pruned, percent"), rows)


def storage_by_layer(layers: list[Layer]) -> Table:
    """Bytes of each layer with 16 clusters, by what the paper may have counted, and if pruned."""
    sizes = [[layer.weights, account.dense_bytes(layer),
              *(stored_bytes(layer, conv_bits, 4) for conv_bits in (32, 16, 4)), layer.nonzero]
             for layer in layers]
    sizes.append([sum(column) for column in zip(*sizes, strict=True)])
    names = [*(layer.name for layer in layers), "total"]
    return Table("Storage by layer, 16 clusters, bytes",
                 ("layer", "weights", "float32", "fc 4-bit index", "conv 16 bits, fc 4-bit index",
                  "4-bit index", "pruned, 4-bit index and gap", "left, percent",
                  "left if pruned, percent"),
                 [(name, *row, 100 * row[3] / row[1], 100 * row[5] / row[1])
                  for name, row in zip(names, sizes, strict=True)],
                 note="Left: with convolutions of 16 bits.")


def form_table(layers: list[Layer]) -> Table:
    """Multiplications and additions of the five forms; hit rates."""
    rows = []
    for form in forms.FORMS:
        for pruned in (False, True):
            counts = sum((forms.expected(form, layer, CLUSTERS, CLUSTERS, pruned)
                          for layer in layers), forms.Counts())
            rows.append((f"{form}{', pruned' if pruned else ''}", counts.multiplications / 1e6,
                         counts.additions / 1e6, counts.increments / 1e6,
                         counts.lookups / 1e6, 100 * counts.hit_rate if counts.lookups else None))
    return Table("Forms A to E, 16 weight and 16 map values, millions an image",
                 ("form", "multiplications", "additions", "counter increments", "lookups",
                  "cache hits, percent"), rows, {"cache hits, percent": ".4f"},
                 note="D multiplies each non-zero value read with all weight values, an upper "
                      "bound of its misses; C's table is formed once a layer.")


def hits_by_layer(layers: list[Layer]) -> Table:
    """Hit rate of the product cache of form D."""
    rows: list[tuple[Cell, ...]] = [
        (layer.name, *(100 * forms.expected("D", layer, CLUSTERS, CLUSTERS, pruned).hit_rate
                       for pruned in (False, True))) for layer in layers]
    return Table("Product cache of form D, hits in percent of lookups",
                 ("layer", "not pruned", "pruned"), rows)


# ---- the second paper's accelerator --------------------------------------------------------
def latency(layers: list[Layer]) -> Table:
    """First output and partial sums by order of the pixels."""
    rows: list[tuple[Cell, ...]] = []
    for name, (_, shape) in SHAPES.items():
        first = [pixel.first_output(shape, order) for order in pixel.ORDERS]
        held = [pixel.open_positions(shape, order) for order in pixel.ORDERS]
        rows.append((name, shape.depth * shape.height * shape.width, *first, first[1] / first[0],
                     *held))
    return Table("Pixel-interleaved against map order, values of one group's maps",
                 ("layer", "values", "first output, pixels", "first output, maps", "ratio",
                  "open positions, pixels", "open positions, maps"), rows)


def maps_of(layer: Layer, shape: pixel.Shape, groups: int, rng: np.random.Generator) -> np.ndarray:
    """Non-zeros of a layer's input, at random."""
    size = (groups * shape.depth, shape.height, shape.width)
    return rng.random(size) < layer.nonzero_inputs / layer.inputs


def cycles(layers: list[Layer], weights: dict[str, np.ndarray], pes: int) -> dict[str, float]:
    """Clocks of every layer with FIFOs that balance all (conv) or of FIFO values (fc)."""
    rng = np.random.default_rng(SEED)
    out: dict[str, float] = {}
    for layer in layers:
        codes = weights[layer.name]
        if layer.kind == "conv":
            groups, shape = SHAPES[layer.name]
            maps = maps_of(layer, shape, groups, rng)
            parts = zip(np.split(codes, groups), np.split(maps, groups), strict=True)
            out[layer.name] = sum(pixel.conv_cycles(w, x, shape, pes).balanced for w, x in parts)
        else:
            active = np.flatnonzero(rng.random(layer.shape[1])
                                    < layer.nonzero_inputs / layer.inputs)
            entries = np.stack([np.count_nonzero(codes[i::pes, :, 0, 0], axis=0)
                                for i in range(pes)])
            work = np.maximum(pixel.work_of_columns(entries, active), 1)
            out[layer.name] = pixel.fifo_cycles(work, FIFO)
    return out


def frames(layers: list[Layer], weights: dict[str, np.ndarray]) -> Table:
    """Frames a second by number of PEs."""
    rows = []
    for pes in PES:
        found = cycles(layers, weights, pes)
        conv = sum(value for name, value in found.items() if name in SHAPES) / CLOCK
        fc = sum(value for name, value in found.items() if name not in SHAPES) / CLOCK
        rows.append((pes, 1e3 * conv, 1e3 * fc, 1 / (conv + fc)))
    return Table("Time of an image at 200 MHz, one multiply-accumulate a PE and clock",
                 ("PEs", "conv, ms", "fc, ms", "images a second"), rows,
                 note="The paper reports 9.73 images a second on a ZCU104, which has 1,728 "
                      "multipliers. Input transfers and weight loading are taken as hidden.")


def eie(weights: dict[str, np.ndarray]) -> Table:
    """The fully connected layers on 64 PEs at 800 MHz against the published run times."""
    rng = np.random.default_rng(SEED)
    rows = []
    for name, (density, ideal, actual) in EIE.items():
        coded = Coded((weights[name] != 0).astype(np.uint8), 4, None, np.ones(1, np.float32))
        pointers, codes, _ = relative.encode_csc(coded, lanes=64)
        entries = np.diff(pointers.numbers.astype(np.int64).reshape(64, -1), axis=1)
        active = np.flatnonzero(rng.random(entries.shape[1]) < density / 100)
        work = pixel.work_of_columns(entries, active)
        padding = np.mean(codes.numbers == 0)
        rows.append((name, 100 * padding, work.sum() / 64 / EIE_CLOCK * 1e6, ideal,
                     pixel.fifo_cycles(np.maximum(work, 1), FIFO) / EIE_CLOCK * 1e6, actual))
    return Table("Fully connected layers as EIE runs them: 64 PEs, 800 MHz, FIFOs of 8",
                 ("layer", "fillers, percent", "ideal, us", "ideal published", "with FIFOs, us",
                  "actual published"), rows,
                 note="Our zeros lie at random, those of the real network do not.")


# ---- energy --------------------------------------------------------------------------------
def designs(layers: list[Layer], weights: dict[str, np.ndarray]
            ) -> dict[str, list[energy.Energy]]:
    """What each layer takes on every design."""
    words = {name: sum(s.size for s in ccoo.encode(eight_bit(w))) for name, w in weights.items()}
    clusters = {layer.name: min(TAP_MAGNITUDES, layer.nonzero // layer.shape[0]) * layer.shape[0]
                for layer in layers}
    return {
        "float32, nothing skipped": [energy.dense(layer) for layer in layers],
        "16-bit integers, nothing skipped": [energy.dense(layer, energy.INTEGER16, 16)
                                             for layer in layers],
        "broadcast of non-zeros, CCOO": [energy.broadcast(layer, words[layer.name])
                                         for layer in layers],
        "KCNN form A, unpruned 4-bit indices": [
            energy.cluster_sums(layer, CLUSTERS, account.codebook_bytes(layer, CLUSTERS), 4,
                                zero_weights=False) for layer in layers],
        "KCNN form A, pruned, 4-bit codes and gaps": [
            energy.cluster_sums(layer, CLUSTERS, layer.nonzero) for layer in layers],
        "our machine, 32 lanes, a byte a tap": [
            energy.taps(layer, clusters[layer.name], layer.nonzero + 2 * clusters[layer.name],
                        LANES)
            for layer in layers]}


def energies(layers: list[Layer], weights: dict[str, np.ndarray]) -> Table:
    """Energy of an image on every design."""
    totals = {name: energy.total(parts) for name, parts in designs(layers, weights).items()}
    base = totals["float32, nothing skipped"].total
    rows = [(name, found.compute / 1e9, found.sram / 1e9, found.dram / 1e9, found.total / 1e9,
             base / found.total) for name, found in totals.items()]
    return Table("Energy of an image, millijoules",
                 ("design", "arithmetic", "SRAM", "DRAM", "all", "times less"), rows,
                 {name: ",.3f" for name in ("arithmetic", "SRAM", "DRAM", "all")},
                 note="Unit costs: 45 nm, Table I of EIE (ISCA 2016), see compress/"
                      "energy.py. The paper reports 822 times the efficiency of its CPU and 15.8 "
                      "times that of its GPU for the convolutions, with all of their idle power, "
                      "which these figures leave out.")


# ---- this computer -------------------------------------------------------------------------
def alexnet_module() -> torch.nn.Sequential:
    """AlexNet with random weights, for its run time alone."""
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(3, 96, 11, 4), nn.ReLU(), nn.LocalResponseNorm(5), nn.MaxPool2d(3, 2),
        nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), nn.LocalResponseNorm(5),
        nn.MaxPool2d(3, 2), nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten(),
        nn.Linear(9216, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(),
        nn.Linear(4096, 1000)).eval()


def torch_times() -> tuple[list[float], list[float]]:
    """Milliseconds of one image in torch on one thread of this computer: convolutions, the rest."""
    torch.set_num_threads(1)
    module, x = alexnet_module(), torch.randn(1, 3, 227, 227)
    found: tuple[list[float], list[float]] = [], []
    with torch.no_grad():
        for times, part, given in zip(found, (module[:15], module[15:]), (x, module[:15](x)),
                                      strict=True):
            for _ in range(9):
                begun = time.perf_counter()
                part(given)
                times.append(1e3 * (time.perf_counter() - begun))
    return found


def torch_latency(modelled: Table) -> Table:
    """Times in torch beside those of the accelerator; modelled: what `frames` makes."""
    (model,) = (row[1:3] for row in modelled.rows if row[0] == SHOWN_PES)
    rows = [(name, statistics.median(times), min(times), ours, statistics.median(times) / ours)
            for name, times, ours in zip(("convolutions", "fully connected"), torch_times(),
                                         map(_float, model), strict=True)]
    return Table(f"torch {torch.__version__.partition('+')[0]} on one thread of {_processor()}, "
                 "one image, float32",
                 ("part", "median, ms", "least, ms", f"model with {SHOWN_PES} PEs, ms",
                  "times less"), rows, {"times less": ".1f"},
                 note="The paper reports 182.3 times less for the convolutions, against its CPU. "
                      "Measured while other programs may have run; the only figures here that "
                      "differ from run to run.")


def _float(cell: Cell) -> float:
    assert isinstance(cell, float)
    return cell


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else "this computer"


def tables() -> list[Table]:
    """All of them."""
    layers, weights = networks.alexnet(), networks.alexnet_weights()
    modelled = frames(layers, weights)
    return [headline(layers), storage(layers), by_layer(layers), storage_by_layer(layers),
            form_table(layers), hits_by_layer(layers), latency(layers), modelled,
            eie(weights), energies(layers, weights), torch_latency(modelled)]


if __name__ == "__main__":
    save("alexnet", "python bench/compression/alexnet.py",
         "AlexNet (grouped, 60,954,656 weights, 724 million multiply-accumulates) with the "
         "surviving weights and activation densities published by Han et al. (NIPS 2015).",
         tables())
