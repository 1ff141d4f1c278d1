"""The trained networks of the studies, compiled, and their data; from the folder in KCNN_DATA."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from kcnn.arch import host, reference
from kcnn.arch.config import Config
from kcnn.arch.program import Program
from kcnn.compiler import pipeline
from kcnn.engines import execute as engines
from scripts import script

needs_data = pytest.mark.skipif("KCNN_DATA" not in os.environ,
                                reason="KCNN_DATA names no folder of data sets")
CALIBRATION = 100


@functools.cache
def studies():
    """bench/compression/networks.py."""
    return script("bench/compression/networks")


@functools.cache
def data(name: str):
    """Both parts of a data set of the studies, as its networks take them."""
    return studies().DATA[name].load()


@functools.cache
def compiled(network: str, data_name: str, batch: int = 1) -> pipeline.Compiled:
    """The network with its kept weights on `small`, 16 magnitudes a layer."""
    x = data(data_name).x_train
    typical = x[::len(x) // CALIBRATION][:CALIBRATION]
    return pipeline.compile(studies().trained(network, data_name), (typical[:1],),
                            typical.numpy(), Config.preset("small"), batch)


def encoded(program: Program, x: torch.Tensor) -> np.ndarray:
    """Codes of images for the program's one input."""
    (port,) = program.inputs
    return host.encode(x.numpy(), program.tensors[port.tensor], program.config)


def integer_logits(program: Program, x: torch.Tensor) -> np.ndarray:
    """What the reference computes: (n, classes)."""
    (codes,) = reference.outputs(program, [encoded(program, x)])
    (port,) = program.outputs
    return host.decode(codes, program.tensors[port.tensor], program.config)[:, :, 0, 0]


def assert_machines_agree(program: Program, x: torch.Tensor, names: Sequence[str]) -> int:
    """Every tensor and every cycle are the same on the reference, the TLM and `names`; cycles."""
    model = engines.memory_model(program, None)
    cycles = 0
    for first in range(0, len(x), program.batch):
        codes = [encoded(program, x[first:first + program.batch])]
        expected = reference.run(program, codes)
        runs = {name: engines.execute(name, program, codes, model) for name in ("tlm", *names)}
        timed = runs["tlm"].result
        assert timed is not None
        for name, run in runs.items():
            assert run.result is not None and set(run.tensors) == set(expected)
            for tensor, found in run.tensors.items():
                np.testing.assert_array_equal(found, expected[tensor], f"{name}: tensor {tensor}")
            for port, output in zip(program.outputs, run.outputs, strict=True):
                np.testing.assert_array_equal(output, expected[port.tensor])
            assert run.result.cycles == timed.cycles
            np.testing.assert_array_equal(run.result.starts, timed.starts)
            np.testing.assert_array_equal(run.result.ends, timed.ends)
        cycles = timed.cycles
    return cycles


def memory_codes(program: Program) -> int:
    """Codes of the activation memory in use."""
    return max(t.layout.first_row + t.layout.rows for t in program.tensors
               ) * program.config.row_codes
