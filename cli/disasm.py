"""`kcnn disasm`: a binary as text."""

from __future__ import annotations

import sys

from .. import api
from ..arch import scratch
from . import options, report


def disasm(net: options.Binary) -> None:
    """Print a binary as text.

    `kcnn asm` turns the text back into the same bytes. The lines of the layer table (.layer) are
    long; a binary that was compiled with --strip has none.

    \b
    kcnn disasm NET.kbin > NET.asm
    """
    found = api.load(net, shell=True).disassemble()
    with scratch.named(report.SCREEN):
        sys.stdout.write(found)
