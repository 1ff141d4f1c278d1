"""Errors of the compiler: the user's and ours."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ..arch.config import MOST, Config
from ..arch.errors import KcnnError


@dataclasses.dataclass(frozen=True)
class Need:
    """A field of the configuration that is too small, and the least value that would do.

    layer: torch path of what needs it most. what: of the layer, up to the field's name; instead:
    what to do where no machine has as much; other: what would do as well. sure: less would not do;
    else the value is enough, but rounding may leave taps out.
    """

    field: str
    least: int
    layer: str
    what: str
    instead: str = ""
    other: str = ""
    sure: bool = True


class CompileError(KcnnError):
    """The user's network, data or configuration cannot be compiled.

    needs: what the configuration lacks, all of it that is known; with all of these values instead
    the network compiles as far as they are concerned.
    """

    def __init__(self, text: str, needs: Sequence[Need] = ()) -> None:
        super().__init__(text)
        self.needs = tuple(needs)


class InternalError(Exception):
    """A defect of kcnn: an invariant of an intermediate form does not hold."""


def require(holds: bool, name: str, what: str) -> None:
    """An invariant: raise InternalError, `name what`, where it does not hold."""
    if not holds:
        raise InternalError(f"{name} {what}")


def too_small(config: Config, needs: Sequence[Need]) -> CompileError:
    """The refusal of a configuration: one sentence about all that it lacks, at least one."""
    found = _listed([f"layer {need.layer}: {need.what} {need.field} = "
                     f"{getattr(config, need.field)}" for need in needs])
    wanted = _listed([_wanted(need) for need in needs])
    return CompileError(f"{found} of configuration {config.name!r}; it needs {wanted}", needs)


def _wanted(need: Need) -> str:
    """The least value, or what to do instead where no machine can have it."""
    most = MOST.get(need.field, need.least)
    wanted = f"{'' if need.sure else 'at most '}{need.field} = {need.least}"
    if need.least > most:
        wanted += f", but no machine has more than {most}: {need.instead}"
    return wanted + need.other


def _listed(parts: Sequence[str]) -> str:
    *parts, last = parts
    return f"{', '.join(parts)} and {last}" if parts else last


def power_of_two(least: int) -> int:
    """The smallest one that is not below."""
    return 1 << max(0, least - 1).bit_length()


def first_line(error: Exception) -> str:
    """What an error of the user's code or of torch says, its name if it says nothing."""
    return (str(error).strip() or type(error).__name__).partition("\n")[0].rstrip(".")
