"""How many threads numpy's and torch's linear algebra may take."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from threadpoolctl import threadpool_limits


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One thread of linear algebra for what is loaded by now; what was set before returns.

    On two cores that a dozen processes shared, compiling ResNet-20 took 1.4 to 1.8 times as long
    with the two threads that are the default, and the reference twice as long; the bytes were the
    same. An idle machine was not measured.
    """
    with threadpool_limits(limits=1):
        yield
