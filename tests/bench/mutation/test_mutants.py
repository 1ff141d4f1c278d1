"""The changes that are tried: of values and not of annotations, each with its place."""

from __future__ import annotations

import ast

import pytest
from scripts import script

pytest.importorskip("cosmic_ray")
mutants = script("bench/mutation/mutants")

TEXT = '''"""Docstring with 1 and a > b."""

class Box:
    def most(self, a: int | None, b: int = 3) -> int | None:
        return max(0, a) if a > b else b
'''


def changes(text, every=False):
    return {(m.scope, m.before, m.after) for m in mutants.mutants(text, every)}


def test_places_are_told_by_scope_and_lines():
    found = changes(TEXT, every=True)
    line = "return max(0, a) if a > b else b"
    assert {after for scope, before, after in found if before == line} >= {
        "return (0) if a > b else b", "return (a) if a > b else b",
        "return max(0, a) if a >= b else b", "return max( 1, a) if a > b else b"}
    assert {scope for scope, _, _ in found} == {"Box.most"}
    assert all(before in TEXT and before != after for _, before, after in found)


def test_every_mutant_is_the_file_with_one_other_meaning():
    for mutant in mutants.mutants(TEXT, every=True):
        assert ast.dump(ast.parse(mutant.text)) != ast.dump(ast.parse(TEXT))
        assert mutant.text.count("\n") == TEXT.count("\n")


def test_each_place_is_changed_once_and_not_differently_after_an_edit_elsewhere():
    one = changes(TEXT)
    assert one < changes(TEXT, every=True)
    assert one <= changes("import os\n\nOTHER = 1 + 2\n\n\n" + TEXT)


def test_annotations_and_conversions_do_not_count():
    assert not changes("def f(a: int | None) -> list[int | str]:\n    return a\n", every=True)
    assert not changes("def f(a):\n    return int(a)\n", every=True)
