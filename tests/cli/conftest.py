"""Running the command line inside the test's process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import hand as by_hand
import numpy as np
import pytest
from kcnn.arch import kbin
from kcnn.cli.__main__ import run


@dataclasses.dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def hand():
    """The module of the program put together by hand."""
    return by_hand


@pytest.fixture
def kcnn(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run `kcnn` with these arguments."""
    def call(*arguments: object) -> Ran:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        return Ran(code, *capfd.readouterr())
    return call


@pytest.fixture
def net(hand, tmp_path: Path) -> Path:
    """The binary of the program put together by hand."""
    kbin.write(tmp_path / "net.kbin", hand.program())
    return tmp_path / "net.kbin"


@pytest.fixture
def images(hand, tmp_path: Path) -> Path:
    """Three images for it."""
    np.save(tmp_path / "x.npy", hand.images(3))
    return tmp_path / "x.npy"
