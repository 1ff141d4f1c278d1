"""Errors of compression that a user can cause."""

from ..arch.errors import KcnnError


class CompressError(KcnnError):
    """The user's network, data or settings cannot be compressed."""
