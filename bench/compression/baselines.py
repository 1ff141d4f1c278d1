"""What others do without training: torch's own int8, and weights on a grid a channel."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from kcnn.compress.clusters import weighted
from kcnn.compress.data import logits
from torch import Tensor, nn
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from uniform import grid


@contextmanager
def torch_int8(module: nn.Module, images: Tensor) -> Iterator[nn.Module]:
    """A copy in torch's int8 of weights (a scale a channel) and maps, calibrated on the images.

    While inside torch may use what it does not know to be deterministic, such as these layers.
    """
    strict = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")         # torch announces a successor elsewhere
            prepared = prepare_fx(copy.deepcopy(module).eval(), get_default_qconfig_mapping("x86"),
                                  (images[:1],))
            logits(prepared, images)
            yield convert_fx(prepared)
    finally:
        torch.use_deterministic_algorithms(strict)


def uniform(module: nn.Module, bits: int) -> nn.Module:
    """A copy whose weights lie on a grid of so many bits a channel; biases and maps as they are."""
    module = copy.deepcopy(module)
    with torch.no_grad():
        for layer in weighted(module).values():
            for channel in layer.weight:
                channel.copy_(grid(channel, bits)(channel))
    return module
