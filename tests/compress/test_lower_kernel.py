"""Lower kernels: their windows, the fit, and what becomes of the network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.compress import lower_kernel
from kcnn.compress.lower_kernel import Window, current, fit, lower, moments, windows
from kcnn.compress.sites import Site, layer, sites, watch
from slim_networks import chain, images, seeded
from torch import Tensor, nn


def prepared(module: nn.Module, count: int = 12) -> tuple[nn.Module, Site, Tensor]:
    module, x = seeded(module, 5).double(), images(count).double()
    return module, sites(module, x[:1])[0], x


def every_row(conv: nn.Conv2d, x: Tensor) -> np.ndarray:
    """im2col by shifting, independent of unfold: (rows, C * kh * kw)."""
    (top, left), (dy, dx), (sy, sx) = conv.padding, conv.dilation, conv.stride
    kh, kw = conv.kernel_size
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (top, top), (left, left)))
    height = (padded.shape[2] - dy * (kh - 1) - 1) // sy + 1
    width = (padded.shape[3] - dx * (kw - 1) - 1) // sx + 1
    cells = [padded[:, :, r * dy:r * dy + sy * height:sy, s * dx:s * dx + sx * width:sx]
             [:, :, :height, :width] for r in range(kh) for s in range(kw)]
    return np.stack(cells, 2).transpose(0, 3, 4, 1, 2).reshape(-1, x.shape[1] * kh * kw)


def values(module: nn.Module, site: Site, x: Tensor) -> Tensor:
    """What leaves the batch norm, or the convolution."""
    alone = Site(site.conv, site.norm, None, (), False)
    return watch(module, [alone], x)[site.conv].map


def seen(module: nn.Module, site: Site, x: Tensor) -> Tensor:
    return watch(module, [site], x)[site.conv].inputs


# ---- windows -------------------------------------------------------------------------------
def test_windows_of_a_3x3() -> None:
    assert windows((3, 3)) == (
        Window(0, 0, 2, 2), Window(0, 1, 2, 2), Window(1, 0, 2, 2), Window(1, 1, 2, 2),
        Window(0, 1, 3, 1), Window(1, 0, 1, 3), Window(1, 1, 1, 1))


def test_windows_of_other_kernels() -> None:
    assert [w for w in windows((5, 5)) if w.height == w.width == 3] == [Window(1, 1, 3, 3)]
    assert {w.cells for w in windows((5, 5))} == {16, 9, 5, 4, 1}
    assert windows((1, 1)) == ()
    assert set(windows((1, 3))) == {Window(0, 1, 1, 1)}
    assert Window(0, 0, 2, 2) not in windows((2, 2)) and len(windows((2, 2))) == 8


@pytest.mark.parametrize("window, inside", [
    (Window(1, 1, 1, 1), True), (Window(0, 0, 3, 3), False),
    (Window(1, 0, 1, 3), True), (Window(0, 1, 3, 1), False)])
def test_inside(window: Window, inside: bool) -> None:
    assert window.inside(Window(1, 0, 2, 3)) is inside


def test_the_current_window_is_the_smallest_around_what_is_used() -> None:
    weight = torch.zeros(3, 2, 5, 5)
    weight[0, 1, 1, 2], weight[0, 0, 3, 3], weight[2, 0, 4, 0] = 1, -1, 2
    assert current(weight) == [Window(1, 2, 3, 2), None, Window(4, 0, 1, 1)]
    assert all(current(w.mask((5, 5))[None, None].float()) == [w] for w in windows((5, 5)))


# ---- fit -----------------------------------------------------------------------------------
@settings(max_examples=20, deadline=None)
@given(stride=st.integers(1, 2), padding=st.integers(0, 2), dilation=st.integers(1, 2),
       bias=st.booleans(), pick=st.integers(0, 6))
def test_the_fit_is_that_of_least_squares_on_all_windows(stride: int, padding: int, dilation: int,
                                                         bias: bool, pick: int) -> None:
    conv = nn.Conv2d(2, 4, 3, stride, padding, dilation, bias=bias)
    module, x = seeded(nn.Sequential(conv), 5).double(), images(12).double()
    site = Site("0", None, "0", (), False)
    found = moments(module, site, seen(module, site, x))
    window = windows((3, 3))[pick]
    features = [0, 2, 3]
    got = fit(conv.weight, found, window, features)

    rows = every_row(conv, x)
    used = np.tile(window.mask((3, 3)).numpy().ravel(), 2)
    wanted = rows @ conv.weight.detach().flatten(1).numpy()[features].T
    columns = np.hstack([rows[:, used], np.ones((len(rows), 1))]) if bias else rows[:, used]
    best, _, _, _ = np.linalg.lstsq(columns, wanted, rcond=None)
    assert np.allclose(got.weight.flatten(1)[:, used], best[:used.sum()].T, atol=1e-4)
    assert not got.weight.flatten(1)[:, ~used].any()
    left = ((wanted - columns @ best) ** 2).sum(0)
    power = ((wanted - bias * wanted.mean(0)) ** 2).sum(0)
    assert np.allclose(got.unexplained, left / power, atol=1e-5)


def test_a_refit_never_goes_back_outside_a_feature_s_window() -> None:
    module, site, x = prepared(chain(norm=False))
    found, weight = moments(module, site, seen(module, site, x)), layer(module, "conv1").weight
    with torch.no_grad():
        weight[1] *= Window(1, 0, 1, 3).mask((3, 3))
        weight[4, 0] = 0                                        # an input that is not used
        weight[5] = 0
    lower(module, site, found, Window(0, 1, 3, 1), list(range(6)))
    assert current(weight) == [Window(0, 1, 3, 1), Window(1, 1, 1, 1), *[Window(0, 1, 3, 1)] * 3,
                               None]
    lower(module, site, found, Window(1, 1, 1, 1), [4])
    assert current(weight)[3:] == [Window(0, 1, 3, 1), Window(1, 1, 1, 1), None]


def test_unused_inputs_stay_unused() -> None:
    module, site, x = prepared(chain(norm=False))
    weight = layer(module, "conv1").weight
    with torch.no_grad():
        weight[:, 1] = 0
    found = moments(module, site, seen(module, site, x))
    lower(module, site, found, Window(1, 1, 1, 1), list(range(6)))
    assert not weight[:, 1].any() and weight[:, 0].any()


@pytest.mark.parametrize("norm, bias", [(False, True), (True, True), (True, False)])
def test_the_mean_of_a_feature_stays_and_its_error_is_what_was_foretold(norm: bool, bias: bool
                                                                        ) -> None:
    module, site, x = prepared(chain(norm=norm, bias=bias, kernel=5), 20)
    found, weight = moments(module, site, seen(module, site, x)), layer(module, "conv1").weight
    before, share = values(module, site, x), fit(weight, found, Window(2, 2, 1, 1), [1, 4])
    lower(module, site, found, Window(2, 2, 1, 1), [1, 4])
    after = values(module, site, x)
    assert torch.equal(after[:, [0, 2, 3, 5]], before[:, [0, 2, 3, 5]])
    assert torch.allclose(after.mean((0, 2, 3)), before.mean((0, 2, 3)), atol=1e-9)
    left = (after - before).var((0, 2, 3)) / before.var((0, 2, 3))
    assert left[[1, 4]].tolist() == pytest.approx(share.unexplained.tolist(), rel=1e-3)


def test_the_refit_beats_cutting() -> None:
    wide = torch.nn.functional.interpolate(images(16, (2, 3, 3)), (9, 8), mode="bilinear")
    smooth = wide.double()
    errors = []
    for refit in (True, False):
        module, site, _ = prepared(chain())
        before = values(module, site, smooth)
        lower(module, site, moments(module, site, seen(module, site, smooth)),
              Window(1, 1, 1, 1), list(range(6)), refit)
        errors.append((values(module, site, smooth) - before).pow(2).mean().item())
    assert errors[0] < 0.5 * errors[1]


def test_a_kernel_that_was_lower_all_the_time_loses_nothing() -> None:
    module, site, x = prepared(chain())
    weight = layer(module, "conv1").weight
    with torch.no_grad():
        weight *= Window(1, 1, 2, 2).mask((3, 3))
        before = module(x)
    found = moments(module, site, seen(module, site, x))
    assert fit(weight, found, Window(1, 1, 2, 2), [0, 1]).unexplained.max() < 1e-9
    lower(module, site, found, Window(1, 1, 2, 2), list(range(6)))
    with torch.no_grad():
        assert torch.allclose(module(x), before, atol=1e-5)


def test_samples_are_limited_and_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lower_kernel, "SAMPLES", 40)
    module, site, x = prepared(chain())
    first, second, other = (moments(module, site, x, seed) for seed in (0, 0, 1))
    assert torch.equal(first.product, second.product)
    assert not torch.equal(first.product, other.product)
