"""How many threads numpy's and torch's linear algebra may take."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from threadpoolctl import threadpool_limits


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One thread of linear algebra for what is loaded by now; what was set before returns.

    Threads of products as small as ours wait for one another more than they compute: where another
    process has the other of two cores, compiling ResNet-20 takes 1.5 times as long with two, and
    the reference twice as long.
    """
    with threadpool_limits(limits=1):
        yield
