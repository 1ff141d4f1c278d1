"""`kcnn disasm`: a binary as text."""

from __future__ import annotations

import sys

from ..arch import kbin, text
from . import options


def disasm(net: options.Binary) -> None:
    """Print a binary as text.

    `kcnn asm` turns the text back into the same bytes.

    \b
    kcnn disasm NET.kbin > NET.asm
    """
    sys.stdout.write(text.disassemble(kbin.read(net)))
