"""The work of layers: counted by hand on small networks."""

from __future__ import annotations

import torch
from kcnn.compress import account, linear
from kcnn.compress.linear import Approximation
from kcnn.compress.lower_kernel import Window
from kcnn.compress.sites import layer, sites
from kcnn.compress.work import Meter, issues, macs
from slim_networks import chain, images, seeded


def test_an_untouched_network() -> None:
    module = seeded(chain(), 0)
    first, second, last = Meter(module, images(1))(module)
    assert (first.name, first.kind, first.positions, first.sources) == ("conv1", "conv", 72, 2)
    assert first.windows == {(3, 3): 6} and first.box == (3, 3) and first.pixels == 72
    assert first.macs == 6 * 2 * 9 * 72 and first.features == 6
    assert (second.positions, second.sources, second.pixels) == (2 * 2, 6, 16)
    assert (last.kind, last.windows, last.macs) == ("fc", {(1, 1): 5}, 20)
    measured = account.measure(module, images(1))
    assert issues(16)([first, second, last]) == 108 * 5 + 6 * 4 * 9 + 20
    assert macs([first, second, last]) == sum(found.used_macs for found in measured)


def test_windows_and_what_is_not_used() -> None:
    module = seeded(chain(), 0)
    meter = Meter(module, images(1))
    weight = layer(module, "conv1").weight
    with torch.no_grad():
        weight[0] = 0
        weight[1] *= Window(1, 0, 1, 3).mask((3, 3))
        weight[2] *= Window(1, 1, 1, 1).mask((3, 3))
        layer(module, "conv2").weight[:, 0] = 0
        layer(module, "linear").weight[:, :2] = 0
    first, second, last = meter(module)
    assert first.windows == {(1, 1): 1, (1, 3): 1, (3, 3): 3}
    assert first.features == 5 and first.box == (3, 3)
    assert first.taps == 2 * (3 + 1 + 3 * 9)
    assert second.sources == 5 and last.sources == 2
    with torch.no_grad():
        weight[3:] *= Window(1, 0, 1, 3).mask((3, 3))
    assert meter(module)[0].box == (1, 3)


def test_a_layer_without_weights_is_no_work() -> None:
    module = seeded(chain(), 0)
    meter = Meter(module, images(1))
    with torch.no_grad():
        layer(module, "conv2").weight.zero_()
    empty = meter(module)[1]
    assert (empty.macs, empty.features, empty.box, empty.sources) == (0, 0, (0, 0), 0)


def test_a_flattened_layer_knows_its_channels_as_single_pixels() -> None:
    module = seeded(chain(flat=True), 0)
    last = Meter(module, images(1))(module)[-1]
    assert (last.sources, last.pixels, last.positions) == (96, 1, 1)


def test_explicit_approximations_are_one_multiplication_an_output() -> None:
    module = seeded(chain(), 0)
    site = sites(module, images(1))[0]
    explicit = linear.explicit(module, site, Approximation((1, 4), (0, 2), (0.5, 2.0), (0.1, 0.0)))
    works = {work.name: work for work in Meter(explicit, images(1))(explicit)}
    found = works["relu1.1.mix"]
    assert (found.kind, found.features, found.macs) == ("linear", 2, 2 * 72)
    assert works["conv1"].features == 4
