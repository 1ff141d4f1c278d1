"""Steps: what each kind of instruction reads and writes."""

import bands
from kcnn.arch import isa
from kcnn.arch.isa import Table, Unit
from kcnn.arch.program import Layer, Source
from kcnn.arch.region import Region, Space
from kcnn.compiler.emit import step

SMALL = bands.SMALL


def rows(first, end):
    return Region(Space.ROWS, 0, first, end)


def test_transfers_touch_rows_and_bytes_of_their_area():
    load = step.move(isa.Load(3, 7, 2), 5, SMALL)
    store = step.move(isa.Store(3, 7, 2), 5, SMALL)
    outside = Region(Space.EXTERNAL, 5, 48, 48 + 2 * SMALL.row_bytes)
    assert (load.reads, load.writes) == ((outside,), (rows(7, 9),))
    assert (store.reads, store.writes) == ((rows(7, 9),), (outside,))
    assert (load.unit, store.unit, load.area) == (Unit.LOAD, Unit.STORE, 5)


def test_a_tensor_is_filled_with_its_pads_for_the_layer_that_writes_it():
    tensor = bands.tensor("x", 5)
    found = step.fill(tensor, 3, SMALL)
    assert found.instruction == isa.Fill(0, 7, 2)
    assert (found.reads, found.writes, found.layer) == ((), (rows(0, 7),), 3)


def test_entries_touch_their_bank_alone():
    found = step.entries(isa.TableLoad(Table.RAMP, 1, 4, 6, 0, 10, 2), b"", SMALL)
    assert (found.reads, found.writes) == ((), (Region(Space.BASE, 1, 4, 10),))


def test_a_layer_touches_each_source_once():
    tensors = [bands.tensor("a", 5), bands.tensor("b", 9), bands.tensor("c", 2)]
    base = bands.layer(0, 5)
    layer = Layer(base.name, base.kind, base.op, (Source(2), Source(0), Source(2)), 1, base.taps,
                  base.pieces, base.mode, base.shift)
    assert step.whole(layer, tensors) == ((rows(0, 4), rows(0, 7)), (rows(0, 11),))


def test_a_run_reads_whole_banks_beside_its_rows():
    run = next(s for s in bands.Bands(4, 4).plan().steps if isinstance(s.instruction, isa.Run))
    assert run.reads == (
        rows(0, 6), Region(Space.BASE, 0, 0, SMALL.base_entries),
        Region(Space.OFFSET, 0, 0, SMALL.offset_entries), Region(Space.DECODE, 0, 0, SMALL.codes),
        Region(Space.CLUSTER, 0, 0, SMALL.codes))
    assert (run.writes, run.layer) == ((rows(40, 44),), 0)
