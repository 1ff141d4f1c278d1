"""Linear approximation: the fits, both forms, and what is refused."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.compress import linear
from kcnn.compress.errors import CompressError
from kcnn.compress.linear import Approximation
from kcnn.compress.sites import Site, layer, sites, watch
from slim_networks import Residual, chain, images, seeded
from torch import Tensor, nn


def prepared(module: nn.Module, name: str = "conv1") -> tuple[nn.Module, Site, Tensor, Tensor]:
    """A network in double precision, its site, images, and the site's map."""
    module, x = seeded(module, 3).double(), images(8).double()
    site = next(site for site in sites(module, x[:1]) if site.conv == name)
    return module, site, x, watch(module, [site], x)[name].map


def outputs(module: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return module.eval()(x)


# ---- fits ----------------------------------------------------------------------------------
@pytest.mark.parametrize("intercept", [True, False])
def test_pairs_are_the_least_squares_fits(intercept: bool) -> None:
    maps = torch.randn(6, 5, 4, 3, generator=torch.Generator().manual_seed(0)) + 0.5
    found = linear.pairs(linear.moments(maps), intercept, positive=False)
    rows = maps.transpose(0, 1).reshape(5, -1).double().numpy()
    for j in range(5):
        for i in range(5):
            columns = [rows[i], np.ones(rows.shape[1])][:1 + intercept]
            (best, left, _, _) = np.linalg.lstsq(np.stack(columns, 1), rows[j], rcond=None)
            power = ((rows[j] - intercept * rows[j].mean()) ** 2).sum()
            assert found.slope[j, i].item() == pytest.approx(best[0], abs=1e-9)
            assert found.offset[j, i].item() == pytest.approx([*best, 0][1], abs=1e-9)
            assert found.unexplained[j, i].item() == pytest.approx(
                (left.sum() if i != j else 0) / power, abs=1e-9)


def test_positive_slopes_fall_back_to_the_constant() -> None:
    x = torch.randn(1, 1, 8, 8)
    found = linear.pairs(linear.moments(torch.cat([x, 1 - 2 * x], 1)), True, positive=True)
    assert found.slope[1, 0] == 0 and found.unexplained[1, 0].item() == pytest.approx(1)
    assert found.offset[1, 0].item() == pytest.approx((1 - 2 * x).mean().item(), abs=1e-6)


def test_constant_features_are_explained_and_explain_nothing() -> None:
    maps = torch.cat([torch.randn(2, 1, 4, 4), torch.full((2, 1, 4, 4), 3.0)], 1)
    found = linear.pairs(linear.moments(maps), True, False)
    assert found.unexplained[1, 0] == 0 and found.slope[0, 1] == 0
    assert found.unexplained[0, 1].item() == pytest.approx(1)
    assert torch.isfinite(found.slope).all()


def test_the_best_kept_source_is_chosen_and_never_a_replaced_one() -> None:
    base = torch.randn(4, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    maps = torch.cat([base, 2 * base[:, :1] + 0.01 * base[:, 1:], 3 * base[:, :1]], 1)
    found = linear.pairs(linear.moments(maps), True, False)
    assert linear.choose(found, [2], [0, 1, 3]).source[0] in (0, 3)
    both = linear.choose(found, [2, 3], [0, 1])
    assert both.source == (0, 0)
    assert both.slope == pytest.approx((2, 3), abs=0.02)
    for kept in ([], [2, 0]):
        with pytest.raises(CompressError, match="keep at least one that is not replaced"):
            linear.choose(found, [2, 3], kept)


# ---- forms ---------------------------------------------------------------------------------
@settings(max_examples=12, deadline=None)
@given(padding=st.integers(0, 2), pool=st.sampled_from(["", "max", "average"]), norm=st.booleans(),
       bias=st.booleans(), flat=st.booleans(), replaced=st.sets(st.integers(0, 5), min_size=1,
                                                                max_size=5))
def test_the_folded_form_equals_the_explicit_one(padding: int, pool: str, norm: bool, bias: bool,
                                                 flat: bool, replaced: set[int]) -> None:
    module, site, x, maps = prepared(chain(padding, pool, norm, bias, flat))
    found = linear.fits(module, site, maps)
    kept = [j for j in range(6) if j not in replaced]
    chosen = linear.choose(found, sorted(replaced), kept)
    assert (any(chosen.offset) and bias) or not site.constant or flat or padding == 0
    explicit = linear.explicit(module, site, chosen)
    folded = copy.deepcopy(module)
    linear.fold(folded, site, chosen)
    assert torch.allclose(outputs(folded, x), outputs(explicit, x), rtol=0, atol=1e-9)
    assert not torch.allclose(outputs(folded, x), outputs(module, x), rtol=0, atol=1e-6)
    assert not layer(folded, "conv1").weight[sorted(replaced)].any()
    reader = layer(folded, site.readers[0].layer).weight
    read = reader.view(len(reader), 6, -1)
    assert not read[:, sorted(replaced)].any() and read[:, kept].any()


def test_a_feature_that_is_linear_in_another_one_costs_nothing() -> None:
    module, site, x, _ = prepared(chain(padding=1, norm=False))
    with torch.no_grad():
        for values in (layer(module, "conv1").weight, layer(module, "conv1").bias):
            values[4] = 2.5 * values[1]
    before = outputs(module, x)
    found = linear.fits(module, site, watch(module, [site], x)["conv1"].map)
    assert found.unexplained[4].argsort()[:2].sort().values.tolist() == [1, 4]
    linear.fold(module, site, linear.choose(found, [4], [0, 1, 2, 3, 5]))
    assert torch.allclose(outputs(module, x), before, atol=1e-6)


def test_two_readers_take_the_same_approximation() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.relu = nn.Conv2d(2, 6, 3), nn.ReLU()
            self.left, self.right = nn.Conv2d(6, 3, 1), nn.Conv2d(6, 3, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.relu(self.conv1(x))
            return torch.cat([self.left(x), self.right(x)], 1)

    module, site, x, maps = prepared(Two())
    chosen = linear.choose(linear.fits(module, site, maps), [0, 5], [1, 2, 3, 4])
    explicit = linear.explicit(module, site, chosen)
    linear.fold(module, site, chosen)
    assert torch.allclose(outputs(module, x), outputs(explicit, x), rtol=0, atol=1e-9)


def test_a_summed_map_gets_constants() -> None:
    module, site, x, maps = prepared(Residual(), "conv2")
    found = linear.fits(module, site, maps)
    assert not found.slope.any()
    linear.fold(module, site, linear.choose(found, [2, 3], [0, 1, 4, 5]))
    after = watch(module, [site], x)["conv2"].map
    assert torch.allclose(after[:, [2, 3]],
                          maps.mean((0, 2, 3), keepdim=True)[:, [2, 3]].expand_as(after[:, :2]))
    assert torch.equal(after[:, [0, 1, 4, 5]], maps[:, [0, 1, 4, 5]])


def test_the_explicit_form_leaves_the_original_and_its_mode() -> None:
    module, site, x, maps = prepared(chain())
    before = outputs(module, x)
    chosen = linear.choose(linear.fits(module, site, maps), [0], [1, 2, 3, 4, 5])
    explicit = linear.explicit(module.train(), site, chosen)
    assert explicit.training and explicit.relu1.training
    assert torch.equal(outputs(module, x), before)


# ---- refused -------------------------------------------------------------------------------
@pytest.mark.parametrize("module, name, slope, offset, sentence", [
    (chain(padding=1), "conv1", 0.5, 0.1, "fit without an offset"),
    (chain(bias=False), "conv1", 0.5, 0.1, "fit without an offset"),
    (chain(), "conv1", -0.5, 0.0, "fit with positive slopes"),
    (Residual(), "conv2", 0.5, 0.0, "slope 0 or the explicit form"),
])
def test_what_would_not_be_equal_is_refused(module: nn.Module, name: str, slope: float,
                                            offset: float, sentence: str) -> None:
    module, site, x, _ = prepared(module, name)
    before = outputs(module, x)
    with pytest.raises(CompressError, match=sentence):
        linear.fold(module, site, Approximation((2,), (1,), (slope,), (offset,)))
    assert torch.equal(outputs(module, x), before)


def test_a_constant_needs_a_bias() -> None:
    bare = nn.Sequential(nn.Conv2d(2, 6, 3, bias=False), nn.Flatten(0))
    site = Site("0", None, None, (), False)
    with pytest.raises(CompressError, match="only the constant 0"):
        linear.fold(bare, site, Approximation((2,), (1,), (0.0,), (0.5,)))


def test_the_explicit_form_needs_a_module_behind_which_to_stand() -> None:
    module, site, _, _ = prepared(Residual(), "conv1")
    with pytest.raises(CompressError, match=r"make the function a module \(nn.ReLU\)"):
        linear.explicit(module, site, Approximation((2,), (1,), (0.5,), (0.0,)))
