"""Rules of the layer table: what the reference executes must be defined."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import fixed, names
from .errors import FormatError
from .isa import Mode, Run
from .program import Layer, Program, Taps
from .reference import reach

Ints = NDArray[np.int64]
# a source with its pads against the memory, which holds those of neighbours once, and its elements
REACH = 8
Rules = list[tuple[bool, str]]


def check_layers(program: Program) -> None:
    """Raise FormatError, naming the layer, for anything that has no meaning."""
    ready = {port.tensor for port in program.inputs}
    for layer in program.layers:
        # a rule may rely on all lists before its own
        for rules in (_reference_rules, _source_rules, _shape_rules, _tap_rules, _piece_rules,
                      _result_rules):
            for holds, sentence in rules(program, layer, ready):
                if not holds:
                    raise FormatError(f"layer {layer.name!r}: {sentence}; recompile the network")
        ready.add(layer.output)
    missing = [port.name for port in program.outputs if port.tensor not in ready]
    if program.layers and missing:
        raise FormatError(f"output {missing[0]!r}: no layer computes it; recompile the network")


def _reference_rules(program: Program, layer: Layer, ready: set[int]) -> Rules:
    instructions = program.instructions
    runs = [i for i in layer.runs if not (0 <= i < len(instructions)
                                          and isinstance(instructions[i], Run))]
    return [
        (bool(layer.runs), "it names no RUN"),
        (not runs, f"runs names instruction {runs[:1]}, which is no RUN"),
        (layer.op in ("sum", "max"), f"op {names.shown(layer.op)} is neither sum nor max"),
        (layer.mode in Mode.__members__.values(), f"mode={layer.mode} is unknown"),
        ((layer.op == "max") == (layer.mode == Mode.PASS), "mode PASS and op max go together"),
        (layer.shift in fixed.SHIFTS, f"shift={layer.shift} is none of {fixed.SHIFTS}"),
        (0 <= layer.output < len(program.tensors), f"output {layer.output} does not exist"),
        (layer.output not in ready, f"tensor {layer.output} has a value already"),
        *((0 <= getattr(layer, name) < 1 << 63, f"{name}={getattr(layer, name)} is no count")
          for name in ("macs", "dense_macs")),
    ]


def _source_rules(program: Program, layer: Layer, ready: set[int]) -> Rules:
    unknown = [s.tensor for s in layer.sources if s.tensor not in ready]
    return [
        (bool(layer.sources), "it has no source"),
        (not unknown, f"source tensor {unknown[:1]} has no value yet"),
        (all(1 <= s.stride_y <= 4 and 1 <= s.stride_x <= 4 for s in layer.sources),
         "a stride is not 1 to 4"),
    ]


def _shape_rules(program: Program, layer: Layer, ready: set[int]) -> Rules:
    taps = layer.taps
    return [
        (len(taps.channel_clusters) - 1 == program.tensors[layer.output].kind.channels,
         f"channel_clusters has {len(taps.channel_clusters)} entries for the "
         f"{program.tensors[layer.output].kind.channels} channels of its output"),
        (_counts_up(taps.channel_clusters, len(taps.cluster_factor)),
         "channel_clusters does not count clusters"),
        (len(taps.cluster_taps) == len(taps.cluster_factor) + 1
         and _counts_up(taps.cluster_taps, len(taps)), "cluster_taps does not count taps"),
        (len(taps.negative) == len(taps)
         and len({len(column) for column in vars(taps.points).values()}) == 1,
         "its lists of taps differ in length"),
        (_within(taps.point, len(taps.points)), "a tap names a point that there is not"),
    ]


def _counts_up(first: Ints, total: int) -> bool:
    return (bool(len(first)) and int(first[0]) == 0 and int(first[-1]) == total
            and bool((np.diff(first) >= 0).all()))


def _tap_rules(program: Program, layer: Layer, ready: set[int]) -> Rules:
    taps, points, config = layer.taps, layer.taps.points, program.config
    if not _within(points.source, len(layer.sources)):
        return [(False, "a tap names a source that it does not have")]
    kinds = [program.tensors[s.tensor].kind for s in layer.sources]
    channels = np.array([kind.channels for kind in kinds])[points.source]
    planes = np.array([kind.planes for kind in kinds])[points.source]
    return [
        (_within(points.channel, channels), "a tap names a channel that its source does not have"),
        (_within(points.plane, planes), "a tap names a plane that its source does not have"),
        (all(_cells(program, layer, i) <= REACH * max(config.memory_codes, kind.size)
             for i, kind in enumerate(kinds)),
         "a tap lies further outside its source than the pads of any memory"),
        (bool((taps.cluster_factor
               == fixed.saturate(taps.cluster_factor, config.factor_bits)).all()),
         f"a factor does not fit factor_bits={config.factor_bits}"),
        (layer.op == "sum" or _one_plane_each(program, layer, taps),
         "a maximum needs a tap in every channel, and sources of codes in one order"),
        (layer.op == "sum" or (
            np.array_equal(taps.channel_clusters, np.arange(len(taps.channel_clusters)))
            and bool((taps.cluster_factor == 1).all()) and not taps.negative.any()),
         "a maximum is one cluster a channel, of factor 1 and without signs"),
    ]


def _cells(program: Program, layer: Layer, number: int) -> int:
    """Numbers in a source with what taps read around it."""
    source, points = layer.sources[number], layer.taps.points
    kind = program.tensors[source.tensor].kind
    _, _, rows, columns = program.tensors[layer.output].kind.shape
    cells = kind.planes * kind.images * kind.channels
    mine = points.source == number
    for offsets, count, stride, size in ((points.dy[mine], rows, source.stride_y, kind.height),
                                         (points.dx[mine], columns, source.stride_x, kind.width)):
        cells *= size + sum(reach(offsets, count, stride, size))
    return cells


def _within(values: NDArray, limit: Ints | int) -> bool:
    return bool(((values >= 0) & (values < limit)).all())


def _one_plane_each(program: Program, layer: Layer, taps: Taps) -> bool:
    tensors = [program.tensors[s.tensor] for s in layer.sources]
    counts = np.diff(taps.cluster_taps[taps.channel_clusters])
    return (bool((counts > 0).all()) and all(tensor.kind.values for tensor in tensors)
            and len({tensor.kind.order for tensor in tensors}) == 1)


def _piece_rules(program: Program, layer: Layer, ready: set[int]) -> Rules:
    if layer.op == "max":
        return [(not layer.pieces, "a maximum is not requantized, so it has no pieces")]
    kind = program.tensors[layer.output].kind
    covered = np.zeros((kind.height, kind.width), np.int64)
    inside = all(min(p.y, p.x) >= 0 and min(p.height, p.width) >= 1
                 and p.y + p.height <= kind.height and p.x + p.width <= kind.width
                 for p in layer.pieces)
    for piece in layer.pieces if inside else ():
        covered[piece.y:piece.y + piece.height, piece.x:piece.x + piece.width] += 1
    scales = np.array([m for p in layer.pieces for m in p.scale], np.int64)
    biases = np.array([b for p in layer.pieces for b in p.bias], np.int64)
    return [
        (inside and bool((covered == 1).all()), "its pieces do not cover the output once"),
        (all(len(p.scale) == len(p.bias) == kind.channels for p in layer.pieces),
         "a piece needs one scale and bias for each channel"),
        (_within(scales, 1 << fixed.SCALE_BITS), f"a scale has more than {fixed.SCALE_BITS} bits"),
        (_within(biases + (1 << fixed.BIAS_BITS - 1), 1 << fixed.BIAS_BITS),
         f"a bias has more than {fixed.BIAS_BITS} bits"),
    ]


def _result_rules(program: Program, layer: Layer, ready: set[int]) -> Rules:
    codes = program.config.codes
    output = program.tensors[layer.output]
    if layer.mode == Mode.RADIX:
        return [((layer.digits, layer.radix_width) == (output.kind.planes, output.kind.bits),
                 f"digits={layer.digits} radix_width={layer.radix_width} are not those of its "
                 "output")]
    plain: Rules = [
        (bool(output.kind.values), "its output has no codebook"),
        ((layer.digits, layer.radix_width) == (1, 0), "digits and radix_width are for RADIX")]
    if layer.mode == Mode.PASS:
        return plain
    thresholds = np.array(layer.thresholds, np.int64)
    return plain + [
        (len(thresholds) == codes - 1 and bool((np.diff(thresholds) >= 0).all()),
         f"it needs {codes - 1} ascending thresholds"),
        (bool((thresholds == fixed.saturate(thresholds, fixed.CLUSTER_BITS)).all()),
         f"a threshold does not fit {fixed.CLUSTER_BITS} bits"),
        (len(layer.codes) == codes and _within(np.array(layer.codes), codes),
         f"it needs {codes} codes below {codes}"),
    ]
