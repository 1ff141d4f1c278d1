"""Checkpoint files: whole or as before."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from kcnn.compiler.compress import checkpoint
from kcnn.compiler.compress.errors import CompressError


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    checkpoint.write(path, {"epoch": 2, "weights": {"a": torch.arange(4)}, "name": None})
    found = checkpoint.read(path)
    assert (found["epoch"], found["name"]) == (2, None)
    assert torch.equal(found["weights"]["a"], torch.arange(4))
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]


def test_an_interrupt_while_writing_keeps_the_old_file(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.pt"
    checkpoint.write(path, {"epoch": 1})

    def interrupted(state: object, file: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.write(path, {"epoch": 2})
    assert checkpoint.read(path) == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    checkpoint.write(path, {"epoch": 1, "weights": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(CompressError, match="remove it"):
        checkpoint.read(path)
    with pytest.raises(CompressError, match="remove it"):
        checkpoint.read(tmp_path / "missing.pt")
    path.write_text("text")
    with pytest.raises(CompressError, match="no checkpoint of kcnn .it begins differently"):
        checkpoint.read(path)
