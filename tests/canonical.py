"""Small canonical graphs, quantised by hand, and what torch computes for their integer layers.

`check` takes the integer weights of a layer as a dense array, lets torch convolve or pool the
integers and requantizes them; and it computes the same layer with the clustered real weights, from
which the integers may differ by a few percent only.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from kcnn.arch import host, reference
from kcnn.arch.config import Config
from kcnn.arch.program import Layer, Program
from kcnn.compiler import pipeline
from kcnn.compiler.emit.plan import Plan
from kcnn.compiler.ir import graph as ir
from kcnn.compiler.ir.layers import function, output_size, skipped
from kcnn.compiler.ir.quantised import ClusteredWeight, Codebook, Quantised, Radix
from kcnn.compiler.stages import Stage
from torch.nn import functional

TINY = Config.preset("tiny")


def config(**fields: int) -> Config:
    """tiny with other fields and a large memory."""
    return dataclasses.replace(TINY, name="test", **{"memory_codes": 1 << 17, **fields})


WHOLE = ir.Skip()
CONFIGS = (
    config(), config(share=1), config(share=4, port_bits=64, lanes=8, drain=2),
    config(code_bits=5, lanes=8, port_bits=64), config(code_bits=8, value_bits=10, sum_bits=18),
)


# ---- graphs ------------------------------------------------------------------------------------
class Builder:
    """Adds nodes with their quantisation, weights and codebooks from a seed."""

    def __init__(self, machine: Config, shape: tuple[int, int, int], seed: int = 0) -> None:
        self.machine = machine
        self.rng = np.random.default_rng(seed)
        self.graph = ir.Graph()
        self.tensors: dict[str, Codebook | Radix] = {}
        self.weights: dict[str, ClusteredWeight] = {}
        self.shapes = {"x": shape}
        self.graph.add(ir.Node("x", ir.Input(), shape, "x"), [])
        self.tensors["x"] = Radix(1 / 127, 8, -(-8 // machine.code_bits))

    def codebook(self, signed: bool) -> Codebook:
        """Values of at most 127; not all of the 2^AB codes need be in use."""
        most = min(self.machine.codes, 40) - int(self.rng.integers(0, 3))
        values = self.rng.choice(np.arange(-127 if signed else 1, 128), most - 1, replace=False)
        return Codebook(1 / 127, np.unique(np.append(values, 0)))

    def _add(self, op: ir.Op, shape: tuple[int, int, int], inputs: list[str],
             meaning: Codebook | Radix | None) -> str:
        name = f"{type(op).__name__.lower()}{len(self.shapes)}"
        self.graph.add(ir.Node(name, op, shape, f"net.{name}"), inputs)
        self.shapes[name] = shape
        if meaning is not None:
            self.tensors[name] = meaning
        return name

    def conv(self, source: str, channels: int, kernel: tuple[int, int] = (3, 3),
             stride: tuple[int, int] = (1, 1), padding: ir.Padding = (0, 0, 0, 0),
             dilation: tuple[int, int] = (1, 1), groups: int = 1, skip: str | None = None,
             part: ir.Skip = WHOLE,
             name: str = "relu", signed: bool = False, density: float = 0.7,
             radix: bool = False, kind: str = "Conv2d") -> str:
        per_group = self.shapes[source][0] // groups
        shape = (channels, per_group, *kernel)
        weight = ClusteredWeight(
            np.sort(self.rng.uniform(0.1, 2, 5)),
            np.where(self.rng.random(shape) < density, self.rng.integers(1, 6, shape), 0),
            self.rng.random(shape) < 0.5,
            self.rng.uniform(0.3, 1, channels) / np.sqrt(per_group * kernel[0] * kernel[1]))
        op = ir.Conv(weight.dense(), self.rng.uniform(-0.3, 0.3, channels), stride, padding,
                     dilation, groups, kind, "identity" if radix else name, part)
        out = (channels, *output_size(op, self.shapes[source]))
        made = self._add(op, out, [source] + ([skip] if skip else []),
                         Radix(1 / 3000, 16, -(-16 // self.machine.code_bits)) if radix
                         else self.codebook(signed))
        self.weights[made] = weight
        return made

    def pool(self, source: str, op: ir.MaxPool | ir.AvgPool) -> str:
        shape = (self.shapes[source][0], *output_size(op, self.shapes[source]))
        same = isinstance(op, ir.MaxPool)
        return self._add(op, shape, [source],
                         self.tensors[source] if same else self.codebook(True))

    def add(self, first: str, second: str, name: str = "identity") -> str:
        return self._add(ir.Add(name), self.shapes[first], [first, second], self.codebook(True))

    def concat(self, members: list[str]) -> str:
        for member in members:
            self.tensors[member] = self.tensors[members[0]]
        shape = (sum(self.shapes[m][0] for m in members), *self.shapes[members[0]][1:])
        return self._add(ir.Concat(), shape, members, self.tensors[members[0]])

    def output(self, source: str) -> str:
        return self._add(ir.Output(), self.shapes[source], [source], None)

    def quantised(self) -> Quantised:
        return Quantised(self.graph, self.tensors, self.weights, {})


def chain(machine: Config, layers: int = 5, channels: int = 4) -> Builder:
    """Convolutions one behind the other, a linear layer at the end."""
    net = Builder(machine, (1, 8, 8))
    last = "x"
    for _ in range(layers):
        last = net.conv(last, channels, padding=(1, 1, 1, 1))
    net.output(net.conv(last, 3, (8, 8), radix=True, kind="Linear"))
    return net


def planned(quantised: Quantised, machine: Config, batch: int = 1) -> Plan:
    """The plan of a network."""
    walk = pipeline.walk(quantised, pipeline.Settings(machine, batch=batch))
    return next(form for stage, form in walk if stage == Stage.PLAN)


def two_layers() -> Quantised:
    """A strided convolution with padding and one that writes radix planes."""
    net = Builder(TINY, (2, 6, 5))
    first = net.conv("x", 4, stride=(2, 2), padding=(1, 1, 1, 1))
    net.output(net.conv(first, 3, (2, 1), radix=True))
    return net.quantised()


def fits(op: Any, shape: tuple[int, int, int]) -> bool:
    """The window is not larger than the padded map."""
    return min(output_size(op, shape)) >= 1


@st.composite
def small_networks(draw: Any, machine: Config) -> Quantised:
    """A convolution of the input, up to two further layers of any kind, sometimes a linear one."""
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 8)), draw(st.integers(1, 8)))
    net = Builder(machine, shape, draw(st.integers(0, 1 << 16)))
    signed = draw(st.booleans())
    last = [draw_conv(draw, net, "x", signed)]
    for _ in range(draw(st.integers(0, 2))):
        kinds = [draw_conv, _draw_skip, _draw_shortcut, _draw_maximum, _draw_average, _draw_add,
                 _draw_concat]
        last.append(draw(st.sampled_from(kinds))(draw, net, last[-1], signed))
    end = last[-1]
    if draw(st.booleans()):
        end = net.conv(end, 3, net.shapes[end][1:], radix=True, kind="Linear")
    net.output(end)
    return net.quantised()


def draw_conv(draw: Any, net: Builder, source: str, signed: bool) -> str:
    """Any kernel, stride, padding, dilation and groups; 1x1 where the draw does not fit the map."""
    channels, out = net.shapes[source][0], draw(st.integers(1, 4))
    groups = draw(st.sampled_from([g for g in (1, 2, 3) if channels % g == 0 and out % g == 0]))
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    stride = draw(st.integers(1, 4))
    strides = (stride, draw(st.sampled_from([stride, stride, 1, 2])))
    padding = draw(st.tuples(*[st.integers(0, 2)] * 4))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    op = ir.Conv(np.zeros((out, channels // groups, *kernel)), np.zeros(out), strides, padding,
                 dilation, groups)
    if not fits(op, net.shapes[source]):
        kernel, padding = (1, 1), (0, 0, 0, 0)
    name = draw(st.sampled_from(["identity", "leaky_relu(0.1)"] if signed else ["relu", "relu6"]))
    return net.conv(source, out, kernel, strides, padding, dilation, groups, name=name,
                    signed=signed, density=draw(st.sampled_from([0.0, 0.3, 1.0])))


def _draw_skip(draw: Any, net: Builder, source: str, signed: bool) -> str:
    middle = net.conv(source, 2, (3, 3), padding=(1, 1, 1, 1), signed=signed)
    return net.conv(middle, net.shapes[source][0], (1, 3), padding=(0, 1, 0, 1), skip=source,
                    signed=signed)


def _draw_shortcut(draw: Any, net: Builder, source: str, signed: bool) -> str:
    """A skip tensor of which every so many pixels and any channels are read."""
    channels, out = net.shapes[source][0], draw(st.integers(1, 4))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    middle = net.conv(source, 2, (1, 1), stride, signed=signed)
    which = draw(st.lists(st.integers(-1, channels - 1), min_size=out, max_size=out))
    room = [size - 1 - (count - 1) * step for size, count, step
            in zip(net.shapes[source][1:], net.shapes[middle][1:], stride, strict=True)]
    start = tuple(draw(st.integers(0, most)) for most in room)
    return net.conv(middle, out, (3, 1), padding=(1, 0, 1, 0), skip=source, signed=signed,
                    part=ir.Skip(stride, (start[0], start[1]), np.array(which)))


def _window(draw: Any, net: Builder, source: str) -> tuple[Any, Any, Any]:
    kernel = tuple(draw(st.integers(1, min(3, size))) for size in net.shapes[source][1:])
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    top, left = (draw(st.integers(0, k // 2)) for k in kernel)
    return kernel, stride, (top, left, top, left)


def _draw_maximum(draw: Any, net: Builder, source: str, signed: bool) -> str:
    return net.pool(source, ir.MaxPool(*_window(draw, net, source)))


def _draw_average(draw: Any, net: Builder, source: str, signed: bool) -> str:
    return net.pool(source, ir.AvgPool(*_window(draw, net, source),
                                       count_padding=draw(st.booleans())))


def _draw_add(draw: Any, net: Builder, source: str, signed: bool) -> str:
    other = net.conv(source, net.shapes[source][0], (1, 1), signed=signed)
    return net.add(source, other)


def _draw_concat(draw: Any, net: Builder, source: str, signed: bool) -> str:
    first, second = (net.conv(source, n, (1, 1), signed=signed) for n in (1, 2))
    joined = net.concat([first, second])
    return net.conv(joined, 2, (3, 3), padding=(1, 1, 1, 1), signed=signed)


# ---- what torch says -------------------------------------------------------------------------
def random_codes(program: Program, seed: int) -> np.ndarray:
    """Codes (planes, N, C, H, W) for the program's one input."""
    tensor = program.tensors[program.inputs[0].tensor]
    x = np.random.default_rng(seed).normal(0, 0.6, tensor.kind.shape)
    return host.encode(x, tensor, program.config)


def check(quantised: Quantised, program: Program, codes: np.ndarray) -> dict[int, np.ndarray]:
    """Assert that the reference computes what torch does, layer by layer; its tensors."""
    tensors = reference.run(program, [codes])
    index = {tensor.name: i for i, tensor in enumerate(program.tensors)}
    layers = {layer.name: layer for layer in program.layers}
    values = {name: host.raw(tensors[i], program.tensors[i], program.config).astype(np.float64)
              for name, i in index.items()}
    for node in quantised.graph:
        if isinstance(node.op, ir.Concat):
            values[node.name] = np.concatenate(
                [values[m] for m in quantised.graph.inputs(node.name)], axis=1)
        elif not isinstance(node.op, ir.Input | ir.Output):
            sources = [values[name] for name in quantised.graph.inputs(node.name)]
            expected = _expected(node, layers[node.name], sources, program)
            np.testing.assert_array_equal(values[node.name], expected, node.name)
            if not isinstance(node.op, ir.MaxPool):
                meaning = dataclasses.replace(quantised.tensors[node.name],
                                              scale=program.tensors[index[node.name]].kind.scale)
                real = _real(quantised, node, [
                    values[name] * quantised.tensors[name].scale
                    for name in quantised.graph.inputs(node.name)])
                _near(values[node.name] * meaning.scale, real, meaning)
    for layer in program.layers:
        if layer.kind == "Copy":
            np.testing.assert_array_equal(tensors[layer.output], tensors[layer.sources[0].tensor])
    return tensors


def _expected(node: ir.Node, layer: Layer, sources: list[np.ndarray], program: Program
              ) -> np.ndarray:
    """Integer values (N, C, H, W) of a node's output from those of its inputs."""
    op = node.op
    if isinstance(op, ir.MaxPool):
        return _maximum(op, sources[0], node.shape)
    if isinstance(op, ir.Conv):
        weight, skip = dense(op, layer, sources[0].shape[1], program)
        total = _pooled(sources[0], op, node.shape, lambda x: functional.conv2d(
            x, torch.tensor(weight), stride=op.stride, dilation=op.dilation, groups=op.groups))
        if len(sources) == 2:
            total += skip[:, None, None] * skipped(op.skip, sources[1], node.shape)
    elif isinstance(op, ir.AvgPool):
        factor = int(layer.taps.cluster_factor[0])
        total = factor * _pooled(sources[0], op, node.shape, lambda x: functional.avg_pool2d(
            x, op.kernel, op.stride, divisor_override=1))
    else:
        assert isinstance(op, ir.Add)
        factors = [_of_source(layer, i) for i in range(2)]
        total = sum(f[:, None, None] * x for f, x in zip(factors, sources, strict=True))
    return _requantized(total, layer, program)


def _pooled(x: np.ndarray, op: Any, shape: tuple[int, int, int], apply: Any) -> np.ndarray:
    top, left, bottom, right = op.padding
    padded = functional.pad(torch.tensor(x), (left, right, top, bottom))
    return apply(padded).numpy()[:, :, :shape[1], :shape[2]]


def _maximum(op: ir.MaxPool, x: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    top, left, bottom, right = op.padding
    padded = functional.pad(torch.tensor(x), (left, right, top, bottom), value=-np.inf)
    return functional.max_pool2d(padded, op.kernel, op.stride, dilation=op.dilation).numpy()


def _of_source(layer: Layer, source: int) -> np.ndarray:
    """Sum of the factors of each channel's taps on one source (plane 0)."""
    taps = layer.taps
    run = np.repeat(np.arange(len(taps.cluster_factor)), np.diff(taps.cluster_taps))
    channel = np.repeat(np.arange(len(taps.channel_clusters) - 1), np.diff(taps.channel_clusters))
    mine = (taps.source == source) & (taps.plane == 0)
    signed = taps.cluster_factor[run] * np.where(taps.negative, -1, 1)
    return np.bincount(channel[run][mine], signed[mine], len(taps.channel_clusters) - 1)


def dense(op: ir.Conv, layer: Layer, channels: int, program: Program
          ) -> tuple[np.ndarray, np.ndarray]:
    """The integer weights as torch wants them, and the factor of the skip tensor per channel."""
    taps = layer.taps
    counts = [program.tensors[s.tensor].kind.channels for s in layer.sources]
    starts = np.concatenate([[0], np.cumsum(counts)])[:-1]
    run = np.repeat(np.arange(len(taps.cluster_factor)), np.diff(taps.cluster_taps))
    k = np.repeat(np.arange(len(taps.channel_clusters) - 1), np.diff(taps.channel_clusters))[run]
    weight = np.zeros(op.weight.shape)
    skip = np.zeros(len(weight))
    factor = taps.cluster_factor[run] * np.where(taps.negative, -1, 1)
    for i in np.flatnonzero(taps.plane == 0):
        channel = starts[taps.source[i]] + taps.channel[i]
        if channel >= channels:
            skip[k[i]] += factor[i]
            continue
        y, rest_y = divmod(int(taps.dy[i]) + op.padding[0], op.dilation[0])
        x, rest_x = divmod(int(taps.dx[i]) + op.padding[1], op.dilation[1])
        within = int(channel) - k[i] // (len(weight) // op.groups) * weight.shape[1]
        assert rest_y == rest_x == 0 and 0 <= within < weight.shape[1]
        weight[k[i], within, y, x] += factor[i]
    return weight, skip


def _requantized(total: np.ndarray, layer: Layer, program: Program) -> np.ndarray:
    """Output values from totals."""
    tensor = program.tensors[layer.output]
    out = np.zeros(total.shape)
    for piece in layer.pieces:
        for k, (m, b) in enumerate(zip(piece.scale, piece.bias, strict=True)):
            area = np.s_[:, k, piece.y:piece.y + piece.height, piece.x:piece.x + piece.width]
            u = np.clip(total[area].astype(np.int64) >> layer.shift, -(1 << 17), (1 << 17) - 1)
            v = (u * m + b) >> 16
            if tensor.kind.values:
                at = np.digitize(np.clip(v, -1024, 1023), layer.thresholds)
                out[area] = np.array(tensor.kind.values)[np.array(layer.codes)[at]]
            else:
                half = 1 << (layer.radix_width - 1)
                out[area] = np.clip(v, -half, half - 1)
    return out


def _real(quantised: Quantised, node: ir.Node, sources: list[np.ndarray]) -> np.ndarray:
    """The layer in real numbers; sources: real values."""
    op = node.op
    if isinstance(op, ir.Add):
        total = sources[0] + sources[1]
    elif isinstance(op, ir.Conv):
        weight = torch.tensor(quantised.weights[node.name].dense())
        total = _pooled(sources[0], op, node.shape, lambda x: functional.conv2d(
            x, weight, torch.tensor(op.bias), op.stride, dilation=op.dilation, groups=op.groups))
        total = total + (skipped(op.skip, sources[1], node.shape) if len(sources) == 2 else 0)
    else:
        top, left, _, _ = op.padding
        total = functional.avg_pool2d(torch.tensor(sources[0]), op.kernel, op.stride, (top, left),
                                      count_include_pad=op.count_padding).numpy()
    return function(op.function).apply(total)


def _near(found: np.ndarray, real: np.ndarray, meaning: Codebook | Radix) -> None:
    """Assert that found is the nearest value to real, up to 3 % of the largest value."""
    grid = (np.arange(-(1 << 15), 1 << 15) if isinstance(meaning, Radix) else meaning.values
            ) * meaning.scale
    inside = np.clip(real, grid[0], grid[-1])
    at = np.clip(np.searchsorted(grid, inside), 1, len(grid) - 1)
    gap = (grid[at] - grid[at - 1]) / 2
    assert (np.abs(found - inside) <= gap + 0.03 * np.abs(grid).max()).all()
