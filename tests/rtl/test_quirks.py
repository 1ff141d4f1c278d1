"""The helpers around MyHDL, and that a replay tells right from wrong."""

from __future__ import annotations

import inspect

import pytest
from kcnn.rtl.quirks import (
    CALLERS,
    block_part,
    forget_designs,
    nearest_frames,
    refuse_ambiguous_names,
    refuse_reserved_names,
    refuse_shadow_lists,
)
from myhdl import (
    BlockError,
    ResetSignal,
    Signal,
    always,
    always_comb,
    always_seq,
    block,
    intbv,
    modbv,
)
from replay import convert, replay


@block
def summer(clk, reset, word, total, last):
    """Registered sum of signed words, and the word of the clock before."""
    state = Signal(modbv(0, min=-(1 << 11), max=1 << 11))

    @always_seq(clk.posedge, reset=reset)
    def add():
        state.next = state + word
        last.next = word

    @always_comb
    def show():
        total.next = state
    return add, show


@block
def wrong_at_the_edge(word, other, half):
    """A sum shifted within one expression: the carry is lost."""

    @always_comb
    def add():
        half.next = (word + other) >> 1
    return add


@block
def slices_in_a_list(word, index, nibble):
    parts = [word(4 * i + 4, 4 * i) for i in range(4)]

    @always_comb
    def pick():
        nibble.next = parts[index]
    return pick


@block
def input_that_never_changes(clk, word, last):
    """`step` is computed from `between`, which has its initial value for ever."""
    never, between, step = Signal(bool(0)), Signal(bool(0)), Signal(intbv(0)[4:])

    @always(clk.posedge)
    def keep():
        never.next = word == 255
        last.next = step

    @always_comb
    def copy():
        if never:
            between.next = True
        else:
            between.next = False

    @always_comb
    def choose():
        if between:
            step.next = 2
        else:
            step.next = 5
    return keep, copy, choose


def signed(bits):
    return Signal(intbv(0, min=-(1 << (bits - 1)), max=1 << (bits - 1)))


def test_replay_of_a_register_agrees_everywhere():
    def make():
        return summer, {"clk": Signal(bool(0)), "reset": ResetSignal(0, active=1, isasync=False),
                        "word": signed(8), "total": Signal(modbv(0, min=-(1 << 11), max=1 << 11)),
                        "last": signed(8)}

    recording = replay(make, 100)
    words, resets = recording.of("word"), recording.of("reset")
    assert recording.of("last")[1:] == [0 if r else w
                                        for w, r in zip(words[:-1], resets[:-1], strict=True)]
    assert len(set(recording.of("total"))) > 20


@pytest.mark.parametrize("tool, name", [("iverilog", "Icarus"), ("ghdl", "GHDL")])
def test_replay_sees_a_lost_carry(tool, name):
    def make():
        return wrong_at_the_edge, {"word": Signal(intbv(0)[8:]), "other": Signal(intbv(0)[8:]),
                                   "half": Signal(intbv(0)[8:])}

    with pytest.raises(AssertionError, match=f"{name} differs from MyHDL"):
        replay(make, 60, tools=(tool,))


def test_combinational_signals_have_their_values_from_the_start(tmp_path):
    def make():
        return input_that_never_changes, {
            "clk": Signal(bool(0)), "word": Signal(intbv(0, min=0, max=255)),
            "last": Signal(intbv(0)[4:])}

    convert(make, tmp_path)
    assert "reg [3:0] step = 5;" in (tmp_path / "dut.v").read_text()
    assert replay(make, 20).of("last")[1:] == [5] * 19


def test_a_list_of_slices_is_refused():
    forget_designs()
    design = slices_in_a_list(Signal(intbv(0)[16:]), Signal(intbv(0)[2:]), Signal(intbv(0)[4:]))
    with pytest.raises(TypeError, match="parts is a list of shadow signals"):
        refuse_shadow_lists(design)


def test_names_start_afresh():
    def name():
        forget_designs()
        return summer(Signal(bool(0)), ResetSignal(0, active=1, isasync=False), signed(8),
                      signed(12), signed(8)).name

    assert name() == name() == "summer0"


@block
def variable_named_cell(clk, word, last):
    @always_comb
    def pass_on():
        cell = intbv(0)[8:]
        cell[:] = word
        last.next = cell
    return pass_on


def test_a_variable_with_a_reserved_name_is_refused():
    forget_designs()
    design = variable_named_cell(Signal(bool(0)), Signal(intbv(0)[8:]), Signal(intbv(0)[8:]))
    with pytest.raises(TypeError, match="variable_named_cell0: cell is a reserved word"):
        refuse_reserved_names(design)


@block
def whole(clk, word, last):
    """Registers in a row, and what comes out."""
    between, unsaid = Signal(intbv(0)[8:]), Signal(intbv(0)[8:])

    @always(clk.posedge)
    def keep():
        between.next = word
        unsaid.next = between

    @always_comb
    def show():
        last.next = unsaid
    return keep, show


@block_part
def registers(clk, word, between, unsaid):
    @always(clk.posedge)
    def keep():
        between.next = word
        unsaid.next = between
    return keep


@block
def in_parts(clk, word, last):
    """Registers in a row, and what comes out."""
    between, unsaid = Signal(intbv(0)[8:]), Signal(intbv(0)[8:])
    kept = registers(clk, word, between, unsaid)

    @always_comb
    def show():
        last.next = unsaid
    return kept, show


def test_a_block_in_parts_converts_to_the_same_text(tmp_path):
    def texts(design):
        convert(lambda: (design, {"clk": Signal(bool(0)), "word": Signal(intbv(0)[8:]),
                                  "last": Signal(intbv(0)[8:])}), tmp_path)
        texts = [(tmp_path / f"dut.{suffix}").read_text() for suffix in ("v", "vhd")]
        return [[line for line in text.splitlines() if "Date: " not in line] for text in texts]

    assert texts(in_parts) == texts(whole)


@block
def with_a_function(clk, word, last):
    def pass_on():
        @always(clk.posedge)
        def keep():
            last.next = word
        return keep
    return pass_on()


def test_processes_of_a_function_that_is_no_part_are_refused():
    forget_designs()
    with pytest.raises(BlockError, match="pass_on should be encapsulated in a block decorator"):
        with_a_function(Signal(bool(0)), Signal(intbv(0)[8:]), Signal(intbv(0)[8:]))


@block
def two_of_one_part(clk, word, last):
    first, second, third = (Signal(intbv(0)[8:]) for _ in range(3))
    return registers(clk, word, first, second), registers(clk, second, third, last)


def test_a_name_of_two_signals_is_refused():
    forget_designs()
    design = two_of_one_part(Signal(bool(0)), Signal(intbv(0)[8:]), Signal(intbv(0)[8:]))
    with pytest.raises(TypeError, match="two_of_one_part0.between is the name of two signals"):
        refuse_ambiguous_names(design)


def test_the_nearest_frames_are_those_of_the_stack():
    near, whole = nearest_frames(), inspect.stack()
    assert len(near) == CALLERS < len(whole)
    assert [(a.frame, a.function, a.filename) for a in near] == [
        (b.frame, b.function, b.filename) for b in whole[:CALLERS]]


def test_designs_are_built_without_the_source_around_every_caller(monkeypatch):
    def slow(context=1):
        raise AssertionError("the whole stack is asked for")

    monkeypatch.setattr(inspect, "stack", slow)
    word = Signal(intbv(0)[4:])
    made = wrong_at_the_edge(word, word, Signal(intbv(0)[4:]))
    assert made.name == "wrong_at_the_edge0" and "word" in made.sigdict
