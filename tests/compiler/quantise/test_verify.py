"""Quantised graphs that break their rules are refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import canonical
import numpy as np
import pytest
from kcnn.compiler.errors import InternalError
from kcnn.compiler.ir.quantised import Codebook, Quantised, Radix
from kcnn.compiler.quantise.verify import verify


def net() -> Quantised:
    made = canonical.Builder(canonical.TINY, (2, 5, 5))
    made.output(made.conv(made.conv("x", 4), 3))
    return made.quantised()


def weights(**fields: object) -> Callable[[Quantised], None]:
    """Other fields of the clustered weights of the first convolution."""
    return lambda net: net.weights.update(
        conv1=dataclasses.replace(net.weights["conv1"], **fields))


def test_what_quantise_makes_passes() -> None:
    verify(net())


@pytest.mark.parametrize(("damage", "sentence"), [
    (lambda net: net.tensors.pop("conv1"), "tensors are those of other nodes: conv1"),
    (lambda net: net.weights.update(x=net.weights["conv1"]), "weights are those of other nodes: x"),
    (lambda net: net.tensors.update(conv1=Codebook(1.0, np.array([1, 2]))), "conv1 has a meaning"),
    (lambda net: net.tensors.update(conv1=Codebook(1.0, np.array([2, 0]))), "conv1 has a meaning"),
    (lambda net: net.tensors.update(conv1=Codebook(0.0, np.array([0, 2]))), "conv1 has a meaning"),
    (lambda net: net.tensors.update(x=Radix(1.0, 8, 0)), "x has a meaning"),
    (weights(magnitudes=np.array([0.5, 0.5, 1, 2, 3])), "conv1 has clustered weights"),
    (weights(magnitudes=np.array([0.5])), "conv1 has clustered weights"),
    (weights(channel_scale=np.ones(3)), "conv1 has clustered weights"),
    (weights(bias=np.ones(3)), "conv1 has clustered weights"),
])
def test_others_are_refused(damage: Callable[[Quantised], object], sentence: str) -> None:
    broken = net()
    damage(broken)
    with pytest.raises(InternalError, match=sentence):
        verify(broken)
