"""What must be done around MyHDL so that designs do not meet one another, or fail silently."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import myhdl
from myhdl import _block, _extractHierarchy, _simulator
from myhdl._block import _Block

# _ShadowSignal: a slice or a concatenation of another signal, as signal(hi, lo) makes it
from myhdl._ShadowSignal import _ShadowSignal
from myhdl._Simulation import Simulation
from myhdl.conversion import _toVerilog, _toVHDL


def forget_designs() -> None:
    """Drop what MyHDL keeps of designs built before: call it before the next one is built.

    Every Signal ever made is kept and reset after each run, every instance name is remembered (so
    that the same block converts to other names), and one interrupted run forbids all later ones.
    """
    del _simulator._signals[:]
    del _simulator._siglist[:]
    del _simulator._futureEvents[:]
    _block._name_set.clear()
    _block._inst_name_set.clear()
    _extractHierarchy._memInfoMap.clear()
    for known in _simulator._blocks:
        known.calls = 0
    Simulation._no_of_instances = 0
    _toVerilog.toVerilog.name = None
    _toVHDL.toVHDL.name = None


def refuse_shadow_lists(design: _Block) -> None:
    """Raise TypeError for a list of slices that a process indexes: Verilog would read zeros."""
    for name, memory in design.memdict.items():
        if memory._used and any(isinstance(signal, _ShadowSignal) for signal in memory.mem):
            raise TypeError(f"{design.name}.{name} is a list of shadow signals")
    for sub in design.subs:
        if isinstance(sub, _Block):
            refuse_shadow_lists(sub)


@contextlib.contextmanager
def conversion_warnings_as_errors() -> Iterator[None]:
    """Undriven, unread and unused signals, keywords and clashing names raise ConversionWarning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", myhdl.ConversionWarning)
        yield
