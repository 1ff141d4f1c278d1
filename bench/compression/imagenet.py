"""ImageNet networks with torchvision's layers and names, weights drawn with a seed.

    build("resnet18")                      224 x 224 pixels, 1000 classes
    build("resnet18", size=64, narrow=8)   an eighth of all channels, for tests
    prune(build("vgg16"), PUBLISHED["vgg16"])

torchvision is not needed, and a state dict of its networks fits. Batch norms get the statistics of
noise, so activations have the size that they have behind training.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

PIXELS, CLASSES = 224, 1000
FITTED = 4              # images of noise that batch norms see
ReLU = partial(nn.ReLU, inplace=True)


def pool(size: int, most: int) -> nn.AdaptiveAvgPool2d:
    """The adaptive pool in front of linear layers; images too small for it are not enlarged."""
    return nn.AdaptiveAvgPool2d(min(size, most))


# ---- AlexNet and VGG -----------------------------------------------------------------------
class Classified(nn.Module):
    """Convolutions, a pool, linear layers."""

    def __init__(self, features: nn.Module, avgpool: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.features, self.avgpool, self.classifier = features, avgpool, classifier

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def alexnet(size: int = PIXELS, narrow: int = 1, classes: int = CLASSES) -> Classified:
    """AlexNet on one tower, without response normalisation."""
    a, b, c, d, wide = (channels // narrow for channels in (64, 192, 384, 256, 4096))
    most = size // 32 - 1
    pooled = pool(most, 6)
    inputs = d * min(most, 6) ** 2
    return Classified(
        nn.Sequential(nn.Conv2d(3, a, 11, 4, 2), ReLU(), nn.MaxPool2d(3, 2),
                      nn.Conv2d(a, b, 5, padding=2), ReLU(), nn.MaxPool2d(3, 2),
                      nn.Conv2d(b, c, 3, padding=1), ReLU(),
                      nn.Conv2d(c, d, 3, padding=1), ReLU(),
                      nn.Conv2d(d, d, 3, padding=1), ReLU(), nn.MaxPool2d(3, 2)),
        pooled,
        nn.Sequential(nn.Dropout(), nn.Linear(inputs, wide), ReLU(),
                      nn.Dropout(), nn.Linear(wide, wide), ReLU(), nn.Linear(wide, classes)))


def grouped_alexnet(size: int = 227, narrow: int = 1, classes: int = CLASSES) -> nn.Sequential:
    """The first AlexNet: two towers joined by conv3, 227 x 227 pixels, layers by their published
    names, local response normalisation left out."""
    a, b, c, d, wide = (channels // narrow for channels in (96, 256, 384, 256, 4096))
    maps = (((((size - 11) // 4 + 1) - 3) // 2 + 1 - 3) // 2 + 1 - 3) // 2 + 1
    return nn.Sequential(OrderedDict(
        conv1=nn.Conv2d(3, a, 11, 4), relu1=ReLU(), pool1=nn.MaxPool2d(3, 2),
        conv2=nn.Conv2d(a, b, 5, padding=2, groups=2), relu2=ReLU(), pool2=nn.MaxPool2d(3, 2),
        conv3=nn.Conv2d(b, c, 3, padding=1), relu3=ReLU(),
        conv4=nn.Conv2d(c, c, 3, padding=1, groups=2), relu4=ReLU(),
        conv5=nn.Conv2d(c, d, 3, padding=1, groups=2), relu5=ReLU(), pool5=nn.MaxPool2d(3, 2),
        flatten=nn.Flatten(), fc6=nn.Linear(d * maps * maps, wide), relu6=ReLU(),
        drop6=nn.Dropout(), fc7=nn.Linear(wide, wide), relu7=ReLU(), drop7=nn.Dropout(),
        fc8=nn.Linear(wide, classes)))


VGG11 = (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0)
VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)


def vgg(plan: Iterable[int], norm: bool, size: int = PIXELS, narrow: int = 1,
        classes: int = CLASSES) -> Classified:
    """plan: channels of 3x3 convolutions, 0 for a pool."""
    features: list[nn.Module] = []
    before = 3
    for channels in (number // narrow for number in plan):
        if channels:
            features += [nn.Conv2d(before, channels, 3, padding=1),
                         *([nn.BatchNorm2d(channels)] if norm else []), ReLU()]
            before = channels
        else:
            features.append(nn.MaxPool2d(2, 2))
    wide, maps = 4096 // narrow, min(size // 32, 7)
    return Classified(
        nn.Sequential(*features), pool(size // 32, 7),
        nn.Sequential(nn.Linear(before * maps * maps, wide), ReLU(), nn.Dropout(),
                      nn.Linear(wide, wide), ReLU(), nn.Dropout(), nn.Linear(wide, classes)))


# ---- SqueezeNet ----------------------------------------------------------------------------
class Fire(nn.Module):
    """Few channels, then 1x1 and 3x3 kernels on them side by side."""

    def __init__(self, inputs: int, few: int, each: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, few, 1)
        self.squeeze_activation = ReLU()
        self.expand1x1 = nn.Conv2d(few, each, 1)
        self.expand1x1_activation = ReLU()
        self.expand3x3 = nn.Conv2d(few, each, 3, padding=1)
        self.expand3x3_activation = ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze_activation(self.squeeze(x))
        return torch.cat([self.expand1x1_activation(self.expand1x1(x)),
                          self.expand3x3_activation(self.expand3x3(x))], 1)


class SqueezeNet(nn.Module):
    """SqueezeNet 1.1."""

    def __init__(self, narrow: int, classes: int) -> None:
        super().__init__()
        a, few = 64 // narrow, [channels // narrow for channels in (16, 32, 48, 64)]
        each = [4 * channels for channels in few]
        down = partial(nn.MaxPool2d, 3, 2, ceil_mode=True)
        self.features = nn.Sequential(
            nn.Conv2d(3, a, 3, 2), ReLU(), down(), Fire(a, few[0], each[0]),
            Fire(2 * each[0], few[0], each[0]), down(), Fire(2 * each[0], few[1], each[1]),
            Fire(2 * each[1], few[1], each[1]), down(), Fire(2 * each[1], few[2], each[2]),
            Fire(2 * each[2], few[2], each[2]), Fire(2 * each[2], few[3], each[3]),
            Fire(2 * each[3], few[3], each[3]))
        self.classifier = nn.Sequential(nn.Dropout(), nn.Conv2d(2 * each[3], classes, 1), ReLU(),
                                        nn.AdaptiveAvgPool2d(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x)).flatten(1)


def squeezenet1_1(size: int = PIXELS, narrow: int = 1, classes: int = CLASSES) -> SqueezeNet:
    return SqueezeNet(narrow, classes)


# ---- MobileNetV2 ---------------------------------------------------------------------------
def normed(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1
           ) -> nn.Sequential:
    """Convolution, batch norm, ReLU6."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """More channels, each filtered alone, then few; added to the input where that has the shape."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        wide = inputs * expand
        self.conv = nn.Sequential(
            *([normed(inputs, wide, 1)] if expand > 1 else []),
            normed(wide, wide, 3, stride, wide),
            nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


# expansion, channels, blocks, stride of the first
MOBILENET = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
             (6, 160, 3, 2), (6, 320, 1, 1))


class MobileNetV2(nn.Module):
    """MobileNetV2 of width 1 / narrow."""

    def __init__(self, narrow: int, classes: int) -> None:
        super().__init__()
        before, last = 32 // narrow, 1280 // narrow
        features: list[nn.Module] = [normed(3, before, 3, 2)]
        for expand, wide, count, stride in MOBILENET:
            channels = wide // narrow
            for block in range(count):
                features.append(InvertedResidual(before, channels, 1 if block else stride, expand))
                before = channels
        self.features = nn.Sequential(*features, normed(before, last, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.adaptive_avg_pool2d(self.features(x), 1)
        return self.classifier(x.flatten(1))


def mobilenet_v2(size: int = PIXELS, narrow: int = 1, classes: int = CLASSES) -> MobileNetV2:
    return MobileNetV2(narrow, classes)


# ---- ResNet-18 -----------------------------------------------------------------------------
class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None if stride == 1 else nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    """Four stages of two blocks."""

    def __init__(self, narrow: int, classes: int) -> None:
        super().__init__()
        a, b, c, d = (channels // narrow for channels in (64, 128, 256, 512))
        self.conv1 = nn.Conv2d(3, a, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(a)
        self.relu = ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(BasicBlock(a, a, 1), BasicBlock(a, a, 1))
        self.layer2 = nn.Sequential(BasicBlock(a, b, 2), BasicBlock(b, b, 1))
        self.layer3 = nn.Sequential(BasicBlock(b, c, 2), BasicBlock(c, c, 1))
        self.layer4 = nn.Sequential(BasicBlock(c, d, 2), BasicBlock(d, d, 1))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(d, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def resnet18(size: int = PIXELS, narrow: int = 1, classes: int = CLASSES) -> ResNet18:
    return ResNet18(narrow, classes)


# ---- DenseNet-121 --------------------------------------------------------------------------
class DenseLayer(nn.Module):
    """New channels from those of all layers before."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.relu1 = ReLU()
        self.conv1 = nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.relu2 = ReLU()
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, before: list[Tensor]) -> Tensor:
        x = self.conv1(self.relu1(self.norm1(torch.cat(before, 1))))
        return self.conv2(self.relu2(self.norm2(x)))


class DenseBlock(nn.ModuleDict):
    """Layers that each read all before, joined."""

    def __init__(self, inputs: int, growth: int, count: int) -> None:
        super().__init__({f"denselayer{i + 1}": DenseLayer(inputs + i * growth, growth)
                          for i in range(count)})

    def forward(self, x: Tensor) -> Tensor:
        seen = [x]
        for layer in self.values():
            seen.append(layer(seen))
        return torch.cat(seen, 1)


def transition(inputs: int) -> nn.Sequential:
    """Half the channels, a quarter of the pixels."""
    return nn.Sequential(OrderedDict(
        norm=nn.BatchNorm2d(inputs), relu=ReLU(),
        conv=nn.Conv2d(inputs, inputs // 2, 1, bias=False), pool=nn.AvgPool2d(2, 2)))


class DenseNet(nn.Module):
    """Dense blocks of so many layers."""

    def __init__(self, blocks: tuple[int, ...], narrow: int, classes: int) -> None:
        super().__init__()
        channels, growth = 64 // narrow, 32 // narrow
        parts: OrderedDict[str, nn.Module] = OrderedDict(
            conv0=nn.Conv2d(3, channels, 7, 2, 3, bias=False), norm0=nn.BatchNorm2d(channels),
            relu0=ReLU(), pool0=nn.MaxPool2d(3, 2, 1))
        for number, count in enumerate(blocks, 1):
            parts[f"denseblock{number}"] = DenseBlock(channels, growth, count)
            channels += count * growth
            if number < len(blocks):
                parts[f"transition{number}"] = transition(channels)
                channels //= 2
        self.features = nn.Sequential(parts)
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.features(x))
        return self.classifier(functional.adaptive_avg_pool2d(x, 1).flatten(1))


def densenet121(size: int = PIXELS, narrow: int = 1, classes: int = CLASSES) -> DenseNet:
    return DenseNet((6, 12, 24, 16), narrow, classes)


# ---- GoogLeNet -----------------------------------------------------------------------------
class BasicConv2d(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(x)), inplace=True)


class Inception(nn.Module):
    """Kernels of 1x1, 3x3, 3x3 and a pool side by side; the third branch has 3x3 as in
    torchvision, where the paper has 5x5."""

    def __init__(self, inputs: int, one: int, three: tuple[int, int], five: tuple[int, int],
                 pooled: int) -> None:
        super().__init__()
        self.branch1 = BasicConv2d(inputs, one, 1)
        self.branch2, self.branch3 = (
            nn.Sequential(BasicConv2d(inputs, few, 1), BasicConv2d(few, many, 3))
            for few, many in (three, five))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True),
                                     BasicConv2d(inputs, pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


# channels of the branches, a kernel of a pool before
INCEPTIONS: dict[str, tuple[int, ...]] = {
    "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64), "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64), "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128), "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128)}


class GoogLeNet(nn.Module):
    """GoogLeNet without the heads that only training has."""

    def __init__(self, narrow: int, classes: int) -> None:
        super().__init__()
        down = partial(nn.MaxPool2d, ceil_mode=True)
        channels = 192 // narrow
        self.conv1 = BasicConv2d(3, 64 // narrow, 7, 2)
        self.maxpool1 = down(3, 2)
        self.conv2 = BasicConv2d(64 // narrow, 64 // narrow, 1)
        self.conv3 = BasicConv2d(64 // narrow, channels, 3)
        self.maxpool2 = down(3, 2)
        for name, plan in INCEPTIONS.items():
            a, b, c, d, e, f = (number // narrow for number in plan)
            self.add_module(f"inception{name}", Inception(channels, a, (b, c), (d, e), f))
            channels = a + c + e + f
        self.maxpool3, self.maxpool4 = down(3, 2), down(2, 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool2(self.conv3(self.conv2(self.maxpool1(self.conv1(x)))))
        before = {"4a": self.maxpool3, "5a": self.maxpool4}
        for name in INCEPTIONS:
            x = self.get_submodule(f"inception{name}")(before[name](x) if name in before else x)
        return self.fc(self.dropout(self.avgpool(x).flatten(1)))


def googlenet(size: int = PIXELS, narrow: int = 1, classes: int = CLASSES) -> GoogLeNet:
    return GoogLeNet(narrow, classes)


# ---- all of them ---------------------------------------------------------------------------
NETWORKS: dict[str, Callable[[int, int, int], nn.Module]] = {
    "squeezenet1_1": squeezenet1_1, "mobilenet_v2": mobilenet_v2, "resnet18": resnet18,
    "alexnet": alexnet, "vgg11_bn": partial(vgg, VGG11, True), "densenet121": densenet121,
    "googlenet": googlenet, "vgg16": partial(vgg, VGG16, False),
    "grouped_alexnet": grouped_alexnet}
# percent of the weights that pruning leaves, layer after layer (Han et al., NIPS 2015)
ALEXNET_LEFT = (84, 38, 35, 37, 37, 9, 9, 25)
PUBLISHED: dict[str, tuple[int, ...]] = {
    "alexnet": ALEXNET_LEFT, "grouped_alexnet": ALEXNET_LEFT,
    "vgg16": (58, 22, 34, 36, 53, 24, 42, 32, 27, 34, 35, 29, 36, 4, 4, 23)}


def build(name: str, size: int | None = None, narrow: int = 1, classes: int = CLASSES,
          seed: int = 0) -> nn.Module:
    """A network in inference mode, with weights of He's size and norms fitted to noise."""
    size = size or (227 if name == "grouped_alexnet" else PIXELS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = NETWORKS[name](size, narrow, classes)
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight)
                if layer.bias is not None:
                    nn.init.normal_(layer.bias, 0, 0.1)
        fit(module, noise(size, FITTED, seed))
    return module.eval()


def noise(size: int, images: int, seed: int = 0) -> Tensor:
    """Images (n, 3, size, size) of unit variance, smooth and rough: noise of several scales."""
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.randn(images, 3, cells, cells, generator=generator)
             for cells in (size, max(1, size // 4), max(1, size // 16))]
    return sum((functional.interpolate(part, (size, size)) for part in parts),
               torch.zeros(())) / len(parts) ** 0.5


def fit(module: nn.Module, x: Tensor) -> None:
    """Running statistics of batch norms: those of these images, whatever dropout does."""
    for layer in module.modules():
        layer.training = isinstance(layer, nn.BatchNorm2d)
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    with torch.no_grad():
        module(x)


def prune(module: nn.Module, left: Sequence[float]) -> nn.Module:
    """The module, of whose layers only so many percent of the weights are left, the largest."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        for layer, percent in zip(layers, left, strict=True):
            size = layer.weight.abs().flatten()
            gone = round(size.numel() * (1 - percent / 100))
            if gone:
                layer.weight[layer.weight.abs() <= size.kthvalue(gone).values] = 0
    return module
