"""What every layer costs, as the cost model tells it, and what binds it."""

from __future__ import annotations

import canonical
from kcnn.arch.clocks import layer_clocks
from kcnn.arch.estimate import estimate
from kcnn.arch.overview import overview
from kcnn.compiler import pipeline


def rows(program):
    """The cells of every layer's line, by layer."""
    head, *lines = overview(program).partition("\n\n")[0].splitlines()
    return head, {line.split()[0]: line.split() for line in lines}


def test_a_layer_s_clocks_are_the_estimate_s():
    program = pipeline.back(canonical.two_layers(), canonical.TINY, 2)
    clocks = layer_clocks(program, estimate(program))
    _, found = rows(program)
    assert list(found) == [layer.name for layer in program.layers]
    for number, layer in enumerate(program.layers):
        name, runs, channels, _, taps, issue, _, cycles, *causes, bound = (
            cell.replace(",", "") for cell in found[layer.name])
        assert (name, int(runs), bound) == (layer.name, len(layer.runs), clocks[number].bound)
        assert int(channels) == program.tensors[layer.output].kind.channels
        assert int(cycles) == clocks[number].cycles == sum(map(int, causes))
        assert float(issue) >= float(taps)


def test_a_strided_layer_of_few_taps_is_bound_by_the_drain_and_one_sees_why():
    machine = canonical.config(lanes=16, drain=1, port_bits=64)
    net = canonical.Builder(machine, (4, 16, 16))
    first = net.conv("x", 8, padding=(1, 1, 1, 1))
    down = net.conv(first, 16, (1, 1), (2, 2), density=0.3)
    net.output(net.conv(down, 2, (8, 8), radix=True, kind="Linear"))
    _, found = rows(pipeline.back(net.quantised(), machine, 1))
    assert found[first][-1] == "taps"
    _, _, _, _, taps, issue, drain, *_, bound = found[down]
    assert bound == "drain" and float(taps) <= float(issue) < float(drain) == 16


def test_the_whole_is_told_at_the_end():
    program = pipeline.back(canonical.two_layers(), canonical.TINY, 2)
    assert overview(program).splitlines()[-1] == (
        f"{len(program.instructions)} instructions, {len(program.streams)} bytes of streams, "
        f"{len(program.tables)} of tables; about {estimate(program).cycles:,} cycles a batch of 2")
