"""Every engine by name."""

from __future__ import annotations

import hand
import numpy as np
import pytest
from kcnn.arch.errors import KcnnError
from kcnn.engines import execute as engines
from kcnn.engines.batches import encode

PROGRAM = hand.program()


def test_machines_give_the_outputs_of_the_reference() -> None:
    codes = encode(PROGRAM, [hand.images(1)])
    memory = engines.memory_model(PROGRAM, None)
    reference, tlm = (engines.execute(name, PROGRAM, codes, memory)
                      for name in ("reference", "tlm"))
    assert reference.result is None and tlm.result is not None and tlm.result.cycles > 0
    assert np.array_equal(reference.outputs[0], tlm.outputs[0])
    assert tlm.tensors.keys() == reference.tensors.keys()


@pytest.mark.parametrize("names, said", [(["fpga"], "there is no engine 'fpga'; engines are ref"),
                                         (["tlm", ""], "there is no engine ''")])
def test_unknown_engines_are_refused(names: list[str], said: str) -> None:
    with pytest.raises(KcnnError, match=said):
        engines.check_names(names)


def test_another_machine_is_refused() -> None:
    engines.check_config(PROGRAM, None)
    engines.check_config(PROGRAM, "tiny")
    told = "the binary: compiled for lanes=4, but configuration 'small'"
    with pytest.raises(KcnnError, match=told):
        engines.check_config(PROGRAM, "small")
