"""Linear algebra in one thread, and what was set before returns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kcnn.arch.config import Config
from kcnn.arch.threads import one_thread
from kcnn.compiler import fidelity, pipeline
from threadpoolctl import threadpool_info, threadpool_limits
from torch import nn


def threads() -> set[int]:
    """Threads of every library that is loaded, torch's own figure among them."""
    return {torch.get_num_threads(), *(library["num_threads"] for library in threadpool_info())}


def test_all_libraries_are_bounded_and_set_back() -> None:
    with threadpool_limits(limits=2):
        before = threadpool_info()
        assert torch.get_num_threads() == 2
        with pytest.raises(KeyError), one_thread():
            assert threads() == {1}
            raise KeyError
        assert threadpool_info() == before and torch.get_num_threads() == 2


def test_a_network_is_compiled_and_measured_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    x = np.random.default_rng(0).random((4, 1, 5, 5)).astype(np.float32)
    monkeypatch.setattr(fidelity, "_loss", lambda *arguments: seen.append(threads()))
    with threadpool_limits(limits=2):
        compiled = pipeline.compile(nn.Conv2d(1, 2, 3), (torch.zeros(1, 1, 5, 5),), x,
                                    Config.preset("tiny"),
                                    progress=lambda stage: seen.append(threads()))
        fidelity.measure(compiled, x)
    assert len(seen) > 5 and all(found == {1} for found in seen)
