"""A whole random case from a number: network, machine, calibration, batch; nothing is tame.

    case = wild.case(7)
    wild.agree(case)            # compiles or is refused by a sentence; reference = TLM

Networks use every layer and every function that the compiler takes; machines are presets and any
other configuration that Config accepts; weights and images may have any size or none.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

import numpy as np
import torch
from kcnn.arch import kbin, reference
from kcnn.arch.config import Config, presets
from kcnn.arch.engine import MemoryModel, Result
from kcnn.arch.errors import ConfigError
from kcnn.arch.program import Program, memory_image
from kcnn.compiler import pipeline
from kcnn.compiler.errors import CompileError
from kcnn.tlm.machine import simulate as tlm
from networks import Builder, randomise
from numpy.typing import NDArray
from strategies import random_inputs
from torch import Tensor, nn

Engine = Callable[[Program, NDArray[np.uint8], MemoryModel], Result]
Layers = Sequence[nn.Module]
MOST_ELEMENTS = 800


class Rolled:
    """What a seeded generator draws."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def number(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def choose(self, options: Sequence[Any]) -> Any:
        return options[self.number(0, len(options) - 1)]

    def flag(self) -> bool:
        return bool(self.rng.integers(2))

    def real(self, low: float, high: float) -> float:
        return round(float(self.rng.uniform(low, high)), 3)

    def magnitude(self, low: float, high: float) -> float:
        """A power of ten between those of low and high."""
        return float(10.0 ** self.rng.uniform(low, high))


# ---- functions ---------------------------------------------------------------------------------
class Apply(nn.Module):
    """A function of tensors as a layer."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def _clamp(roll: Rolled) -> nn.Module:
    low, high = sorted((roll.real(-3, 3), roll.real(-3, 3)))
    lower, upper = roll.choose([(low, high), (low, None), (None, high)])
    return Apply(lambda x: x.clamp(lower, upper))


def _prelu(roll: Rolled) -> nn.Module:
    return nn.PReLU(1, init=roll.real(-1, 2))


FUNCTIONS: dict[str, Callable[[Rolled], nn.Module]] = {
    "identity": lambda roll: nn.Identity(), "relu": lambda roll: nn.ReLU(),
    "relu6": lambda roll: nn.ReLU6(), "hardsigmoid": lambda roll: nn.Hardsigmoid(),
    "hardswish": lambda roll: nn.Hardswish(), "sigmoid": lambda roll: nn.Sigmoid(),
    "tanh": lambda roll: nn.Tanh(), "silu": lambda roll: nn.SiLU(),
    "gelu": lambda roll: nn.GELU(), "gelu_tanh": lambda roll: nn.GELU("tanh"),
    "leaky_relu": lambda roll: nn.LeakyReLU(roll.real(-1.5, 1.5)), "prelu": _prelu,
    "x * sigmoid(x)": lambda roll: Apply(lambda x: x * torch.sigmoid(x)),
    "clamp": _clamp, "elu": lambda roll: nn.ELU(roll.real(-1, 3)),
}


# ---- networks ----------------------------------------------------------------------------------
class Twice(nn.Module):
    """The sum of two branches of one input."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) + self.second(x)


class Minus(Twice):
    """The difference of two branches of one input."""

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) - self.second(x)


class Several(nn.Module):
    """A body, what the network ends with, and the body's own map as further outputs."""

    def __init__(self, body: nn.Module, ends: Layers, tell_body: bool) -> None:
        super().__init__()
        self.body, self.ends, self.tell_body = body, nn.ModuleList(ends), tell_body

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = self.body(x)
        return (*[end(y) for end in self.ends], *([y] if self.tell_body else []))


class WildBuilder(Builder):
    """All layers of `networks` and the rest of what the frontend takes, with all functions."""

    KINDS = (*Builder.KINDS, "slices", "reduced", "adaptive", "twice", "function", "function",
             "depthwise", "dropout", "arithmetic", "difference", "shuffle", "parts")

    def __init__(self, roll: Rolled, shape: tuple[int, int, int]) -> None:
        super().__init__(roll, shape)
        self.roll = roll

    def function(self) -> nn.Module:
        return FUNCTIONS[self.choose(tuple(FUNCTIONS))](self.roll)

    def slices(self) -> nn.Module:
        (c, y, x) = (self.number(0, max(0, size // 2)) for size in self.shape)
        (sc, sy, sx) = (self.number(1, 3) for _ in range(3))
        return Apply(lambda t: t[:, c::sc, y::sy, x::sx])

    def reduced(self) -> nn.Module:
        dims = self.choose([(2, 3), (2,), (3,)])
        if self.flag():
            return Apply(lambda t: t.mean(dims, keepdim=True))
        return Apply(lambda t: t.amax(dims, keepdim=True))

    def adaptive(self) -> nn.Module:
        kind = self.choose([nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d])
        whole = self.flag()      # sizes that do not divide the map's are refused
        return kind(tuple(1 if whole or size % 2 else 2 for size in self.shape[1:]))

    def twice(self) -> nn.Module:
        return nn.Sequential(Twice(*(self.choose([self.function, self.conv_1x1])()
                                     for _ in range(2))), self.function())

    def conv_1x1(self) -> nn.Module:
        return nn.Sequential(nn.Conv2d(self.shape[0], self.shape[0], 1), self.function())

    def depthwise(self) -> nn.Module:
        channels, times = self.shape[0], self.number(1, 2)
        return nn.Sequential(
            nn.Conv2d(channels, channels * times, self.number(1, 3), self.number(1, 2),
                      self.number(0, 2), groups=channels), self.function())

    def arithmetic(self) -> nn.Module:
        """Constants of the whole map or of each channel."""
        channels = self.choose([1, self.shape[0]])
        numbers = torch.tensor(self.roll.rng.uniform(-2, 2, (1, channels, 1, 1))).float()
        return Apply(self.choose([lambda x: x + numbers, lambda x: x * numbers,
                                  lambda x: numbers - x, lambda x: (x - numbers) / 1.7]))

    def difference(self) -> nn.Module:
        first, second = self.function(), self.conv_1x1()
        return self.choose([Minus(first, second), Minus(second, first)])

    def shuffle(self) -> nn.Module:
        groups = self.choose([n for n in (1, 2, 3) if self.shape[0] % n == 0])
        return nn.ChannelShuffle(groups)

    def parts(self) -> nn.Module:
        """Parts of the channels, of which one becomes something else, in another order."""
        function = self.function()

        def forward(x: Tensor) -> Tensor:
            first, *rest = x.chunk(2, 1)
            return torch.cat([*rest, function(first)], 1)

        return Apply(forward)

    def dropout(self) -> nn.Module:
        return nn.Dropout()


def network(roll: Rolled) -> tuple[nn.Module, tuple[int, int, int]]:
    """(network in evaluation mode, (C, H, W) of its input)."""
    shape = (roll.number(1, 3), roll.number(1, 9), roll.number(1, 9))
    builder = WildBuilder(roll, shape)
    body = nn.Sequential(*(builder.layer() for _ in range(roll.number(0, 5))))
    ends = [builder.end() for _ in range(roll.choose([1, 1, 1, 2]))]
    whole = Several(body, ends, roll.number(0, 4) == 0)
    randomise(whole, roll.number(0, 1 << 16))
    with torch.no_grad():
        for module in whole.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                roll.choose(WEIGHTS)(module, roll)
    return whole, shape


# ---- weights -----------------------------------------------------------------------------------
def _as_they_are(layer: nn.Conv2d | nn.Linear, roll: Rolled) -> None:
    """Weights as `randomise` makes them."""


def _spread(layer: nn.Conv2d | nn.Linear, roll: Rolled) -> None:
    """Channels of very different scale."""
    reach = roll.choose([0.5, 1, 2, 5])
    scale = torch.tensor(10.0 ** roll.rng.uniform(-reach, reach, len(layer.weight)))
    layer.weight.mul_(scale.reshape(-1, *[1] * (layer.weight.ndim - 1)))
    if layer.bias is not None and roll.flag():
        layer.bias.mul_(scale)


def _scaled(layer: nn.Conv2d | nn.Linear, roll: Rolled) -> None:
    """A layer whose weights, and perhaps biases, have any scale."""
    scale = roll.choose([1e-40, 1e-30, 1e-9, 1e-4, 1e-2, 30, 1e3, 1e9, 1e15, 1e30])
    layer.weight.mul_(scale)
    if layer.bias is not None and roll.flag():
        layer.bias.mul_(scale)


def _dead(layer: nn.Conv2d | nn.Linear, roll: Rolled) -> None:
    """Some channels, or all, without weights."""
    share = roll.choose([0.2, 0.5, 1.0])
    layer.weight[torch.tensor(roll.rng.random(len(layer.weight)) < share)] = 0


def _sparse(layer: nn.Conv2d | nn.Linear, roll: Rolled) -> None:
    layer.weight.mul_(torch.tensor(roll.rng.random(tuple(layer.weight.shape)) < 0.3))


def _one_value(layer: nn.Conv2d | nn.Linear, roll: Rolled) -> None:
    layer.weight.copy_(torch.sign(layer.weight) * roll.magnitude(-3, 2))


def _outlier(layer: nn.Conv2d | nn.Linear, roll: Rolled) -> None:
    layer.weight.view(-1)[roll.number(0, layer.weight.numel() - 1)] = roll.magnitude(0, 4)


def _biased(layer: nn.Conv2d | nn.Linear, roll: Rolled) -> None:
    if layer.bias is not None:
        layer.bias.mul_(roll.choose([1e2, 1e4, 1e6, 1e12]))


WEIGHTS = (*[_as_they_are] * 12, _spread, _spread, _scaled, _dead, _sparse, _sparse, _one_value,
           _outlier, _biased)


# ---- images and machines -----------------------------------------------------------------------
def calibration(roll: Rolled, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """A few images of any scale: (n, C, H, W)."""
    count = roll.number(1, 6)
    scale = roll.choose([1.0, 1.0, 1.0, roll.magnitude(-3, 3), roll.magnitude(-20, 12)])
    shift = roll.choose([0.0, 0.0, 1.0, 100.0])
    x = (roll.rng.normal(0, 1, (count, *shape)) + shift) * scale
    if roll.number(0, 9) == 0:
        x = np.full_like(x, roll.choose([0.0, scale, -scale]))
    return x.astype(np.float32)


def machine(roll: Rolled) -> Config:
    """A preset with any code_bits, or any legal configuration of not too many lanes."""
    while True:
        try:
            return roll.choose([_near_preset, _any_machine])(roll)
        except ConfigError:
            continue


def _near_preset(roll: Rolled) -> Config:
    config = Config.preset(roll.choose(presets()))
    bits = roll.number(4, 8)
    return dataclasses.replace(config, code_bits=bits, value_bits=max(config.value_bits, bits + 1))


def _any_machine(roll: Rolled) -> Config:
    code_bits = roll.number(4, 8)
    value_bits = roll.number(code_bits + 1, roll.choose([code_bits + 1, 9, 12]))
    lanes = roll.choose([4, 8, 16, 32])
    return Config(
        "wild", lanes=lanes, share=roll.choose([1, 2, 4, 8, 16]), drain=roll.choose([1, 2, 4]),
        code_bits=code_bits, memory_codes=1 << roll.number(8, 17),
        tap_slots=1 << roll.number(5, 12), base_entries=1 << roll.number(4, 10),
        port_bits=roll.choose([32, 64, 128, 256, 512]), value_bits=value_bits,
        factor_bits=roll.number(2, 12), sum_bits=roll.number(value_bits, roll.choose(
            [value_bits, 16, 18])), total_bits=roll.number(20, 32),
        burst=1 << roll.number(0, 6), latency=roll.number(1, 20))


# ---- cases -------------------------------------------------------------------------------------
@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """What is compiled. images: calibration (n, C, H, W)."""

    seed: int
    model: nn.Module
    images: NDArray[np.float32]
    config: Config
    batch: int
    clusters: int


def case(seed: int, config: Config | None = None) -> Case:
    """The case of a number, on the machine that it draws or on a given one."""
    roll = Rolled(np.random.default_rng(seed))
    drawn = machine(roll)
    model, shape = network(roll)
    return Case(seed, model, calibration(roll, shape), config or drawn, roll.number(1, 3),
                roll.choose([1, 2, 4, 16, 16, 16, 300]))


def compiled(case: Case) -> Program:
    """The program of a case, written and read again; CompileError where it is refused."""
    examples = (torch.zeros(1, *case.images.shape[1:]),)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using padding='same'")
        made = pipeline.compile(case.model, examples, case.images, case.config, case.batch,
                                case.clusters)
    return kbin.load(kbin.save(made.program), "wild")


def agree(case: Case, engine: Engine | None = None) -> str:
    """Assert that the reference and the TLM, and a further engine, find the same tensors.

    Returns the sentence with which the case is refused, or nothing.
    """
    try:
        program = compiled(case)
    except CompileError as error:
        check_sentence(str(error))
        return str(error)
    codes = random_inputs(program, case.seed)
    memory, waits = memory_image(program, codes), MemoryModel.random(case.seed)
    # MyHDL asks which module each frame of the stack is from, of all modules of torch
    with mock.patch("inspect.getmodule", return_value=None):
        want = tlm(program, memory, waits)
    for index, expected in reference.run(program, codes).items():
        np.testing.assert_array_equal(want.tensors[index], expected, program.tensors[index].name)
    if engine is not None:
        found = engine(program, memory, waits)
        for index, tensor in want.tensors.items():
            np.testing.assert_array_equal(found.tensors[index], tensor)
        np.testing.assert_array_equal(found.starts, want.starts)
        np.testing.assert_array_equal(found.ends, want.ends)
        assert found.cycles == want.cycles
    return ""


def check_sentence(text: str) -> None:
    """A user's error is one sentence: where and what was found, then what to do."""
    assert "\n" not in text and not text.endswith(".") and ";" in text, text
