"""The comparison of two states of the repository: it sees every kind of difference."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import strategies
from kcnn.arch import kbin
from kcnn.arch.errors import KcnnError
from scripts import script

same = script("bench/same")
PROGRAM = strategies.small_program()


def test_what_is_different_or_missing_is_told():
    before = {"a": "1" * 64, "b": "2" * 64, "c": "3"}
    now = {"a": "1" * 64, "b": "4" * 64, "d": "5"}
    assert same.differences(before, before) == []
    assert same.differences(before, now) == [
        f"b: {'2' * 12} before, {'4' * 12} now", "c: 3 before, missing now",
        "d: missing before, 5 now"]


def test_sections_differ_where_the_program_does_and_not_by_the_format():
    data = bytearray(kbin.save(PROGRAM))
    before = dict(same._sections(bytes(data)))
    data[8] += 1                                              # the header's format field
    assert dict(same._sections(bytes(data))) == before
    other = dataclasses.replace(PROGRAM, streams=PROGRAM.streams + bytes(16))
    now = dict(same._sections(kbin.save(other)))
    assert [name for name in before if before[name] != now[name]] == ["section streams"]


def test_arrays_differ_by_value_shape_and_type():
    digests = [same._digest(*arrays) for arrays in (
        [np.arange(4)], [np.arange(4)[::-1].copy()], [np.arange(4).reshape(2, 2)],
        [np.arange(4, dtype=np.int32)], [np.arange(2), np.arange(2, 4)])]
    assert len(set(digests)) == 5


def test_a_network_too_large_for_a_machine_is_recorded_as_such(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_):
        raise KcnnError("too large")
    monkeypatch.setattr(same, "compiled", refuse)
    assert dict(same._case("odd", same.WIDE, 1)) == {"compiles": "no"}


def test_exit_code_tells_whether_all_is_the_same(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "before.json"
    monkeypatch.setattr(same, "record", lambda networks: {"net": "digest", "all": str(networks)})
    monkeypatch.setattr("sys.argv", ["same.py", "-o", str(file)])
    same.main()
    for extra, code in (([], 0), (["--all"], 1)):
        monkeypatch.setattr("sys.argv", ["same.py", str(file), *extra])
        with pytest.raises(SystemExit) as stopped:
            same.main()
        assert stopped.value.code == code
    assert json.loads(file.read_text())["net"] == "digest"
    assert capsys.readouterr().out.splitlines()[-1] == "1 of 2 are the same"


STUB = """
import json, os, sys
import kcnn.there
from pathlib import Path
out = Path(sys.argv[sys.argv.index("-o") + 1])
out.write_text(json.dumps({"from": kcnn.there.NAME, "rest": " ".join(sys.argv[3:])}))
"""


def test_a_commit_is_recorded_once_by_its_own_script(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    files = {"bench/same.py": STUB, "there.py": "NAME = 'the commit'"}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    asked = []

    def git(*words: str) -> bytes:
        asked.append(words[0])
        return packed.getvalue() if words[0] == "archive" else b"0123abcd\n"
    monkeypatch.setattr(same, "_git", git)
    monkeypatch.setattr(same, "KEPT", tmp_path / "kept")
    expected = {"from": "the commit", "rest": "--all"}
    assert same.of_commit("HEAD", True) == same.of_commit("HEAD", True) == expected
    assert asked == ["rev-parse", "archive", "rev-parse"]
    assert (tmp_path / "kept" / "0123abcd_all.json").exists()
