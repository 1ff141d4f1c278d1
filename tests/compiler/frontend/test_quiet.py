"""Torch's own words kept back."""

from __future__ import annotations

import logging
import sys
import warnings

import pytest
from kcnn.compiler.frontend.quiet import quiet


def test_nothing_is_said_within_and_everything_after(capfd: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("kcnn.tests.quiet")
    log.addHandler(logging.StreamHandler(sys.stderr))
    with pytest.raises(ValueError, match="^risen$"), quiet():
        print("printed")
        print("complained", file=sys.stderr)
        log.error("logged")
        warnings.warn("warned", stacklevel=1)
        raise ValueError("risen")
    assert capfd.readouterr() == ("", "")
    log.error("logged")
    assert capfd.readouterr().err == "logged\n"
