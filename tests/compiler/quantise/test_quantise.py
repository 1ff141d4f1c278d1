"""Codebooks and radix scales from calibration."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from kcnn.arch import fixed
from kcnn.arch.config import Config
from kcnn.compiler.errors import CompileError
from kcnn.compiler.frontend.trace import trace
from kcnn.compiler.ir.graph import Add, AvgPool, Concat, Conv, Input, MaxPool, Output
from kcnn.compiler.ir.layers import function
from kcnn.compiler.ir.quantised import Codebook, Quantised, Radix
from kcnn.compiler.passes import canonicalise
from kcnn.compiler.quantise import emulate
from kcnn.compiler.quantise.cluster import Clusterings, Points
from kcnn.compiler.quantise.quantise import (
    candidates,
    codebook,
    input_bits,
    levels,
    quantise,
    radix,
    rounded_codebook,
)
from kcnn.compiler.quantise.segments import segments
from networks import networks, randomise
from torch import Tensor, nn
from torch.nn import functional as F

TINY, SMALL = Config.preset("tiny"), Config.preset("small")


class Function(nn.Module):
    """A module of a function and some submodules."""

    def __init__(self, function: Callable[..., object], *modules: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(modules)
        self.function = function

    def forward(self, x: Tensor) -> object:
        return self.function(x, *self.layers)


def made(module: nn.Module, shape: tuple[int, int, int], config: Config = TINY, images: int = 16,
         clusters: int = 16) -> Quantised:
    graph = canonicalise(trace(randomise(module, 4), (torch.zeros(1, *shape),)))
    x = np.random.default_rng(1).normal(size=(images, *shape)).astype(np.float32)
    return quantise(graph, x, config, clusters)


def check_contract(out: Quantised, config: Config) -> None:
    """What quantised.py promises."""
    graph = out.graph
    assert out.weights.keys() == {n.name for n in graph if isinstance(n.op, Conv)}
    assert out.tensors.keys() == {n.name for n in graph if not isinstance(n.op, Output)}
    limit = (1 << (config.value_bits - 1)) - 1
    for node in graph:
        sources = graph.inputs(node.name)
        if isinstance(node.op, Output):
            continue
        meaning = out.tensors[node.name]
        if isinstance(node.op, Input):
            assert isinstance(meaning, Radix) and meaning.bits == 8
            assert meaning.planes * config.code_bits >= 8
            continue
        if isinstance(node.op, MaxPool | Concat):
            assert all(out.tensors[source] is meaning for source in sources)
        read_by_outputs = all(isinstance(graph[r].op, Output) for r in graph.readers(node.name))
        if isinstance(meaning, Radix):
            assert read_by_outputs and isinstance(node.op, Conv | AvgPool | Add)
            assert node.op.function == "identity" and meaning.bits == 16
            assert meaning.planes * config.code_bits >= 16
            continue
        assert not read_by_outputs or getattr(node.op, "function", "") != "identity"
        assert meaning.scale > 0 and meaning.values.dtype == np.int64
        assert (np.diff(meaning.values) > 0).all() and 0 in meaning.values
        assert len(meaning.values) <= config.codes and np.abs(meaning.values).max() <= limit
        if isinstance(node.op, Conv | AvgPool | Add):
            assert len(segments(node.op.function, meaning)) <= config.codes


@settings(max_examples=8)
@given(networks())
def test_random_networks(case: tuple) -> None:
    module, shape = case
    graph = canonicalise(trace(module, (torch.zeros(1, *shape),)))
    x = np.random.default_rng(0).normal(size=(3, *shape))
    out = quantise(graph, x, TINY, 4)
    check_contract(out, TINY)
    assert all(np.isfinite(y).all()
               for y in emulate.run(graph, x, out.weights, out.tensors).values())


@pytest.mark.parametrize("config", [TINY, SMALL, Config(
    "wide", lanes=4, share=1, drain=1, code_bits=8, memory_codes=1 << 14, tap_slots=1024,
    base_entries=256, port_bits=32)])
def test_every_kind_of_meeting(config: Config) -> None:
    def forward(x: Tensor, a: nn.Module, b: nn.Module, c: nn.Module) -> tuple[Tensor, ...]:
        y, z = F.relu(a(x)), torch.tanh(b(x))
        joined = torch.cat([y, z], 1)
        pooled = F.max_pool2d(joined, 2)
        return c(pooled), F.gelu(c(joined)), pooled, y

    out = made(Function(forward, nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 3), nn.Conv2d(4, 3, 1)),
               (1, 6, 6), config)
    check_contract(out, config)
    assert len({id(out.tensors[n]) for n in ("layers.0", "layers.1", "cat", "max_pool2d")}) == 1
    assert isinstance(out.tensors["layers.2"], Radix)
    assert out.tensors["layers.2"].planes == -(-16 // config.code_bits)
    assert isinstance(out.tensors["layers.2@2"], Codebook)


def test_more_code_bits_lose_less() -> None:
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Hardswish(),
                           nn.Flatten(), nn.Linear(16 * 4, 3))
    loss = []
    for config in (TINY, SMALL):
        out = made(module, (1, 8, 8), config, images=64)
        x = np.random.default_rng(5).normal(size=(32, 1, 8, 8))
        loss.append([row.activations - row.weights for row in emulate.explain(out, x)])
    assert all(small > tiny for tiny, small in zip(*loss, strict=True))


# ---- codebooks --------------------------------------------------------------------------------
def points(values: np.ndarray) -> Points:
    return Points.of(np.asarray(values, np.float64)[np.asarray(values) != 0])


def test_a_relu_tensor_spends_all_codes_above_zero() -> None:
    values = np.abs(np.random.default_rng(0).normal(size=5000))
    book = codebook(points(values), {"relu"}, TINY)
    assert book.order == 0 and len(book.values) == 16 and book.values[-1] == 127


def test_signed_tensors_get_codes_of_both_signs() -> None:
    values = np.random.default_rng(0).normal(size=5000)
    book = codebook(points(values), {"identity"}, TINY)
    assert len(book.values) == 16 and book.order in (7, 8)
    found = book.scale * book.values.astype(float)
    assert emulate.sqnr(values, emulate.rounded(values, book)) > 19.5   # Lloyd-Max: 20.2 dB
    assert found[book.order] == 0


def test_a_codebook_is_the_best_of_its_size_with_zero_in_it() -> None:
    values = np.array([-5.0, -4.9, -1.0, 0.1, 0.2, 2.0, 2.2, 7.0])
    book = codebook(points(values), {"identity"}, Config(
        "c", 4, 1, 1, 4, 1 << 12, 64, 64, 32))
    assert len(book.values) == 9        # more codes than values: every one is met
    np.testing.assert_allclose(emulate.rounded(values, book), values, atol=7 / 127 / 2)


def test_no_signed_codebook_of_three_values_is_better() -> None:
    """Exhaustive: the split of the codes between the signs is optimal too."""
    values = np.array([-3.0, -2.5, -0.2, 0.4, 1.0, 1.1, 4.0])
    found = next(candidates(points(values), 3))
    best = np.inf
    for labels in itertools.product(range(4), repeat=len(values)):
        chosen = np.array(labels)
        means = [0.0] + [values[chosen == k].mean() if (chosen == k).any() else 0.0
                         for k in (1, 2, 3)]
        best = min(best, float(np.square(values - np.array(means)[chosen]).sum()))
    real = np.append(found, 0.0)
    assert np.square(np.abs(values[:, None] - real).min(axis=1)).sum() == pytest.approx(best)


@pytest.mark.parametrize("name", ["gelu", "silu", "hardswish", "leaky_relu(-0.5)"])
def test_functions_that_fall_get_a_codebook_whose_segments_fit(name: str) -> None:
    values = function(name).apply(np.random.default_rng(0).normal(size=20000) * 2)
    book = codebook(points(values), {name}, TINY)
    assert 8 <= len(book.values) <= 16 and len(segments(name, book)) <= 16
    assert emulate.sqnr(values, emulate.rounded(values, book)) > 17


@pytest.mark.parametrize("name", ["gelu", "hardswish"])
def test_the_first_candidate_whose_segments_fit_is_taken(name: str) -> None:
    values = points(function(name).apply(np.random.default_rng(0).normal(size=20000) / 5))
    books = [rounded_codebook(found, levels(TINY)) for found in candidates(values, 15)]
    fits = [len(segments(name, book)) <= TINY.codes for book in books]
    first = books[fits.index(True)]
    found = codebook(values, {name}, TINY)
    assert fits.index(True) > 10 and found.scale == first.scale
    assert found.values.tolist() == first.values.tolist()


def test_many_values_of_a_function_that_falls_take_no_minutes(
        monkeypatch: pytest.MonkeyPatch) -> None:
    """8-bit codes, small inputs: thousands of candidates have too many segments. All of them look
    up the clusters of at most 256 counts of either sign."""
    config = Config("wide", 4, 1, 1, 8, 1 << 14, 1024, 256, 32)
    values = points(function("silu").apply(np.random.default_rng(0).normal(size=20000) / 5))
    made: list[int] = []
    centroids = Clusterings.centroids
    monkeypatch.setattr(Clusterings, "centroids", lambda self, clusters: (
        made.append(clusters), centroids(self, clusters))[1])
    book = codebook(values, {"silu"}, config)
    assert len(made) < 512 and len(book.values) > 170 and len(segments("silu", book)) <= 256


def test_equal_integers_become_one_value() -> None:
    book = rounded_codebook(np.array([-0.001, 0.5, 0.501, 1.0]), 127)
    assert book.values.tolist() == [0, 64, 127] and book.scale == pytest.approx(1 / 127)


def test_constant_zero_tensors_have_a_codebook() -> None:
    book = codebook(points(np.zeros(0)), {"relu"}, TINY)
    assert 0 in book.values and book.scale > 0 and len(segments("relu", book)) <= 16
    out = made(Function(lambda x, a, b, c: c(b(a(x).clamp(5, 5)).clamp(0, 0)),
                        *(nn.Conv2d(n, 2, 1) for n in (1, 2, 2))), (1, 3, 3))
    check_contract(out, TINY)
    assert out.tensors["layers.0"].values.tolist() == [0, 127]
    assert out.tensors["layers.0"].scale * 127 == pytest.approx(5)


def test_dead_inputs_do_not_crash() -> None:
    graph = canonicalise(trace(randomise(nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(),
                                                       nn.Conv2d(2, 2, 1)), 0),
                               (torch.zeros(1, 1, 3, 3),)))
    check_contract(quantise(graph, np.zeros((2, 1, 3, 3), np.float32), TINY), TINY)


def test_levels_fit_the_value_bits() -> None:
    assert levels(TINY) == 127
    narrow = Config("narrow", 4, 1, 1, 4, 1 << 12, 64, 64, 32, value_bits=5)
    assert levels(narrow) == 15
    wide = Config("wide", 4, 1, 1, 8, 1 << 12, 64, 64, 32)
    assert levels(wide) == 255


# ---- radix ------------------------------------------------------------------------------------
def test_radix_scales() -> None:
    found = radix(2.54, 8, TINY)
    assert (found.bits, found.planes) == (8, 2) and found.scale == pytest.approx(0.02)
    assert radix(1.0, 16, SMALL).planes == 4
    assert radix(0.0, 8, SMALL).scale > 0


@pytest.mark.parametrize("value_bits, sum_bits, bits", [
    (9, 16, 8), (8, 18, 8), (8, 9, 8), (8, 8, 7), (7, 7, 6), (6, 8, 6), (5, 5, 4), (5, 6, 5)])
def test_inputs_have_as_many_bits_as_decode_tables_and_sums_hold(
        value_bits: int, sum_bits: int, bits: int) -> None:
    machine = dataclasses.replace(TINY, value_bits=value_bits, sum_bits=sum_bits)
    assert input_bits(machine) == bits
    values = [fixed.radix_table(plane, found.planes, 4)
              for found in [radix(1.0, bits, machine)] for plane in range(found.planes)]
    whole = fixed.radix_digits(np.arange(-1 << bits - 1, 1 << bits - 1), len(values), bits, 4)
    read = np.concatenate([table[digits] for table, digits in zip(values, whole, strict=True)])
    np.testing.assert_array_equal(read, fixed.saturate(read, value_bits))
    np.testing.assert_array_equal(-read, fixed.saturate(-read, sum_bits))


def test_outputs_have_headroom() -> None:
    out = made(nn.Conv2d(1, 2, 3), (1, 5, 5))
    low, high = out.ranges["conv2d"]
    largest = out.tensors["conv2d"].scale * 32767
    assert largest == pytest.approx(2 * max(-low, high))


# ---- the whole --------------------------------------------------------------------------------
def test_twice_the_same() -> None:
    module = nn.Sequential(nn.Conv2d(2, 8, 3), nn.GELU(), nn.MaxPool2d(2), nn.Conv2d(8, 4, 2))
    first, second = made(module, (2, 8, 8)), made(module, (2, 8, 8))
    assert first.ranges == second.ranges
    for name, meaning in first.tensors.items():
        other = second.tensors[name]
        assert meaning.scale == other.scale
        if isinstance(meaning, Codebook):
            np.testing.assert_array_equal(meaning.values, other.values)


def test_the_order_of_the_images_does_not_count() -> None:
    graph = canonicalise(trace(randomise(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(),
                                                       nn.Conv2d(4, 2, 3)), 0),
                               (torch.zeros(1, 1, 7, 7),)))
    x = np.random.default_rng(0).normal(size=(30, 1, 7, 7)).astype(np.float32)
    first, second = quantise(graph, x, TINY), quantise(graph, x[::-1].copy(), TINY)
    np.testing.assert_array_equal(first.tensors["0"].values, second.tensors["0"].values)


def test_clusters_must_be_positive() -> None:
    with pytest.raises(CompileError, match="^clusters must be a whole number, at "
                       "least 1, found 0; 16 is usual$"):
        made(nn.Conv2d(1, 1, 1), (1, 2, 2), clusters=0)


def test_wrong_calibration_is_refused() -> None:
    graph = canonicalise(trace(nn.Conv2d(1, 1, 1), (torch.zeros(1, 1, 2, 2),)))
    with pytest.raises(CompileError, match=r"^calibration: images of shape \(1, 2, 2\) are needed"):
        quantise(graph, np.zeros((3, 2, 2, 2), np.float32), TINY)
