"""`kcnn disasm`: a binary as text."""

from __future__ import annotations

import sys

from ..arch import kbin, scratch, text
from . import options, report


def disasm(net: options.Binary) -> None:
    """Print a binary as text.

    `kcnn asm` turns the text back into the same bytes. The lines of the layer table (.layer) are
    long; a binary that was compiled with --strip has none.

    \b
    kcnn disasm NET.kbin > NET.asm
    """
    found = text.disassemble(kbin.read(net))
    with scratch.named(report.SCREEN):
        sys.stdout.write(found)
