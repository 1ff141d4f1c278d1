"""Errors of the compiler: the user's and ours."""

from ..arch.errors import KcnnError


class CompileError(KcnnError):
    """The user's network, data or configuration cannot be compiled."""


class InternalError(Exception):
    """A defect of kcnn: an invariant of an intermediate form does not hold."""


def first_line(error: Exception) -> str:
    """What an error of the user's code or of torch says, its name if it says nothing."""
    return (str(error).strip() or type(error).__name__).partition("\n")[0].rstrip(".")
