"""Any number of images, a batch at a time."""

from __future__ import annotations

import hand
import numpy as np
from kcnn.arch import host
from kcnn.engines import batches
from kcnn.engines import execute as engines


def test_the_last_batch_is_filled_up_with_zeros() -> None:
    x = np.arange(1, 6, dtype=np.float32).reshape(5, 1, 1, 1)
    parts = batches.batches([x, 2 * x], 2)
    assert [[a.ravel().tolist() for a in part] for part in parts] == [
        [[1, 2], [2, 4]], [[3, 4], [6, 8]], [[5, 0], [10, 0]]]


def test_outputs_are_joined_and_cut() -> None:
    program, said = hand.program(), []
    outcomes = batches.run(program, [hand.images(3)], "tlm",
                           engines.memory_model(program, None), progress=said.append)
    assert said == [f"tlm: batch {n} of 3" for n in (1, 2, 3)]
    found = batches.joined(program, outcomes, 2)["output"]
    tensor = program.tensors[program.outputs[0].tensor]
    assert found.shape == (2, 1, 4, 4)
    for image, outcome in zip(found, outcomes, strict=False):
        assert (image == host.decode(outcome.outputs[0], tensor, program.config)).all()
    raw = batches.joined(program, outcomes, 3, raw=True)["output"]
    assert raw.dtype == np.int64
    assert ((raw[:2] * tensor.kind.scale).astype(np.float32) == found).all()


def test_the_reference_computes_many_images_at_once(monkeypatch) -> None:
    program, x, said = hand.program(), hand.images(5), []
    memory = engines.memory_model(program, None)
    monkeypatch.setattr(batches, "TOGETHER", 2)
    outcomes = batches.run(program, [x], "reference", memory, progress=said.append)
    assert said == [f"reference: {n} of 5 images" for n in (0, 2, 4)]
    assert [len(outcome.outputs[0][0]) for outcome in outcomes] == [2, 2, 1]
    alone = batches.run(program, [x], "tlm", memory)
    for name, found in batches.joined(program, outcomes, 5).items():
        assert (found == batches.joined(program, alone, 5)[name]).all()
