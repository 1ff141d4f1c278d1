"""What a program tells of itself."""

from __future__ import annotations

import dataclasses
from xml.etree import ElementTree

from kcnn.api import describe
from kcnn.arch.meta import Meta


def test_a_program_shows_itself(work):
    rows = [[cell.text for cell in row]
            for row in ElementTree.fromstring(work.net._repr_html_()).iter("tr")]
    assert ["configuration", "tiny"] in rows and ["input input", "1x3x8x8"] in rows
    assert [row[0] for row in rows if row[1] == "Conv2d"] == ["0"]
    assert "layers\nlayer" in str(work.net) and "most is lost in" in str(work.net)


def test_what_is_not_known_is_left_out(work):
    bare = dataclasses.replace(work.net.program, meta=Meta())
    sizes, *rest = describe.parts(describe.describe(bare, 5))
    named = [row[0] for row in sizes.rows]
    assert "times fewer" not in named and "preprocess of the input" not in named
    assert ("file, bytes", 5) in sizes.rows and len(rest) == 2
