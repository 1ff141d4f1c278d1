"""The RUNs of a layer write every output exactly once, where its layout says."""

import canonical
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.arch.isa import Run
from kcnn.compiler import pipeline
from kcnn.compiler.ir.graph import AvgPool
from kcnn.compiler.stages import Stage

MACHINE = canonical.config(lanes=8, drain=2, port_bits=64)


def written(run, memory):
    """Destination address of every position (image, y, x), walking as the RUN says."""
    def walk(count, start, step, wrap, mod, split):
        at, phase = [], start
        address = 0
        for _ in range(count):
            at.append(address)
            address += step
            phase += mod
            if phase >= split:
                phase -= split
                address += wrap
        return np.array(at)

    y = walk(run.height, run.y_start, run.y_step, run.y_wrap, run.y_mod, run.split)
    x = walk(run.width, run.x_start, run.x_step, run.x_wrap, run.x_mod, run.split)
    k = np.arange(run.channels) * run.dst_channel
    d = np.arange(run.digits) * run.dst_plane
    n = np.arange(run.images) * run.dst_image
    return (run.dst + d[:, None, None, None, None] + n[:, None, None, None]
            + k[:, None, None] + y[:, None] + x) % memory


@settings(max_examples=60)
@given(data=st.data(), batch=st.integers(1, 3))
def test_every_output_is_written_once_at_its_address(data, batch):
    quantised = data.draw(canonical.small_networks(MACHINE))
    program = pipeline.back(quantised, MACHINE, batch)
    for layer in program.layers:
        output = program.tensors[layer.output]
        expected = output.places[0].addresses(output.kind, MACHINE)
        runs = [program.instructions[i] for i in layer.runs]
        assert all(isinstance(run, Run) for run in runs)
        found = np.concatenate([written(run, MACHINE.memory_codes).ravel() for run in runs])
        np.testing.assert_array_equal(np.sort(found), np.sort(expected.ravel()))


def test_layers_run_once_where_nothing_forces_more():
    net = canonical.Builder(MACHINE, (2, 7, 7))
    first = net.conv("x", 4, padding=(1, 1, 1, 1))
    second = net.conv(first, 4, (3, 3), (2, 2), (1, 1, 1, 1))
    net.output(net.conv(second, 3, (4, 4), radix=True))
    program = pipeline.back(net.quantised(), MACHINE, 3)
    assert [len(layer.runs) for layer in program.layers] == [1, 1, 1]


def test_the_text_has_a_line_a_run():
    net = canonical.Builder(MACHINE, (1, 5, 6))
    first = net.conv("x", 3, (2, 2), padding=(1, 0, 0, 0))
    average = net.pool(first, AvgPool((2, 2), (2, 2), (1, 0, 0, 0), False))
    net.output(net.conv(average, 2, (1, 1), radix=True))
    made = dict(pipeline.walk(net.quantised(), pipeline.Settings(MACHINE)))
    lines = [line.split() for line in str(made[Stage.SCHEDULE]).splitlines()[1:]]
    assert lines[0][:5] == ["0", first, "0..2", "0..4", "0..4"]
    assert [line[:5] for line in lines if line[1] == average] == [
        ["1", average, "0..2", "0..0", "0..1"], ["2", average, "0..2", "1..2", "0..1"]]
