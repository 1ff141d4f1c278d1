"""How messages name what the user gives: arguments in Python, options on the command line."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Names:
    """program: where it comes from. shell: the user writes options, not arguments.

    >>> Names().option("min_sqnr"), Names(shell=True).option("min_sqnr")
    ('min_sqnr', '--min-sqnr')
    >>> Names().flag("trust"), Names(shell=True).flag("trust")
    ('trust=True', '--trust')
    """

    program: str = "the program"
    shell: bool = False

    def option(self, name: str) -> str:
        """An argument that takes a value."""
        return f"--{name.replace('_', '-')}" if self.shell else name

    def flag(self, name: str) -> str:
        """An argument that is on or off, on."""
        return self.option(name) if self.shell else f"{name}=True"


PYTHON = Names()
