"""What `kcnn compile --dump` writes of ResNet-20: short, and it tells what a layer waits for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kcnn.arch.config import Config
from kcnn.compiler import dump, pipeline
from kcnn.compiler.stages import Stage
from trained import studies

IMAGES = 8


@pytest.mark.long
def test_all_stages_of_resnet20_are_under_3000_lines() -> None:
    networks = studies()
    module = networks.load_weights(networks.build("resnet20", "cifar10"),
                                   networks.WEIGHTS / "resnet20_cifar10.npz")
    x = np.random.default_rng(0).random((IMAGES, 3, 32, 32))
    settings = pipeline.Settings(Config.preset("small"), (torch.zeros(1, 3, 32, 32),), x)
    texts = {stage: dump.text(form) for stage, form in pipeline.walk(module, settings)}
    assert list(texts) == list(Stage)
    assert sum(len(text.splitlines()) for text in texts.values()) < 3000
    table = texts[Stage.ASSEMBLE].partition("\n\n")[0]
    head, *rows = (line.split() for line in table.splitlines())
    found = {row[0]: float(row[head.index("drain")]) for row in rows}
    # its output lies in phases for the strided layer behind it: the drain takes twice as long
    assert found["layer1.1.conv2"] == 8 and found["layer1.2.conv2"] > 15
