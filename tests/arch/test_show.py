"""Tables as text and as HTML."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from kcnn.arch.show import Shown, as_html, as_text, decibel, percent, table

SHOWN = table("layers", ("name", "taps", "bound"),
              [("stem", 1234, "taps"), ("fc", None, "drain"), ("(end)", 7)], (0, 2))


def test_columns_line_up_as_text() -> None:
    assert as_text([SHOWN, "done"]).split("\n") == [
        "layers", "name    taps  bound", "stem   1,234  taps", "fc         -  drain",
        "(end)      7", "done"]


def test_a_table_without_names_of_columns_has_no_head() -> None:
    bare = table("sizes", ("", ""), {"bytes": 12}.items())
    assert as_text([bare]) == "sizes\nbytes  12"
    assert ElementTree.fromstring(as_html([bare])).find(".//thead") is None


def test_html_is_well_formed_and_has_the_rows() -> None:
    found = ElementTree.fromstring(as_html([SHOWN, "done"]))
    assert [part.tag for part in found] == ["table", "p"] and found[1].text == "done"
    assert found.findtext(".//caption") == "layers"
    assert [cell.text for cell in found.iter("th")] == ["name", "taps", "bound"]
    assert [[cell.text for cell in row.iter("td")] for row in found.findall(".//tbody/tr")] == [
        ["stem", "1,234", "taps"], ["fc", "-", "drain"], ["(end)", "7"]]
    sides = [cell.get("style") for cell in found.iter("th")]
    assert sides == [f"text-align: {side}" for side in ("left", "right", "left")]


def test_names_smuggle_nothing_into_html() -> None:
    evil = "<script>alert('&')</script>\x1b[2J"
    found = ElementTree.fromstring(as_html([table(evil[:-4], (evil[:-4],), [(evil,)]), evil[:-4]]))
    assert found.find(".//script") is None
    assert found.findtext(".//td") == "<script>alert('&')</script>\\x1b[2J"


def test_what_shows_itself_has_one_form_for_text_and_notebook() -> None:
    class Two(Shown):
        def parts(self):
            yield SHOWN
            yield "done"

    assert str(Two()) == as_text([SHOWN, "done"])
    assert Two()._repr_html_() == as_html([SHOWN, "done"])


@pytest.mark.parametrize("function, value, said", [
    (percent, 0.1234, "12.3 %"), (percent, None, None), (decibel, 3.21, "3.2 dB"),
    (decibel, None, None)])
def test_figures_have_their_unit(function, value, said) -> None:
    assert function(value) == said
