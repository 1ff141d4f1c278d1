"""The text of every form that a stage makes."""

from __future__ import annotations

from typing import Any

from ..arch.overview import overview
from ..arch.program import Program


def text(form: Any) -> str:
    """What people read of a form: lines, the last one ended too."""
    return f"{overview(form) if isinstance(form, Program) else form}\n"
