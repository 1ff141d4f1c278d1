"""Errors of the compiler: the user's and ours."""

from ..arch.errors import KcnnError


class CompileError(KcnnError):
    """The user's network, data or configuration cannot be compiled."""


class InternalError(Exception):
    """A defect of kcnn: an invariant of an intermediate form does not hold."""
