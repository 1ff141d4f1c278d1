"""A fact has one home: no number of the machine and no function stands twice."""

from __future__ import annotations

import ast
import statistics
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MACHINE = ("arch", "tlm", "rtl")
PACKAGES = (*MACHINE, "compiler", "compress", "engines", "api", "cli")
LEAST = 250              # characters of a dumped body that is more than a call
LONG = 20                # lines of a function that is not short
MOST = 90                # lines of a block, its processes included
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


def lengths(*folders: str) -> dict[str, int]:
    """Lines of every function, decorators apart."""
    return {f"{place}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1
            for place, tree in trees(folders) for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno}


def test_functions_are_short() -> None:
    found = lengths(*(folder for folder in PACKAGES if folder != "rtl"), "bench")
    long = [place for place, lines in found.items() if lines >= LONG]
    assert statistics.median(found.values()) <= 7
    assert len(long) <= len(found) // 10, long


def test_blocks_are_read_on_two_screens() -> None:
    assert [place for place, lines in lengths("rtl").items() if lines > MOST] == []


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
