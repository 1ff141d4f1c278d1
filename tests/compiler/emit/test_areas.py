"""Areas of external memory, and the transfers that fill and empty the chip."""

import bands
from kcnn.arch import isa
from kcnn.compiler.emit.areas import Role, area, transfers

SMALL = bands.SMALL
TENSORS = (bands.tensor("x", 3), bands.tensor("y", 7))


def test_an_area_has_room_for_all_rows_of_its_tensor():
    found = area(Role.OUTPUT, "logits", 1, TENSORS[1].layout, SMALL)
    assert (found.name, found.role, found.tensor) == ("logits", Role.OUTPUT, 1)
    assert found.size == 9 * SMALL.row_bytes


def test_inputs_are_loaded_and_outputs_stored_whole():
    areas = [area(role, "t", number, TENSORS[number].layout, SMALL) for role, number in (
        (Role.OUTPUT, 1), (Role.INPUT, 0), (Role.BETWEEN, 0), (Role.INPUT, 1))]
    loads = transfers(areas, Role.INPUT, TENSORS, SMALL)
    assert [(s.instruction, s.area) for s in loads] == [
        (isa.Load(0, 0, 5), 1), (isa.Load(0, 0, 9), 3)]
    stores = transfers(areas, Role.OUTPUT, TENSORS, SMALL)
    assert [(s.instruction, s.area) for s in stores] == [(isa.Store(0, 0, 9), 0)]
