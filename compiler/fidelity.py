"""How much of the float network is left in a program, and where most of it is lost.

The integer reference computes the images, so what is measured is what every engine gives. Where
images were held back from calibration the figures are theirs: codebooks and ranges fit the others
by their making.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arch import host, names, reference
from ..arch.threads import one_thread
from .ir.graph import Input, Node
from .ir.quantised import Floats
from .pipeline import Compiled
from .quantise.closeness import Closeness, affordable, closeness, spread
from .quantise.emulate import compute, execute, pieces, rounded

# every how many-th calibration image is held back
HELD = 5
# multiply-accumulates of each of the two figures, and of the search for the worst layer
MACS, FEWEST, MOST = 1_000_000_000, 8, 128
SEARCH_MACS, SEARCH_MOST = 1_500_000_000, 8
# what a layer does to its numbers, in this order
STEPS = ("weights clustered", "activations clustered", "fixed point")

Outputs = dict[str, Floats]


@dataclasses.dataclass(frozen=True)
class Loss:
    """The layer that takes most of the output that is worst off, by the name that all tables give
    it, and the step (one of STEPS) that does it. The input is a layer too: its activations are
    clustered."""

    name: str
    step: str
    is_input: bool

    @property
    def place(self) -> str:
        """The layer in words."""
        return "the input" if self.is_input else f"layer {self.name}"


@dataclasses.dataclass(frozen=True)
class Figures:
    """What is left of every output, over so many images."""

    images: int
    outputs: dict[str, Closeness]

    @property
    def worst(self) -> str:
        """The output of which least is left."""
        return min(self.outputs, key=lambda name: self.outputs[name].least)

    @property
    def least(self) -> float:
        """What is left of it, dB."""
        return self.outputs[self.worst].least

    def to_json(self) -> dict[str, Any]:
        """Plain values; None where there is no number of dB: the output is equal, or nothing
        varies."""
        return {"images": self.images, "outputs": [
            {"name": name, "sqnr": _plain(found.sqnr), "varying": _plain(found.varying),
             "typical": _plain(found.typical), "equal": found.sqnr == math.inf,
             "agreement": found.agreement} for name, found in self.outputs.items()]}


@dataclasses.dataclass(frozen=True)
class Fidelity:
    """A program against the float network that it comes from.

    held_back: None where no image was. loss: None where nothing is lost.
    """

    calibration: Figures
    held_back: Figures | None
    loss: Loss | None

    @property
    def told(self) -> Figures:
        """The figures that count: of images held back if there are any."""
        return self.held_back or self.calibration

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `--json` and for the binary's metadata."""
        return {"calibration": self.calibration.to_json(),
                "held_back": None if self.held_back is None else self.held_back.to_json(),
                "worst": None if self.loss is None else {
                    "layer": names.clean(self.loss.place), "step": self.loss.step}}


def _plain(decibel: float) -> float | None:
    """To a hundredth, so that the last bits of a sum's order do not count."""
    return round(float(decibel), 2) if math.isfinite(decibel) else None


def held(images: NDArray) -> tuple[NDArray, NDArray]:
    """The images to calibrate on, and every HELD-th, held back; of three or four the last, of
    fewer none."""
    if len(images) < 3:
        return images, images[:0]
    back = np.arange(len(images)) % HELD == HELD - 1
    back[-1] |= not back.any()
    return images[~back], images[back]


@one_thread()
def measure(compiled: Compiled, calibration: NDArray, held_back: NDArray | None = None
            ) -> Fidelity:
    """Compare a program with its float network on some of the images that it was calibrated on,
    and on some that were held back, (n, C, H, W); empty counts as None."""
    count = affordable(compiled.quantised.graph, MACS, FEWEST, MOST)
    parts = [spread(np.asarray(x, np.float64), count)
             for x in (calibration, held_back) if x is not None and len(x)]
    runs = [_run(compiled, x) for x in parts]
    figures = [Figures(len(x), {name: closeness(exact[name], found[name], _mean(runs, name, x))
                                for name in exact})
               for x, (exact, found) in zip(parts, runs, strict=True)]
    return Fidelity(figures[0], figures[1] if len(figures) > 1 else None,
                    _loss(compiled, parts[-1], figures[-1].worst))


def _mean(runs: list[tuple[Outputs, Outputs]], name: str, x: Floats) -> Floats | None:
    """The float network's mean over all images, for one image that has none by itself."""
    return None if len(x) > 1 or len(runs) == 1 else np.concatenate(
        [exact[name] for exact, _ in runs]).mean(axis=0)


def noted(compiled: Compiled, fidelity: Fidelity) -> Compiled:
    """The same with the figures in the program's metadata."""
    meta = dataclasses.replace(compiled.program.meta, fidelity=fidelity.to_json())
    return dataclasses.replace(compiled,
                               program=dataclasses.replace(compiled.program, meta=meta))


def _run(compiled: Compiled, x: Floats) -> tuple[Outputs, Outputs]:
    """Every output by name, of the float network and of the program."""
    program, graph = compiled.program, compiled.quantised.graph
    exact: dict[str, list[Floats]] = {port.name: [] for port in program.outputs}
    found: dict[str, list[Floats]] = {port.name: [] for port in program.outputs}
    for piece in pieces(graph, x):
        for name, y in execute(graph, piece, {}, {}):
            if name in exact:
                exact[name].append(y)
        codes = reference.outputs(program, [_codes(compiled, piece)], len(piece))
        for port, part in zip(program.outputs, codes, strict=True):
            found[port.name].append(_real(compiled, port.tensor, part))
    return ({name: np.concatenate(parts) for name, parts in exact.items()},
            {name: np.concatenate(parts) for name, parts in found.items()})


def _codes(compiled: Compiled, x: Floats) -> NDArray[np.int64]:
    program = compiled.program
    return host.encode(x, program.tensors[program.inputs[0].tensor], program.config)


def _real(compiled: Compiled, tensor: int, codes: NDArray[np.int64]) -> Floats:
    program = compiled.program
    whole = host.raw(codes, program.tensors[tensor], program.config)
    return whole.astype(np.float64) * program.tensors[tensor].kind.scale


# ---- where it is lost ----------------------------------------------------------------------------
def _loss(compiled: Compiled, x: Floats, output: str) -> Loss | None:
    """The layer that adds most to the error of an output, where the program's own tensors are
    taken up to it and floating point from there on, and which of its steps does."""
    graph = compiled.quantised.graph
    nodes = list(graph)
    search = _Search(compiled, spread(x, affordable(
        graph, 2 * SEARCH_MACS // len(nodes), 1, SEARCH_MOST)), output)
    errors = [0.0]
    for at, node in enumerate(nodes):
        search.take(node)
        errors.append(search.error(at))
    added = np.diff(errors)
    at = int(added.argmax())
    if added[at] <= 0:
        return None
    return Loss(nodes[at].name, search.step(at), isinstance(nodes[at].op, Input))


class _Search:
    """The program's tensors of some images, node by node, and floating point behind them."""

    def __init__(self, compiled: Compiled, x: Floats, output: str) -> None:
        self.compiled, self.graph, self.output = compiled, compiled.quantised.graph, output
        self.nodes = list(self.graph)
        self.codes = reference.tensors(compiled.program, [_codes(compiled, x)])
        self.held: dict[str, Floats] = {}
        self.x = x
        self.exact = next(y for name, y in execute(self.graph, x, {}, {}) if name == output)

    def take(self, node: Node) -> None:
        """Take the program's tensor of the next node; what it has none of is computed."""
        at = self.compiled.tensors.get(node.name)
        self.held[node.name] = self._computed(node, self.held) if at is None else _real(
            self.compiled, at, self.codes[at])

    def error(self, at: int, instead: Floats | None = None) -> float:
        """Power of the output's error with node number `at` as it is held, or another tensor in
        its place, and floating point behind it."""
        values = {node.name: self.held[node.name] for node in self.nodes[:at + 1]}
        if instead is not None:
            values[self.nodes[at].name] = instead
        for node in self.nodes[at + 1:]:
            values[node.name] = self._computed(node, values)
        return float(np.square(self.exact - values[self.output]).sum())

    def _computed(self, node: Node, values: dict[str, Floats]) -> Floats:
        return compute(node, [values[name] for name in self.graph.inputs(node.name)])

    def step(self, at: int) -> str:
        """The step of node number `at` that adds most to the output's error."""
        errors = [self.error(at, y) for y in self._steps(self.nodes[at])]
        added = np.diff([*errors, self.error(at)])
        return STEPS[int(added.argmax())]

    def _steps(self, node: Node) -> Iterator[Floats]:
        """The node's tensor in floating point, with clustered weights, and clustered itself."""
        quantised = self.compiled.quantised
        if isinstance(node.op, Input):
            exact = clustered = self.x
        else:
            inputs = [self.held[name] for name in self.graph.inputs(node.name)]
            exact = compute(node, inputs)
            clustered = compute(node, inputs, quantised.weights.get(node.name))
        yield exact
        yield clustered
        meaning = quantised.tensors.get(node.name)
        yield clustered if meaning is None else rounded(clustered, meaning)
