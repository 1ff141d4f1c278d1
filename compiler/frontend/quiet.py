"""Torch's own words kept back: what it prints, logs and warns of while it exports or loads."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Within, prints, log lines and warnings go nowhere; errors rise as ever."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()),
              warnings.catch_warnings()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
