"""Hooks act while inside, and are gone afterwards, whatever happens."""

from __future__ import annotations

import pytest
import torch
from kcnn.compress.hooks import hooked, inference, reading
from torch import Tensor, nn


def two() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))


def test_only_the_layers_named_read_what_is_changed() -> None:
    module, x = two(), torch.rand(4, 3)
    first, second = module
    with reading({"0": first, "1": second}, {"1": torch.zeros_like}):
        assert torch.equal(module(x), second.bias.expand(4, 2))
        assert not torch.equal(first(x), first.bias.expand(4, 3))
    assert torch.equal(module(x), second(first(x)))


def test_hooks_are_gone_after_an_error() -> None:
    module, seen = two(), list[Tensor]()
    handle = module[0].register_forward_hook(lambda part, given, made: seen.append(made))
    with pytest.raises(KeyboardInterrupt), hooked([handle]):
        module(torch.rand(1, 3))
        raise KeyboardInterrupt
    module(torch.rand(1, 3))
    assert len(seen) == 1


@pytest.mark.parametrize("training", [True, False])
def test_inference_gives_the_mode_back(training: bool) -> None:
    module = two().train(training)
    with pytest.raises(ValueError, match="away"), inference(module):
        assert not module.training and not module[1].training
        raise ValueError("away")
    assert module.training == module[1].training == training
