"""What must be done around MyHDL so that designs do not meet one another, or fail silently."""

from __future__ import annotations

import contextlib
import copy
import inspect
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import myhdl
from myhdl import _block, _extractHierarchy, _instance, _simulator
from myhdl._block import _Block

# _ShadowSignal: a slice or a concatenation of another signal, as signal(hi, lo) makes it
from myhdl._ShadowSignal import _ShadowSignal
from myhdl._Simulation import Simulation
from myhdl.conversion import _toVerilog, _toVHDL

CALLERS = 8              # frames that MyHDL may look at; it looks at five
MYHDL = str(Path(myhdl.__file__).parent)
Maker = TypeVar("Maker", bound=Callable[..., Any])
_parts: set[types.CodeType] = set()


def block_part(function: Maker) -> Maker:
    """A function that makes some processes, and blocks, of the block that calls it.

    It is no level of the hierarchy: all that it makes has the names that it would have if it stood
    in the block itself. So it calls each signal what the block calls it, and no two processes of a
    block and its parts share a name.
    """
    _parts.add(function.__code__)
    return function


def nearest_frames() -> list[inspect.FrameInfo]:
    """The caller's frame and those above it, at most CALLERS, without lines of source.

    Between a part and its block's call by MyHDL none is told: MyHDL takes the part for the block.
    """
    frames: list[inspect.FrameInfo] = []
    frame: types.FrameType | None = sys._getframe(1)
    in_part = False
    while frame is not None and len(frames) < CALLERS:
        code = frame.f_code
        in_part = in_part and not code.co_filename.startswith(MYHDL)
        if not in_part:
            frames.append(inspect.FrameInfo(frame, code.co_filename, frame.f_lineno,
                                            code.co_name, None, None))
        in_part = in_part or code in _parts
        frame = frame.f_back
    return frames


def look_no_further_than_callers() -> None:
    """Let MyHDL ask for the nearest frames only.

    Every block and every process asks for the whole stack with the source around each frame; with
    many modules loaded that takes longer than all simulation.
    """
    near = types.SimpleNamespace(**{**vars(inspect), "stack": nearest_frames})
    _block.inspect = near
    _instance.inspect = near


look_no_further_than_callers()


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


def refuse_ambiguous_names(design: _Block) -> None:
    """Raise TypeError for a name that means two signals in the processes of one block.

    Parts share the names of their block; one of the signals would get none.
    """
    for sub in design.subs:
        if isinstance(sub, _Block):
            refuse_ambiguous_names(sub)
            continue
        for name, signal in (sub.sigdict | sub.losdict).items():
            if design.symdict[name] is not signal:
                raise TypeError(f"{design.name}.{name} is the name of two signals")


RESERVED = frozenset("""
    accept_on alias always always_comb always_ff always_latch and assert assign assume automatic
    before begin bind bins binsof bit break buf bufif0 bufif1 byte case casex casez cell chandle
    checker class clocking cmos config const constraint context continue cover covergroup coverpoint
    cross deassign default defparam design disable dist do edge else end endcase endchecker endclass
    endclocking endconfig endfunction endgenerate endgroup endinterface endmodule endpackage
    endprimitive endprogram endproperty endsequence endspecify endtable endtask enum event
    eventually expect export extends extern final first_match for force foreach forever fork
    forkjoin function generate genvar global highz0 highz1 if iff ifnone ignore_bins illegal_bins
    implements implies import incdir include initial inout input inside instance int integer
    interconnect interface intersect join join_any join_none large let liblist library local
    localparam logic longint macromodule matches medium modport module nand negedge nettype new
    nexttime nmos nor noshowcancelled not notif0 notif1 null or output package packed parameter pmos
    posedge primitive priority program property protected pull0 pull1 pulldown pullup
    pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase randsequence rcmos real realtime
    ref reg reject_on release repeat restrict return rnmos rpmos rtran rtranif0 rtranif1 s_always
    s_eventually s_nexttime s_until s_until_with scalared sequence shortint shortreal showcancelled
    signed small soft solve specify specparam static string strong strong0 strong1 struct super
    supply0 supply1 sync_accept_on sync_reject_on table tagged task this throughout time
    timeprecision timeunit tran tranif0 tranif1 tri tri0 tri1 triand trior trireg type typedef union
    unique unique0 unsigned until until_with untyped use uwire var vectored virtual void wait
    wait_order wand weak weak0 weak1 while wildcard wire with within wor xnor xor
    abs access after alias all architecture array attribute block body buffer bus component
    configuration constant disconnect downto elsif entity exit file generic group guarded impure
    inertial is label linkage literal loop map mod new next nor of on open others out postponed
    procedure process pure range record register reject rem report rol ror select severity shared
    signal sla sll sra srl subtype then to transport unaffected units until variable when
""".split())


def refuse_reserved_names(design: _Block) -> None:
    """Raise TypeError for a variable that Verilog, SystemVerilog or VHDL keeps for itself."""
    for sub in design.subs:
        if isinstance(sub, _Block):
            refuse_reserved_names(sub)
            continue
        names = set(sub.funcobj.__code__.co_varnames)
        for name in sorted(name for name in names if name.lower() in RESERVED):
            raise TypeError(f"{design.name}: {name} is a reserved word")


def settle_initial_values(design: _Block) -> None:
    """Make the settled values of combinational signals their initial values.

    Verilog computes a combinational signal when one of its inputs changes, and at the start none
    does. Nothing but the design may have been built since `forget_designs`.
    """
    settled: list[tuple[Any, Any]] = []

    def look() -> Iterator[Any]:
        yield myhdl.delay(1)
        settled.extend((signal, copy.deepcopy(signal._val)) for signal in _simulator._signals)

    Simulation(design, look()).run(quiet=1)
    for signal, value in settled:
        signal._init = value


@contextlib.contextmanager
def conversion_warnings_as_errors() -> Iterator[None]:
    """Undriven, unread and unused signals, keywords and clashing names raise ConversionWarning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", myhdl.ConversionWarning)
        yield
