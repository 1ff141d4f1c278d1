"""From the traced to the canonical graph: the passes, in order.

Every pass is a function Graph -> Graph that leaves its argument alone; each is exact up to the
rounding of floating-point numbers.
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import InternalError
from ..ir.graph import Graph
from ..ir.verify import verify
from .check import check
from .flatten import flatten
from .fold_batch_norm import fold_batch_norm
from .fold_padding import fold_padding
from .fuse_activations import fuse_activations
from .fuse_adds import fuse_adds
from .insert_copies import insert_copies
from .merge_slices import merge_slices
from .separate_batch_norm import separate_batch_norm

PASSES: tuple[Callable[[Graph], Graph], ...] = (
    # first, since a batch norm may only enter a convolution behind it that has no padding
    fold_padding,
    # before batch norms are folded into a slice, which is then none any more
    merge_slices,
    # before flatten: a batch norm between Flatten and Linear goes into the Linear's weights
    fold_batch_norm,
    # turns every Linear behind a Flatten into a convolution over the map
    flatten,
    # again: a batch norm behind a Flatten that had to be made a convolution goes into that
    fold_batch_norm,
    # what is left of batch norms becomes convolutions of its own, before others can join them
    separate_batch_norm,
    # before activations: an addition can only join a convolution that has no function yet
    fuse_adds,
    fuse_activations,
    # last: it looks at who reads what in the final graph
    insert_copies,
)


def canonicalise(graph: Graph) -> Graph:
    """The canonical form of a traced graph (see graph.py), checked.

    So is what every pass makes: InternalError, with the name of the pass, where it is no graph.
    """
    for run in PASSES:
        graph = run(graph)
        try:
            verify(graph)
        except InternalError as error:
            raise InternalError(f"pass {run.__name__}: {error}") from error
    check(graph)
    return graph


__all__ = ["PASSES", "canonicalise", "check"]
