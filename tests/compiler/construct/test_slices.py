"""Parts, channels by number and padding: their sizes, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kcnn.compiler.construct import slices
from kcnn.compiler.construct.site import Site, Value, input_
from kcnn.compiler.errors import CompileError
from kcnn.compiler.ir.graph import Graph
from kcnn.compiler.ir.slices import picked


def start(shape: tuple[int, int, int] = (6, 5, 4)) -> tuple[Site, Value]:
    site = Site(Graph(), "a", "slice")
    return site, input_(Site(site.graph, "forward", "x"), shape)


@pytest.mark.parametrize(("dim", "lines"), [(1, range(1, 6, 2)), (2, range(0, 5, 3)),
                                            (3, range(3, 4))])
def test_parts_have_the_sizes_of_torch(dim: int, lines: range) -> None:
    part = slices.part(*start(), dim, lines)
    other = torch.zeros(1, 6, 5, 4).index_select(dim, torch.tensor(lines))
    assert part.shape == part.sizes == other.shape[1:]


def test_parts_of_features_stay_features() -> None:
    site, x = start((6, 1, 1))
    part = slices.part(site, Value(x.node, x.shape, (6,)), 1, range(2))
    assert (part.shape, part.sizes) == ((2, 1, 1), (2,))


def test_negative_numbers_count_from_the_end() -> None:
    site, x = start()
    channels = picked(site.graph[slices.pick(site, x, 1, np.array([0, -1, 0])).node].op)
    assert channels is not None and channels.tolist() == [0, 5, 0]


def test_shuffles_go_through_groups() -> None:
    site, x = start()
    channels = picked(site.graph[slices.channel_shuffle(site, x, 2).node].op)
    assert channels is not None and channels.tolist() == [0, 3, 1, 4, 2, 5]


def test_padding_has_the_sizes_of_torch() -> None:
    padded = slices.pad(*start(), [1, 0, 2, 3, 1, 1])
    assert padded.shape == torch.nn.functional.pad(torch.zeros(1, 6, 5, 4), (1, 0, 2, 3, 1, 1))[
        0].shape
    site, x = start()
    assert slices.pad(site, x, [0, 0]) == x


@pytest.mark.parametrize(("build", "sentence"), [
    (lambda at, x: slices.part(at, x, 0, range(1)), "it takes some of the images"),
    (lambda at, x: slices.part(at, x, 2, range(0)), "nothing is left of its tensor"),
    (lambda at, x: slices.part(at, Value("x", x.shape, (6, 20)), 2, range(3)),
     "it does not read whole maps; slice before the flattening"),
    (lambda at, x: slices.pick(at, x, 2, np.arange(2)), r"something else than channels \(dim=1\)"),
    (lambda at, x: slices.pick(at, x, 1, np.ones((1, 2), int)), "than a list of numbers"),
    (lambda at, x: slices.pad(at, x, [1, 1], 2.0), "it pads with something else than zeros"),
    (lambda at, x: slices.pad(at, x, [-1, 1]), "can be padded, and not cropped"),
    (lambda at, x: slices.pad(at, x, [0] * 6 + [1, 0]), "only channels, height and width can be"),
])
def test_what_cannot_be_is_refused(build: object, sentence: str) -> None:
    with pytest.raises(CompileError, match=rf"^a: slice is not supported here \(.*{sentence}"):
        build(*start())
