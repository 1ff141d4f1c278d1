"""Is a program one that a machine of its configuration executes?"""

from __future__ import annotations

from . import isa
from .errors import FormatError
from .program import Program


def verify(program: Program) -> None:
    """Raise FormatError for a program that breaks a rule of docs/machine.md."""
    if not program.instructions or not isinstance(program.instructions[-1], isa.End):
        raise FormatError("the last instruction must be END; recompile the network")
