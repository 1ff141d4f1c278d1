"""Assembly text: nothing is lost, comments do not count, errors name their line."""

import unittest.mock

import pytest
import strategies
from hypothesis import given, settings
from kcnn.arch import check, kbin, text
from kcnn.arch.config import Config
from kcnn.arch.errors import FormatError
from kcnn.arch.isa import Mode

PROGRAM = strategies.small_program()
TEXT = text.disassemble(PROGRAM)


def replaced(old, new):
    assert TEXT.count(old) >= 1
    return TEXT.replace(old, new, 1)


def line_of(part):
    return next(i for i, line in enumerate(TEXT.splitlines(), 1) if part in line)


@settings(max_examples=30)
@given(strategies.programs())
def test_round_trip_byte_for_byte(program):
    again = text.assemble(text.disassemble(program), "net.asm")
    assert again == program
    assert kbin.save(again) == kbin.save(program)


def test_round_trip_on_another_machine():
    for mode in Mode:
        program = strategies.small_program(strategies.Shape(mode=mode), Config.preset("small"))
        assert text.assemble(text.disassemble(program), "net.asm") == program


def test_stripped_programs_round_trip():
    data = kbin.save(PROGRAM, strip=True)
    stripped = kbin.load(data, "net.kbin")
    assert kbin.save(text.assemble(text.disassemble(stripped), "net.asm")) == data


def test_comments_blank_lines_and_line_breaks_do_not_count():
    lines = []
    for line in TEXT.splitlines():
        if line.startswith("."):
            lines += ["", line]
        elif line[:1].isalnum() and "=" not in line and "END" not in line:
            lines += [f"  {byte}  # one byte" for byte in line.split()]
        else:
            lines += ["# a comment", line.partition("#")[0]]
    assert text.assemble("\n".join(lines), "net.asm") == PROGRAM


def test_comments_tell_what_the_bytes_mean():
    channel = "# channel 0: scale 1990, bias 15064050"
    assert channel in TEXT and "#   96 x +0" in TEXT and "#   24 x -13" in TEXT
    assert "# stream of RUN 7" in TEXT
    assert "# TABLE 1: OFFSET 0, entry 0: 16383  0  1  8" in TEXT
    assert "# TABLE 0: BASE 0, entry 0: 9 pair 0  72 pair 0" in TEXT
    assert "# TABLE 3: DECODE 0, entry 8: 208  241" in TEXT
    assert "# TABLE 4: CLUSTER 0, entry 4: >=-190:4" in TEXT
    assert "FILL row=17 rows=4 code=0 pop_prev=1    # 6" in TEXT


@pytest.mark.parametrize("old, new, sentence", [
    ("FILL row=17", "FILL row=x", "FILL: row='x' is no number; correct the line"),
    ("FILL row=17", "FILL row=2097152", "FILL row=2097152 does not fit its 20 bits"),
    ("FILL", "PILL", "'PILL' is no instruction; known are END, LOAD"),
    (".tables", ".table", ".table is no directive; known are .format, .config, .memory, .meta"),
    (".memory 768", ".memory much", "invalid literal for int"),
    (".memory 768", ".memory 768\n.memory 768", ".memory is given twice; correct the line"),
    (".format 3", ".format 2", ".format 2 is another version than 3, which this kcnn reads"),
    (".code", ".code now", ".code takes nothing on its line"),
    (".meta {", ".meta [", ".meta: not JSON"),
    ('"lanes":4', '"lanes":3', "lanes must be a power of two"),
    ('"lanes":4', '"lans":4', ".config: unknown field 'lans'"),
    ('.input {"address"', '.input {"adress"', "field 'address' is missing"),
    ('"op":"sum"', '"op":3', "3 is no text"),
    ('"macs":1,', '"macs":1.5,', "1.5 is no integer"),
    ('"scale":0.5', '"scale":NaN', "NaN is no number"),
    ('"source":"by hand"', '"source":1e999', "1e999 is no number"),
    ("c6 07 f2", "c6 07 g2", "non-hexadecimal number found"),
])
def test_errors_name_the_line(old, new, sentence):
    line = line_of(old) + new.count("\n")
    with pytest.raises(FormatError) as caught:
        text.assemble(replaced(old, new), "net.asm")
    assert str(caught.value).startswith(f"net.asm: line {line}: ")
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_words_before_any_block_are_refused():
    with pytest.raises(FormatError, match="^net.asm: line 1: 'END' stands before .code, .streams"):
        text.assemble("END\n" + TEXT, "net.asm")


@pytest.mark.parametrize("name", ["format", "config", "memory", "meta"])
def test_missing_directives_are_named(name):
    lines = [line for line in TEXT.splitlines() if not line.startswith(f".{name}")]
    with pytest.raises(FormatError, match=rf"^net.asm: \.{name} is missing; add it$"):
        text.assemble("\n".join(lines), "net.asm")


def test_ports_must_name_tensors():
    with pytest.raises(FormatError, match=r"^net.asm: .output 'y' names tensor 9, but there are 2"):
        text.assemble(replaced('"name":"y","tensor":1', '"name":"y","tensor":9'), "net.asm")


def test_rules_of_programs_are_checked_and_name_the_line():
    line = line_of("STORE")
    with pytest.raises(FormatError) as caught:
        text.assemble(replaced("STORE address=0x2c", "STORE address=0x1"), "net.asm")
    assert str(caught.value).startswith(f"net.asm: line {line}: instruction 8 (STORE): address=0x1")
    with pytest.raises(FormatError, match="^net.asm: layer 'layer': op 'sun' is neither"):
        text.assemble(replaced('"op":"sum"', '"op":"sun"'), "net.asm")


def test_an_empty_text_is_refused():
    with pytest.raises(FormatError, match="^net.asm: .format is missing"):
        text.assemble("", "net.asm")


@settings(max_examples=30)
@given(strategies.homed_programs())
def test_tensors_that_lie_anywhere_round_trip(program):
    with unittest.mock.patch.object(check, "verify"):
        assert text.assemble(text.disassemble(program), "net.asm") == program
