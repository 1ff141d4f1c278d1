"""Mailboxes, takes and tokens against counters in Python."""

from __future__ import annotations

from kcnn.arch.isa import Fill, Load, Store
from kcnn.rtl.signals import bit, word
from kcnn.rtl.unit import Mailbox, UnitState, mailbox, units
from myhdl import ResetSignal, block
from replay import replay

NAMES = ("load", "compute", "store")
TOKENS = {"load": (None, "pop_next", None, "push_next"),
          "compute": ("pop_prev", "pop_next", "push_prev", "push_next"),
          "store": ("pop_prev", None, "push_prev", None)}


@block
def boxes_and_units(clk, reset, load_box, compute_box, store_box, load, compute, store, word_in,
                    started, ended):
    parts = [mailbox(clk, reset, box, word_in) for box in (load_box, compute_box, store_box)]
    together = units(clk, reset, load_box, compute_box, store_box, load, compute, store, started,
                     ended)
    return parts, together


def make():
    return boxes_and_units, {
        "clk": bit(), "reset": ResetSignal(0, active=1, isasync=False),
        **{f"{n}_box": Mailbox(64) for n in NAMES}, **{n: UnitState() for n in NAMES},
        "word_in": word(64), "started": word(3), "ended": word(3)}


class Model:
    """Counters, boxes and busy units; steps once a clock."""

    def __init__(self):
        self.tokens = {(a, b): 0 for a in range(3) for b in range(3) if abs(a - b) == 1}
        self.promised = dict.fromkeys(self.tokens, 0)
        self.box, self.busy = [None] * 3, [None] * 3

    def flags_for(self, unit, rng):
        """Random flags whose pops wait for pushes promised before, so that nothing hangs."""
        names = {f for f in TOKENS[NAMES[unit]] if f and rng.random() < 0.5}
        pops = {f for f in names if f.startswith("pop")
                and self.promised[self.popped(unit, {f})[0]] > 0}
        pushes = {f for f in names if f.startswith("push")
                  and self.promised[self.pushed(unit, {f})[0]] < 15}
        for edge in self.popped(unit, pops):
            self.promised[edge] -= 1
        for edge in self.pushed(unit, pushes):
            self.promised[edge] += 1
        return pops | pushes

    def takes(self, unit):
        flags = self.box[unit]
        return (flags is not None and self.busy[unit] is None
                and all(self.tokens[f] > 0 for f in self.popped(unit, flags)))

    @staticmethod
    def popped(unit, flags):
        return ([(unit - 1, unit)] * ("pop_prev" in flags)
                + [(unit + 1, unit)] * ("pop_next" in flags))

    @staticmethod
    def pushed(unit, flags):
        return ([(unit, unit - 1)] * ("push_prev" in flags)
                + [(unit, unit + 1)] * ("push_next" in flags))


def instruction(unit, flags):
    kind = (Load, Fill, Store)[unit]
    own = {"row": 5, "rows": 6} | ({"code": 1} if kind is Fill else {"address": 7})
    return int.from_bytes(kind(**own, **{f: 1 for f in flags}).encode(), "little") & (1 << 64) - 1


def test_units_take_and_pass_tokens_as_the_model_says():
    model, starts, waits = Model(), [0, 0, 0], 0

    def stimulus(ports, rng):
        nonlocal waits
        ports["reset"].next = 1
        yield
        yield
        ports["reset"].next = 0
        while True:
            free = [u for u in range(3) if model.box[u] is None]
            put = rng.choice(free) if free and rng.random() < 0.5 else None
            flags = set()
            if put is not None:
                flags = model.flags_for(put, rng)
                ports["word_in"].next = instruction(put, flags)
            ending = [u for u in range(3) if model.busy[u] is not None and rng.random() < 0.3]
            for u, name in enumerate(NAMES):
                ports[f"{name}_box"].put.next = u == put
                ports[name].ending.next = u in ending
            taken = [u for u in range(3) if model.takes(u)]
            row = yield
            assert row["started"] == sum(1 << u for u in taken)
            assert row["ended"] == sum(1 << u for u in ending)
            for u, name in enumerate(NAMES):
                assert row[f"{name}_idle"] == (model.busy[u] is None)
                assert row[f"{name}_box_full"] == (model.box[u] is not None)
                waits += model.box[u] is not None and model.busy[u] is None and u not in taken
            for u in taken:
                for edge in model.popped(u, model.box[u]):
                    model.tokens[edge] -= 1
                model.busy[u], model.box[u] = model.box[u], None
                starts[u] += 1
            for u in ending:
                for edge in model.pushed(u, model.busy[u]):
                    model.tokens[edge] += 1
                model.busy[u] = None
            if put is not None:
                model.box[put] = flags

    replay(make, 700, stimulus)
    assert min(starts) > 20 and waits > 20
