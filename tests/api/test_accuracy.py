"""How many images are recognised; tests/cli/test_accuracy.py has what is refused."""

from __future__ import annotations

import torch
from kcnn.api import accuracy
from kcnn.engines import batches


def test_accuracy_stands_beside_the_float_network(work):
    exact = work.net.run(work.few).argmax(1)
    found = work.net.accuracy(work.few, exact, golden=work.module)
    assert found.share() == 1.0 and found.right("float") == round(5 * found.beside()["same"])
    assert found.to_json()["images"] == 5 and "the program on 5 images\n" in str(found)
    both = {"x": torch.from_numpy(work.few), "y": exact}
    assert work.net.accuracy(both).to_json() == {
        "images": 5, "integers": 1.0, "inputs_cut": found.inputs_cut, "outputs_at_limit": 0}


def test_images_are_computed_some_at_a_time(work, monkeypatch):
    whole = accuracy.logits(work.net.program, work.ready)
    monkeypatch.setattr(batches, "TOGETHER", 2)
    heard = []
    assert (accuracy.logits(work.net.program, work.ready, heard.append) == whole).all()
    assert heard == [f"reference: {at} of 5 images" for at in (0, 2, 4)]
