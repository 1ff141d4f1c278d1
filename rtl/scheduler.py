"""Simulates a MyHDL design of one clock with less work than MyHDL's own kernel.

The same signals and the same process functions, called in another way:
- all clocked processes are called together after a rising edge;
- a process is called only if a signal that it reads has changed since its last call. Processes
  keep no state but in signals, so another call would only assign the same values again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from myhdl import _simulator, intbv
from myhdl._always import _Always
from myhdl._always_comb import _AlwaysComb
from myhdl._always_seq import _AlwaysSeq
from myhdl._block import _Block
from myhdl._ShadowSignal import ConcatSignal, _ShadowSignal
from myhdl._Signal import _Signal


class _Process:
    """A process function; waiting: it is in the queue of those to be called."""

    __slots__ = ("call", "queue", "waiting")

    def __init__(self, call: Callable[[], None], queue: list[_Process]) -> None:
        self.call, self.queue, self.waiting = call, queue, False
        self.wake()

    def wake(self) -> None:
        """Have it called when its queue is next served."""
        if not self.waiting:
            self.waiting = True
            self.queue.append(self)


class _Resettable:
    """The processes of one synchronous reset."""

    def __init__(self, reset: Any) -> None:
        self.reset = reset
        self.queue: list[_Process] = []
        self.members: list[tuple[_AlwaysSeq, _Process]] = []

    def clock(self) -> None:
        """A rising edge."""
        if self.reset != self.reset.active:
            _call_all(self.queue)
            return
        for source, process in self.members:
            source.reset_sigs()
            source.reset_vars()
            process.wake()


class Scheduler:
    """Runs `design`, whose clocked processes all wait for the rising edge of `clk`.

    The design must have been built since quirks.forget_designs, and nothing else with it. Raises
    TypeError for a process that is no always, always_seq (synchronous reset) or always_comb.
    """

    def __init__(self, design: _Block, clk: Any) -> None:
        self.clk = clk
        self.changed = _simulator._siglist
        self.comb: list[_Process] = []
        self.plain: list[_Process] = []
        self.resettable: dict[int, _Resettable] = {}
        self.readers: dict[int, list[_Process]] = {}
        self._add_block(design)
        for signal in _simulator._signals:
            if isinstance(signal, _ShadowSignal):
                sources = (signal._sigargs if isinstance(signal, ConcatSignal)
                           else [signal._sig])
                self._add(signal._waiter.generator.__next__, self.comb, sources)

    def _add_block(self, design: _Block) -> None:
        for sub in design.subs:
            if isinstance(sub, _Block):
                self._add_block(sub)
            elif isinstance(sub, _AlwaysComb):
                self._add(sub.func, self.comb, sub.senslist)
            elif isinstance(sub, _Always) and sub.senslist[0] is self.clk.posedge:
                self._add_clocked(sub)
            else:
                raise TypeError(f"{design.name}: {sub.funcobj.__name__} is no process of clk")

    def _add_clocked(self, source: _Always) -> None:
        reset = source.reset if isinstance(source, _AlwaysSeq) else None
        if reset is None:
            self._add(source.func, self.plain, _read_by(source))
            return
        group = self.resettable.setdefault(id(reset), _Resettable(reset))
        group.members.append((source, self._add(source.func, group.queue, _read_by(source))))

    def _add(self, call: Callable[[], None], queue: list[_Process], reads: Iterable[Any]
             ) -> _Process:
        process = _Process(call, queue)
        for signal in reads:
            self.readers.setdefault(id(signal), []).append(process)
        return process

    def step(self) -> None:
        """Let the signals settle; if the clock rises, call what is clocked and settle again."""
        before = bool(self.clk)
        self._settle()
        if self.clk and not before:
            for group in self.resettable.values():
                group.clock()
            _call_all(self.plain)
            self._settle()

    def _settle(self) -> None:
        changed, readers, comb = self.changed, self.readers, self.comb
        while changed or comb:
            for signal in changed:
                value, following = signal._val, signal._next
                if isinstance(value, intbv):
                    if value._val == following._val:
                        continue
                    value._val = following._val
                elif value == following:
                    continue
                else:
                    signal._val = following
                for process in readers.get(id(signal), ()):
                    if not process.waiting:
                        process.wake()
            del changed[:]
            _call_all(comb)


def _read_by(process: _Always) -> list[Any]:
    """Signals that a clocked process reads, elements of lists included."""
    found = []
    for name in [*process.inputs, *process.losdict]:
        value = process.symdict.get(name)
        found += [s for s in (value if isinstance(value, list) else [value])
                  if isinstance(s, _Signal)]
    return found


def _call_all(queue: list[_Process]) -> None:
    waiting = queue[:]
    del queue[:]
    for process in waiting:
        process.waiting = False
        process.call()
