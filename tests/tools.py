"""External tools in tests: run them, or skip with a reason where they are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest


def need(*tools: str) -> None:
    """Skip the test when one of the tools is missing; fail instead where CI is set."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if not missing:
        return
    reason = f"{', '.join(missing)} not found on PATH"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def output_of(command: Sequence[str], folder: Path, seconds: int = 300) -> str:
    """Standard output and error of a command that must succeed."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=seconds)
    text = done.stdout + done.stderr
    assert done.returncode == 0, f"{' '.join(command)} exits with {done.returncode}\n{text[:4000]}"
    return text
