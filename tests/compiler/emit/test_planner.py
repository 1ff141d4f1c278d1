"""What is loaded when, and what RUNs share."""

import canonical
import pytest
from kcnn.arch import isa
from kcnn.arch.engine import MemoryModel
from kcnn.arch.program import memory_image
from kcnn.arch.stream import decode_stream
from kcnn.compiler import pipeline
from kcnn.compiler.errors import CompileError
from kcnn.compiler.ir.graph import AvgPool, MaxPool
from kcnn.tlm.machine import simulate

MACHINE = canonical.config()


def compiled(net, machine=MACHINE, batch=1):
    return pipeline.back(net.quantised(), machine, batch)


def kinds(program, kind):
    return [i for i in program.instructions if isinstance(i, kind)]


def test_every_token_given_is_taken():
    for ins in (compiled(canonical.chain(MACHINE)), compiled(canonical.chain(MACHINE, 1), batch=3)):
        count = {name: sum(getattr(i, name) for i in ins.instructions if i.UNIT == unit)
                 for unit, name in ((isa.Unit.LOAD, "push_next"), (isa.Unit.COMPUTE, "push_prev"))}
        taken = {name: sum(getattr(i, name) for i in ins.instructions if i.UNIT == unit)
                 for unit, name in ((isa.Unit.COMPUTE, "pop_prev"), (isa.Unit.LOAD, "pop_next"))}
        assert count["push_next"] == taken["pop_prev"]
        assert count["push_prev"] == taken["pop_next"]
        assert sum(i.push_next for i in kinds(ins, isa.Run)) == 1
        assert sum(i.pop_prev for i in kinds(ins, isa.Store)) == 1


def test_tables_are_loaded_while_the_run_before_computes():
    program = compiled(canonical.chain(MACHINE))
    result = simulate(program, memory_image(program, [canonical.random_codes(program, 0)]),
                      MemoryModel.fixed(8))
    runs = [i for i, ins in enumerate(program.instructions) if isinstance(ins, isa.Run)]
    for before, run in zip(runs[1:], runs[2:], strict=False):
        loads = [i for i in range(before, run)
                 if isinstance(program.instructions[i], isa.TableLoad)]
        overlapped = [i for i in loads if result.starts[i] < result.ends[before]]
        assert len(overlapped) >= len(loads) - 1
        assert result.starts[run] - result.ends[before] < 150


def test_runs_of_one_layer_share_their_stream_and_tables():
    net = canonical.Builder(MACHINE, (1, 9, 9))
    first = net.conv("x", 2, (1, 1))
    fine = net.conv(first, 2, (3, 3))
    net.output(fine)
    net.output(net.conv(first, 2, (3, 3), (2, 2)))
    program = compiled(net)
    layer = next(layer for layer in program.layers if layer.name == fine)
    runs = [program.instructions[i] for i in layer.runs]
    assert len(runs) == 4 and len({run.stream for run in runs}) == 1
    between = program.instructions[layer.runs[0]:layer.runs[-1]]
    assert {i.kind for i in between if isinstance(i, isa.TableLoad)} == {isa.Table.OFFSET}


def test_pieces_have_their_own_streams_and_no_new_tables():
    net = canonical.Builder(MACHINE, (1, 6, 6))
    pool = net.pool(net.conv("x", 2), AvgPool((2, 2), (1, 1), (1, 1, 1, 1), count_padding=False))
    net.output(pool)
    program = compiled(net)
    runs = program.layers[1].runs
    assert len(runs) == 9
    assert runs == tuple(range(runs[0], runs[0] + 9))
    # corners share a divisor, and so do edges: three different streams
    assert len({program.instructions[i].stream for i in runs}) == 3


def test_streams_hold_the_layer_table():
    program = compiled(canonical.chain(MACHINE, 2))
    for layer in program.layers:
        run = program.instructions[layer.runs[0]]
        start = run.stream * 16 - program.stream_base
        channels, _ = decode_stream(program.streams[start:start + run.stream_units * 16],
                                    run.channels)
        assert sum(c.taps for c in channels) == len(layer.taps.source)
        assert [c.scale for c in channels] == list(layer.pieces[0].scale)
        assert [c.bias for c in channels] == list(layer.pieces[0].bias)
        factors = [cluster.factor for c in channels for cluster in c.clusters]
        assert factors == layer.taps.cluster_factor.tolist()


def test_a_maximum_compares_ranks_and_passes_codes_on():
    net = canonical.Builder(MACHINE, (1, 5, 5))
    first = net.conv("x", 2, (1, 1), signed=True)
    net.output(net.pool(first, MaxPool((2, 2), (1, 1))))
    program = compiled(net)
    run = kinds(program, isa.Run)[1]
    assert run.order == net.tensors[first].order > 0
    assert (run.mode, run.shift, run.digits) == (isa.Mode.PASS, 0, 1)
    assert kinds(program, isa.Run)[0].order == 0


def test_refuses_three_decode_tables_at_once():
    net = canonical.Builder(MACHINE, (2, 4, 4))
    first = net.conv("x", 2, padding=(1, 1, 1, 1))
    net.output(net.add(first, "x"))
    with pytest.raises(CompileError, match="layer net.add2: it reads tensors of 3 different "
                                           "codebooks or planes at once, and the machine has "
                                           "table_pairs = 2; put a layer between"):
        compiled(net)
