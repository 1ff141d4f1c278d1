"""Checkpoint files: whole or as before."""

from __future__ import annotations

from pathlib import Path

import pytest
import slim_networks
import torch
from kcnn.compress import budget, checkpoint
from kcnn.compress.data import Data
from kcnn.compress.errors import CompressError


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
    with pytest.raises(CompressError, match="to begin again$"):
        checkpoint.read(path)
    with pytest.raises(CompressError, match="to begin again$"):
        checkpoint.read(tmp_path / "missing.pt")
    path.write_text("text")
    with pytest.raises(CompressError, match="no checkpoint of this kcnn .it begins differently"):
        checkpoint.read(path)
    path.write_bytes(b"kcnn checkpoint 1\nrest")
    with pytest.raises(CompressError, match=f".it is of another version.; remove {tmp_path} to"):
        checkpoint.read(path)


def test_every_changed_byte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    checkpoint.write(path, {"weights": torch.arange(4.0)})
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1:])
        with pytest.raises(CompressError, match="remove .* to begin again"):
            checkpoint.read(path)


@pytest.mark.parametrize("kept", ["rounds", "first", "settings"])
def test_what_an_older_version_did_not_keep_is_told(tmp_path: Path, kept: str) -> None:
    module, settings = slim_networks.chain(), budget.Settings(budget=0.5, images=8)
    x, y = slim_networks.images(), torch.arange(16) % 2
    data = Data(x, y, x, y)
    path = tmp_path / "lower.search"

    def stop(*_: object) -> None:
        raise ZeroDivisionError

    search = budget._Search(module, data, settings, stop, budget.macs, stop)
    state = search.state()
    del state[kept]
    checkpoint.write(path, state)
    with pytest.raises(CompressError, match=f"{path}: of another version of kcnn.*'{kept}'"):
        budget.slim(module, data, settings, stop, path=path)


@pytest.mark.parametrize("error", [AttributeError, KeyError, RuntimeError, TypeError, ValueError])
def test_whatever_restoring_raises_is_one_sentence(tmp_path: Path, error: type) -> None:
    path = tmp_path / "state.pt"
    checkpoint.write(path, {"epoch": 1})

    def restore(state: object) -> None:
        raise error("size mismatch\nfor a")

    with pytest.raises(CompressError, match="of another network .*size mismatch.*to begin again$"):
        checkpoint.resume(path, restore)
