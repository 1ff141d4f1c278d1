"""A fact has one home: no number of the machine and no function stands twice."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MACHINE = ("arch", "tlm", "rtl")
PACKAGES = (*MACHINE, "compiler", "compress", "engines", "api", "cli")
LEAST = 250              # characters of a dumped body that is more than a call
# two facts of one name and value: sections of a file, areas of external memory
APART = {"ALIGN"}


def trees(folders: tuple[str, ...]) -> Iterator[tuple[str, ast.Module]]:
    for folder in folders:
        for file in sorted((ROOT / folder).rglob("*.py")):
            yield str(file.relative_to(ROOT)), ast.parse(file.read_text())


def test_no_number_of_the_machine_stands_twice() -> None:
    homes = defaultdict(list)
    for place, tree in trees(MACHINE):
        for node in tree.body:
            if (isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
                    and isinstance(node.value.value, int)
                    and isinstance(node.targets[0], ast.Name)):
                homes[node.targets[0].id, node.value.value].append(place)
    assert {name: places for (name, _), places in homes.items()
            if len(places) > 1 and name not in APART} == {}


def test_no_function_stands_twice() -> None:
    homes = defaultdict(list)
    for place, tree in trees(PACKAGES):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                body = [part for part in node.body if not (
                    isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))]
                homes["".join(map(ast.dump, body))].append(f"{place}: {node.name}")
    assert [places for body, places in homes.items()
            if len(places) > 1 and len(body) >= LEAST] == []
