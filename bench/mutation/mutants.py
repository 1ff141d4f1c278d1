"""The mutants of a file: every place that an operator can change, each changed in one way.

The operators are Cosmic Ray's, and one more: a call becomes one of its arguments. Which of the
changes that are possible at a place is made follows from the text of its line alone, so that an
edit elsewhere leaves it as it is.
"""

from __future__ import annotations

import ast
import dataclasses
import zlib
from collections.abc import Iterator

import parso.python.tree
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.operators.operator import Example, Operator
from cosmic_ray.operators.provider import OperatorProvider

# these put random numbers in place of variables
LEFT_OUT = ("VariableReplacer", "VariableInserter")
# calls that change the type of a number and not the number
CONVERSIONS = ("int", "bool", "float", "str", "tuple", "list", "np.asarray", "np.array")


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One change: the function that holds it, its lines before and after, the file's new text."""

    scope: str
    before: str
    after: str
    text: str


class CallToArgument(Operator):
    """f(a, b) becomes a, or b: what a function left out looks like."""

    def mutation_positions(self, node):  # type: ignore[no-untyped-def]
        for _ in _arguments(node):
            yield node.start_pos, node.end_pos

    def mutate(self, node, index):  # type: ignore[no-untyped-def]
        code = _arguments(node)[index].get_code(include_prefix=False)
        return parso.python.tree.Name(f"({code})", node.start_pos, node.get_first_leaf().prefix)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return Example("x = f(a, b)", "x = (a)"), Example("x = f(a, b)", "x = (b)", occurrence=1)


def _arguments(node):  # type: ignore[no-untyped-def]
    """The positional arguments of a call that does more than convert."""
    if node.type != "atom_expr" or node.children[-1].children[0] != "(":
        return []
    if "".join(c.get_code().strip() for c in node.children[:-1]) in CONVERSIONS:
        return []
    inner = node.children[-1].children[1:-1]
    given = inner[0].children[::2] if inner and inner[0].type == "arglist" else inner
    return [a for a in given if a.type != "argument"]


def mutants(text: str, every: bool = False) -> Iterator[Mutant]:
    """Mutants of a file's text, in an order that has nothing to do with that of its lines.

    every: all changes of each place, not one of them.
    """
    meaning, scopes, lines = _meaning(text), _scopes(text), text.splitlines()
    places = []
    for (kind, (line, column)), changes in _places(text).items():
        key = f"{kind} {scopes.get(line, '')} {column} {lines[line - 1]}"
        places.append((zlib.crc32(key.encode()), scopes.get(line, ""), changes))
    for number, scope, changes in sorted(places, key=lambda place: place[0]):
        for change in changes if every else [changes[number % len(changes)]]:
            changed = _changed(text, change)
            if _meaning(changed) not in (meaning, ""):
                yield _mutant(scope, text, changed)


@dataclasses.dataclass(frozen=True)
class _Change:
    """The operator, the number of the node in the tree, and which of the operator's ways."""

    operator: Operator
    node: int
    way: int


def _places(text: str) -> dict[tuple[str, tuple[int, int]], list[_Change]]:
    """The possible changes by kind and place (line, column)."""
    places: dict[tuple[str, tuple[int, int]], list[_Change]] = {}
    nodes = list(ast_nodes(get_ast(text)))
    for operator in _operators():
        kind = type(operator).__name__.split("_")[0]
        for number, node in enumerate(nodes):
            for way, (start, _) in enumerate(operator.mutation_positions(node)):
                places.setdefault((kind, start), []).append(_Change(operator, number, way))
    return places


def _changed(text: str, change: _Change) -> str:
    nodes = list(ast_nodes(get_ast(text)))
    node = nodes[change.node]
    parent = node.parent
    new = change.operator.mutate(node, change.way)
    parent.children = [child for old in parent.children
                       if (child := new if old is node else old) is not None]
    return nodes[0].get_code()


def _operators() -> Iterator[Operator]:
    provider = OperatorProvider()
    for name in provider:
        if name not in LEFT_OUT:
            yield provider[name]()
    yield CallToArgument()


def _meaning(text: str) -> str:
    """What a file says, its annotations apart; nothing if it is no Python."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return ""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
    return ast.dump(tree)


def _scopes(text: str) -> dict[int, str]:
    """The innermost function or class of each line."""
    found: dict[int, str] = {}

    def visit(node: ast.AST, outer: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                name = f"{outer}.{child.name}" if outer else child.name
                first = min([child.lineno, *(d.lineno for d in child.decorator_list)])
                found.update(dict.fromkeys(range(first, (child.end_lineno or first) + 1), name))
                visit(child, name)
    visit(ast.parse(text), "")
    return found


def _mutant(scope: str, before: str, after: str) -> Mutant:
    old, new = before.splitlines(), after.splitlines()
    same = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), len(old))
    rest = next((i for i, (a, b) in enumerate(zip(old[:same:-1], new[:same:-1], strict=False))
                 if a != b), min(len(old), len(new)) - same - 1)
    was, now = (" ".join(part.strip() for part in side[same:len(side) - rest])
                for side in (old, new))
    return Mutant(scope, was, now, after)
