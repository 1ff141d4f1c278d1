"""Names: what reaches a terminal is printable and short."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kcnn.arch import names

HARMFUL = ["\x1b[31mred", "line\nfeed", "tab\t", "nul\0", "\x9b2J", "right\u202eto left",
           "\u2066isolate", "\ud800", "\u2028", "\x7f"]


@pytest.mark.parametrize("name", ["x", "features.0.conv", "größe", "名前", "a b", "x" * names.MOST])
def test_legal_names(name):
    assert names.legal(name) and names.printable(name) == name


@pytest.mark.parametrize("name", [*HARMFUL, "", "x" * (names.MOST + 1), None, 3, b"x"])
def test_others_are_not(name):
    assert not names.legal(name)


@pytest.mark.parametrize("name", HARMFUL)
def test_what_is_shown_is_printable(name):
    for said in (names.printable(name), names.shown(name), names.shown([name])):
        assert said.isprintable() and said != name


@given(st.text())
def test_clean_names_are_legal_and_good_ones_stay(text):
    assert names.legal(names.clean(text))
    if names.legal(text) and len(text) <= names.CLEANED:
        assert names.clean(text) == text


def test_clean_keeps_both_ends_of_a_long_name():
    found = names.clean("a" * 300 + "z" * 300)
    assert len(found) <= names.CLEANED and found.startswith("aaa") and found.endswith("zzz")
    assert "..." in found


def test_long_values_are_cut():
    assert names.shown([1, 2]) == "[1, 2]"
    assert names.shown("x" * 10_000) == "'" + "x" * 59 + "..."
    assert len(names.shown([1] * 10_000)) <= names.SHOWN + 3
