"""The bench of compile times: a line a stage and the sum."""

from __future__ import annotations

from scripts import script

compiling = script("bench/compression/compiling")


def test_stages_are_added_up() -> None:
    lines = compiling.table("net", [("lower", 1.0, 0.5, 10), ("scale", 2.0, 1.5, 2000)])
    last = lines.splitlines()[-1]
    assert last.split() == ["all", "3.0", "2.0", "2,000"]
