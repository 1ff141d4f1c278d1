"""Errors of the compiler: the user's and ours."""

from ..arch.config import MOST, Config
from ..arch.errors import KcnnError


class CompileError(KcnnError):
    """The user's network, data or configuration cannot be compiled."""


class InternalError(Exception):
    """A defect of kcnn: an invariant of an intermediate form does not hold."""


def require(holds: bool, name: str, what: str) -> None:
    """An invariant: raise InternalError, `name what`, where it does not hold."""
    if not holds:
        raise InternalError(f"{name} {what}")


def too_small(config: Config, field: str, least: int, instead: str) -> str:
    """How a sentence ends about a field that is too small: the least value that works, or what to
    do instead where no machine can have it."""
    found = f"{field} = {getattr(config, field)} of configuration {config.name!r}; it needs "
    if least <= MOST[field]:
        return found + f"{field} = {least}"
    return found + f"{least}, but no machine has more than {MOST[field]}: {instead}"


def first_line(error: Exception) -> str:
    """What an error of the user's code or of torch says, its name if it says nothing."""
    return (str(error).strip() or type(error).__name__).partition("\n")[0].rstrip(".")
