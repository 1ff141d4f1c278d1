"""Compression from Python; tests/cli/test_compress.py has what it must hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kcnn import api


@pytest.fixture
def data(work, tmp_path):
    """Labelled images of which the float network knows all."""
    x = np.concatenate([work.calibration, work.few])
    with torch.no_grad():
        y = work.net.run(x).argmax(1)
    np.savez(tmp_path / "d.npz", x_train=x[:40], y_train=y[:40], x_test=x[40:], y_test=y[40:])
    return tmp_path / "d.npz"


def test_a_compressed_network_is_compiled_next(work, data, tmp_path):
    preprocess = lambda x: (x / 255 - 0.45) / 0.25        # noqa: E731
    heard = []
    found = api.compress(work.module, data, 0.5, methods=["prune"], finetune_epochs=0,
                         preprocess=preprocess, progress=heard.append)
    assert [row["step"] for row in found.report["prefixes"]][-1] == "prune" and heard
    assert str(found).startswith("the network: loss ") and "<td" in found._repr_html_()
    found.save(tmp_path / "small.pt2")
    net = api.compile(tmp_path / "small.pt2", work.calibration, "tiny", min_sqnr=None)
    taps = sum(layer["taps"] for layer in net.describe()["layers"])
    assert taps < sum(layer["taps"] for layer in work.net.describe()["layers"])
    assert net.program.meta.preprocess is not None


def test_settings_that_mean_nothing_are_refused(work, data):
    with pytest.raises(api.KcnnError, match="magic"):
        api.compress(work.module, data, 0.5, methods=["magic"])
