"""Float networks by any name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from kcnn.api import models
from kcnn.api.names import Names
from kcnn.arch.errors import KcnnError


def test_a_module_gets_an_example_of_the_images(work):
    model = models.load(work.module, preprocess=abs)
    assert model.example_inputs == () and model.preprocess is abs
    (example,) = models.fitted(model, work.module, (3, 8, 8)).example_inputs
    assert example.shape == (1, 3, 8, 8)


def test_an_export_knows_what_it_takes(work):
    exported = torch.export.export(work.module, (torch.zeros(1, 3, 8, 8),))
    model = models.load(exported)
    assert models.fitted(model, exported, (1, 1, 1)) is model


def test_names_are_those_of_files_or_classes(work):
    assert models.name_of(Path("a/net.pt2")) == models.name_of("a/net.pt2") == "net.pt2"
    assert models.name_of(work.module) == "Sequential"
    assert models.model_name("net.pt2") == "model net.pt2"
    assert models.model_name(work.module) == "the model"
    assert models.golden_name("net.pt2", Names(shell=True)) == "--golden net.pt2"
    assert models.golden_name(work.module, Names()) == "golden"


def test_a_missing_file_is_named():
    with pytest.raises(KcnnError, match="model missing.pt2: there is no such file"):
        models.load("missing.pt2")
