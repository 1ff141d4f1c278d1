"""ImageNet networks as torchvision has them, and through the compiler's stages without places."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kcnn.compiler.frontend.trace import trace
from kcnn.compiler.ir.graph import Output
from kcnn.compiler.passes import canonicalise
from kcnn.compiler.quantise import emulate
from scripts import script
from torch import nn

bench = script("bench/compression/imagenet")

# parameters that torchvision and the papers tell, and layers of torchvision's state dicts
PARAMETERS = {
    "squeezenet1_1": 1_235_496, "mobilenet_v2": 3_504_872, "resnet18": 11_689_512,
    "alexnet": 61_100_840, "vgg11_bn": 132_868_840, "densenet121": 7_978_856,
    "googlenet": 6_624_904, "vgg16": 138_357_544, "grouped_alexnet": 60_965_224}
LAYERS = {
    "squeezenet1_1": ("features.0.weight", "features.12.expand3x3.bias", "classifier.1.weight"),
    "mobilenet_v2": ("features.0.0.weight", "features.1.conv.1.weight",
                     "features.17.conv.1.0.weight", "features.18.1.running_var",
                     "classifier.1.weight"),
    "resnet18": ("bn1.running_mean", "layer2.0.downsample.0.weight", "layer4.1.bn2.bias",
                 "fc.weight"),
    "alexnet": ("features.10.weight", "classifier.6.weight"),
    "vgg11_bn": ("features.26.running_mean", "classifier.6.bias"),
    "densenet121": ("features.norm0.weight", "features.denseblock4.denselayer16.conv2.weight",
                    "features.transition3.conv.weight", "features.norm5.running_var",
                    "classifier.weight"),
    "googlenet": ("conv2.conv.weight", "inception4e.branch3.1.bn.bias",
                  "inception5b.branch4.1.conv.weight", "fc.weight"),
    "vgg16": ("features.28.weight", "classifier.0.weight"),
    "grouped_alexnet": ("conv5.weight", "fc8.weight")}


@pytest.mark.parametrize("name", bench.NETWORKS)
def test_layers_are_those_of_torchvision(name: str) -> None:
    with torch.device("meta"):
        module = bench.NETWORKS[name](227 if name == "grouped_alexnet" else 224, 1, 1000)
        assert sum(weight.numel() for weight in module.parameters()) == PARAMETERS[name]
        assert set(LAYERS[name]) <= set(module.state_dict())
        x = torch.zeros(2, 3, 224, 224)
        assert name == "grouped_alexnet" or module(x).shape == (2, 1000)


def test_norms_are_fitted_and_seeds_repeat() -> None:
    one, two = (bench.build("resnet18", 64, narrow=8) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(),
                                                 two.state_dict().values(), strict=True))
    assert not any(layer.training for layer in one.modules())
    seen = []
    for layer in one.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.register_forward_hook(lambda layer, inputs, output: seen.append(output.clone()))
    with torch.no_grad():
        one(bench.noise(64, bench.FITTED))
    assert len(seen) == 20
    for maps in seen:
        assert maps.mean((0, 2, 3)).abs().max() < 0.2
        assert ((maps.var((0, 2, 3)) - 1).abs() < 0.3).all()


def test_pruning_leaves_the_largest() -> None:
    module = nn.Sequential(nn.Conv2d(3, 10, 1), nn.Linear(10, 10))
    before = module[0].weight.detach().abs().flatten()
    bench.prune(module, (40, 100))
    left = module[0].weight.detach().abs().flatten()
    assert int((left > 0).sum()) == 12 and bool((module[1].weight != 0).all())
    assert left[left > 0].min() >= before[left == 0].max()


def test_published_densities_leave_what_was_published() -> None:
    """AlexNet a ninth of 61 million weights, VGG-16 a thirteenth of 138 million."""
    for name, least, most in (("grouped_alexnet", 6.6e6, 6.9e6), ("vgg16", 10.1e6, 10.6e6)):
        with torch.device("meta"):
            layers = [layer for layer in bench.NETWORKS[name](227, 1, 1000).modules()
                      if isinstance(layer, nn.Conv2d | nn.Linear)]
        left = sum(layer.weight.numel() * percent / 100
                   for layer, percent in zip(layers, bench.PUBLISHED[name], strict=True))
        assert least < left < most


def assert_front_end_keeps(module: nn.Module, x: torch.Tensor) -> None:
    """The canonical graph, run in floating point, is the network."""
    graph = canonicalise(trace(module, (x[:1],)))
    (output,) = (node.name for node in graph if isinstance(node.op, Output))
    with torch.no_grad():
        expected = module(x).numpy()
    found = emulate.run(graph, x.numpy().astype(np.float64))[output]
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-3, atol=1e-4)


def test_front_end_takes_dense_blocks() -> None:
    x = bench.noise(32, 2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        dense = bench.DenseNet((1, 2), 16, 10)
        bench.fit(dense, x)
    assert_front_end_keeps(dense.eval(), x)


@pytest.mark.long
@pytest.mark.parametrize("name", bench.NETWORKS)
def test_front_end_takes(name: str) -> None:
    size = 227 if name == "grouped_alexnet" else 96
    assert_front_end_keeps(bench.build(name, size, narrow=8), bench.noise(size, 2))
