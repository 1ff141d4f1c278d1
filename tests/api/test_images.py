"""Warnings of data; tests/cli/test_inputs.py has the rule for data."""

from __future__ import annotations

import re

import numpy as np
import pytest
from kcnn.api import images
from kcnn.arch import host
from kcnn.arch.errors import KcnnWarning


def test_outputs_at_their_limits_are_told(work):
    program = work.net.program
    tensor = program.tensors[program.outputs[0].tensor]
    low, high = host.span(tensor)
    y = np.array([[low, high, 0.99 * high, 0.0]], np.float32)
    said = (f"2 of 4 values of output 'output' are at its limits {low:.4g} and {high:.4g}, where "
            "larger ones are cut; calibrate with images like these")
    with pytest.warns(KcnnWarning, match=f"^{re.escape(said)}$"):
        images.warn_outputs(program, {"output": y})
    assert images.at_limit(program, {"output": y}) == 2
    images.warn_outputs(program, {"output": y[:, 2:]})
    images.warn_outputs(program, {})
    assert images.at_limit(program, {"output": y[:, 2:]}) == images.at_limit(program, {}) == 0
