"""Beside the float network; tests/cli/test_compile.py compares its figures with torch's."""

from __future__ import annotations

import dataclasses
import math

import pytest
from kcnn.api import golden, models
from kcnn.api.golden import Fidelity
from kcnn.arch.errors import KcnnError
from kcnn.arch.meta import Meta


@pytest.fixture
def model(work):
    return models.fitted(models.load(work.module), work.module, (3, 8, 8))


def test_tensors_are_found_by_the_nodes_of_the_network(work, model):
    graph = golden.graph_of(model, "golden", work.net.program)
    assert {"0", "3"} <= set(golden.nodes(work.net.program).values()) & {
        node.name for node in graph}


def test_a_program_of_no_network_is_refused(work, model):
    bare = dataclasses.replace(work.net.program, meta=Meta())
    with pytest.raises(KcnnError, match="--golden: the binary does not say which tensors"):
        golden.graph_of(model, "--golden net.pt2", bare)


def test_the_least_sqnr_and_the_agreement_are_told():
    rows = [Fidelity(1, "conv", 20.0, 0.1, None), Fidelity(2, "fc", math.inf, 0.0, 0.75)]
    assert golden.agreement_line(rows) == (
        "least SQNR 20.0 dB, at conv; top-1 agreement with the float network 75.0 %")
    assert golden.agreement_line(rows[:1]) == "least SQNR 20.0 dB, at conv"
    assert [row.to_json()["sqnr"] for row in rows] == [20.0, None]
