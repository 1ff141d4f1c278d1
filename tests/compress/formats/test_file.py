"""Files of layers: every format and coder gives back every bit; damage is told."""

from __future__ import annotations

import numpy as np
import pytest
from codings import layer, layers
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.compress import entropy
from kcnn.compress.errors import CompressError
from kcnn.compress.formats import FORMATS
from kcnn.compress.formats.coded import Coded
from kcnn.compress.formats.file import read, sizes, write


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=20)
@given(coded=layers(), coder=st.sampled_from(entropy.METHODS))
def test_every_format_and_coder_gives_back_every_bit(name: str, coded: Coded, coder: str) -> None:
    assert FORMATS[name].fits(coded)
    data = write(coded, name, coder)
    assert read(data).same(coded)
    assert write(read(data), name, coder) == data
    found = sizes(coded, name, [coder])
    assert found[coder] == len(data) and set(found) == {coder, "entropy"}


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=20)
@given(seed=st.integers(0, 2 ** 32 - 1), coder=st.sampled_from(entropy.METHODS))
def test_damaged_files_are_refused_or_still_layers(name: str, seed: int, coder: str) -> None:
    rng = np.random.default_rng(seed)
    shape = (5, 40, 1, 1) if seed % 3 else (4, 3, 3, 3)
    whole = bytearray(write(layer(shape, 3, 0.3, seed), name, coder))
    for _ in range(rng.integers(1, 3)):
        whole[rng.integers(len(whole))] ^= 1 << rng.integers(8)
    data = bytes(whole[:rng.integers(len(whole))] if seed % 2 else whole)
    try:
        found = read(data)
    except CompressError as error:
        assert str(error).count("\n") == 0
    else:
        assert found.dense().dtype == np.float32


@pytest.mark.parametrize("change, sentence", [
    (lambda d: d[:-1], "is cut off"),
    (lambda d: d + b"\0", "follow the last section"),
    (lambda d: b"\xff" + d[1:], "no format of kcnn"),
    (lambda d: b"", "is cut off"),
    (lambda d: d[:4] + b"\xff" * 12 + d[16:], "too large"),
])
def test_what_is_wrong_is_said(change, sentence: str) -> None:
    with pytest.raises(CompressError, match=sentence):
        read(change(write(layer((3, 4, 3, 3), 3, 0.5, 0), "bitmap")))


def test_the_head_is_as_documented() -> None:
    coded = Coded(np.array([[[[1]], [[0]], [[3]]]], np.uint8), 2,
                  np.array([0, 0.5, 1, -1], np.float32), np.array([2], np.float32))
    assert write(coded, "dense") == bytes.fromhex(
        "00000200" "01000000" "03000000" "01000000" "01000000" "01000000"
        "04000000" "00000000" "0000003f" "0000803f" "000080bf" "00000040"
        "01" "02" "03000000" "01000000" "31")
