"""Tables on screens of any width."""

from __future__ import annotations

import pytest
from kcnn.cli import report

CAUSES = ("layer", "taps", "null_taps", "setup", "stream", "multiplier", "gate", "tail", "waiting",
          "sum")


@pytest.mark.parametrize("width", [80, 100, 140])
def test_a_table_breaks_no_word_where_it_has_room(monkeypatch, capsys, width) -> None:
    monkeypatch.setattr(report, "WIDTH", width)
    report.table("cycles by cause", CAUSES, [("stem", *9 * [12345])])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "cycles by cause"
    assert CAUSES in [tuple(line.split()) for line in lines]
    assert all(len(line) <= width for line in lines)


def test_a_warning_is_one_printable_line(capsys):
    report.warn("a\nname \x1b[2J of anybody")
    assert capsys.readouterr().err == "kcnn: warning: a name \\x1b[2J of anybody\n"
