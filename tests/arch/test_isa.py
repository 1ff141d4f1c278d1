"""The instruction set against words written by hand and against a second packer."""

import dataclasses
from typing import Annotated

import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st
from kcnn.arch import isa
from kcnn.arch.errors import FormatError
from kcnn.arch.isa import End, Field, Fill, Load, Mode, Run, Store, Table, TableLoad

# written by hand from the table of fields: bytes in the order of their addresses
WORDS = [
    (End(), "00000000 00000000 00000000 00000000"),
    # opcode 1 | push_next (bit 7); core 1; address at bit 16, row at 44, rows at 64
    (Load(address=0x28, row=1, rows=16, push_next=1), "81012800 00100000 10000000 00000000"),
    (Load(address=0xFFFFFFF, row=0xFFFFF, rows=0xFFFFF, cores=0xFF, pop_next=1),
     "21ffffff ffffffff ffff0f00 00000000"),
    (Store(address=0x0ABCDEF, row=0x12345, rows=1, pop_prev=1, push_prev=1),
     "5201efcd ab503412 01000000 00000000"),
    # kind 3 at bit 16, count 16 at bit 34 (0x40 in byte 4), address 0x24 at bit 49 (0x48 in 6)
    (TableLoad(kind=Table.CLUSTER, bank=0, first=0, count=16, address=0x24),
     "03010300 40004800 00000000 00000000"),
    # kind 4 + bank (bit 19): 0x0c; first 1 at bit 20: 0x10 in byte 2; count 3 at 34: 0x0c in 4;
    # start 1 at 77: 0x20 in byte 9; step 2 at 97: 0x04 in byte 12; pair at 117: 0x20 in byte 14
    (TableLoad(kind=Table.RAMP, bank=1, first=1, count=3, start=1, step=2, pair=1),
     "03011c00 0c000000 00200000 04002000"),
    (Fill(row=0x54321, rows=0xABCDE, code=0x9F), "04012143 e5cdab9f 00000000 00000000"),
]

# name, width of every field behind the first 16 bits; bit by bit, in order
WIDTHS = {
    Load: "address 28 row 20 rows 20 pieces 8 stride 28 slice 7 spread 1",
    Store: "address 28 row 20 rows 20 pieces 8 stride 28 slice 7 spread 1",
    TableLoad: "kind 3 bank 1 first 14 count 15 address 28 start 20 step 20 pair 1",
    Fill: "row 20 rows 20 code 8",
    Run: "stream 28 stream_units 20 channels 16 mode 2 shift 2 digits 3 radix_width 5 order 8 "
         "kernel_bits 3 base_bank 1 offset_bank 1 cluster_bank 1 origin 20 pitch 16 image_rows 16 "
         "images 12 height 16 width 16 chunk_images 8 chunk_rows 8 chunk_columns 8 image_pitch 20 "
         "chunk_pitch 20 dst 20 dst_channel 20 dst_plane 20 dst_image 20 x_step 20 x_wrap 20 "
         "y_step 20 y_wrap 20 split 3 x_start 2 x_mod 2 y_start 2 y_mod 2 stream_step 20 "
         "dst_core 20",
    End: "",
}
RUN = strategies.small_program().instructions[7]


def second_packer(ins):
    """Bits joined as text, lowest field last; an independent way to the same bytes."""
    words = WIDTHS[type(ins)].split()
    fields = list(zip(words[::2], map(int, words[1::2]), strict=True))
    head = [("opcode", 4), ("pop_prev", 1), ("pop_next", 1), ("push_prev", 1), ("push_next", 1),
            ("cores", 8)]
    values = vars(ins) | {"opcode": int(ins.OP)}
    bits = "".join(format(values[name], f"0{width}b") for name, width in reversed(head + fields))
    return int(bits, 2).to_bytes(64 if isinstance(ins, Run) else 16, "little")


@pytest.mark.parametrize("ins, word", WORDS)
def test_words_written_by_hand(ins, word):
    assert ins.encode() == bytes.fromhex(word)
    assert isa.decode(bytes.fromhex(word)) == [ins]


def test_opcodes_and_enums_are_pinned():
    assert {op.name: int(op) for op in isa.Op} == {
        "END": 0, "LOAD": 1, "STORE": 2, "TABLE": 3, "FILL": 4, "RUN": 5, "FC": 6}
    assert [m.name for m in sorted(Mode)] == ["CODE", "RADIX", "PASS"]
    assert [t.name for t in sorted(Table)] == ["BASE", "OFFSET", "DECODE", "CLUSTER", "RAMP"]


@given(strategies.instructions())
def test_encoding_equals_the_second_packer(ins):
    assert ins.encode() == second_packer(ins)


@given(st.lists(strategies.instructions(), max_size=5))
def test_decode_inverts_encode(instructions):
    assert isa.decode(isa.encode(instructions)) == instructions


@given(strategies.instructions())
def test_text_round_trip(ins):
    assert isa.parse(str(ins)) == ins
    assert "\n" not in str(ins) and "#" not in str(ins)


@given(strategies.instructions(), st.data())
def test_a_flipped_bit_is_another_instruction_or_refused(ins, data):
    word = bytearray(ins.encode())
    bit = data.draw(st.integers(0, 8 * len(word) - 1))
    word[bit // 8] ^= 1 << bit % 8
    try:
        assert isa.decode(bytes(word)) != [ins]
    except FormatError as error:
        assert str(error).startswith("instruction ")


def test_every_bit_of_an_instruction_belongs_to_a_field_or_must_be_zero():
    for kind in isa.INSTRUCTIONS:
        end = kind.all_fields()[-1].hi
        for bit in range(end, 8 * kind.BYTES):
            ins = next(i for i, _ in WORDS + [(RUN, "")] if type(i) is kind)
            word = int.from_bytes(ins.encode(), "little") | 1 << bit
            with pytest.raises(FormatError, match="instruction 0 at byte 0: unused bits of "):
                isa.decode(word.to_bytes(kind.BYTES, "little"))


@pytest.mark.parametrize("data, sentence", [
    (b"\x06" + bytes(15), "instruction 0 at byte 0: opcode 6 is unknown"),
    (bytes(16) + b"\x0f" + bytes(15), "instruction 1 at byte 16: opcode 15 is unknown"),
    (bytes(15), "instruction 0 at byte 0: END is cut off"),
    (RUN.encode()[:63], "instruction 0 at byte 0: RUN is cut off"),
    (b"\x01\x01" + bytes(14), "instruction 0 at byte 0: LOAD rows must be at least 1"),
    (b"\x10" + bytes(15), "instruction 0 at byte 0: END takes no tokens and no cores"),
])
def test_bad_bytes_are_refused(data, sentence):
    with pytest.raises(FormatError) as caught:
        isa.decode(data)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("change, sentence", [
    ({"channels": 0}, "RUN channels must be at least 1"),
    ({"channels": 1 << 16}, "RUN channels=65536 does not fit its 16 bits (0 to 65535)"),
    ({"dst": -1}, "RUN dst=-1 does not fit its 20 bits (0 to 1048575)"),
    ({"mode": 3}, "RUN: mode=3 is unknown"),
    ({"width": 10}, "RUN: width exceeds pitch"),
    ({"height": 8}, "RUN: height exceeds image_rows"),
    ({"split": 5}, "RUN: split exceeds 4"),
    ({"x_mod": 1}, "RUN: a phase is not below split"),
    ({"kernel_bits": 6}, "RUN: kernel_bits exceeds 5"),
    ({"chunk_columns": 9}, "RUN: chunk_columns or chunk_rows is not reduced"),
    ({"chunk_rows": 7}, "RUN: chunk_columns or chunk_rows is not reduced"),
    ({"digits": 2}, "RUN: digits and radix_width are for RADIX"),
    ({"radix_width": 8}, "RUN: digits and radix_width are for RADIX"),
    ({"order": 3}, "RUN: order is for PASS"),
    ({"mode": 1, "digits": 5, "radix_width": 8}, "RUN: RADIX wants digits 1 to 4 and "
                                                  "radix_width 2 to 16"),
    ({"mode": 1, "digits": 4, "radix_width": 1}, "RUN: RADIX wants digits 1 to 4 and "
                                                  "radix_width 2 to 16"),
])
def test_run_rules(change, sentence):
    with pytest.raises(FormatError) as caught:
        dataclasses.replace(RUN, **change)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("fields, sentence", [
    ({"kind": 5}, "TABLE kind=5 is unknown"),
    ({"count": 0}, "TABLE count must be at least 1"),
    ({"kind": Table.RAMP, "address": 4}, "TABLE RAMP does not use address; it must be 0"),
    ({"kind": Table.BASE, "step": 4}, "TABLE BASE does not use step; it must be 0"),
])
def test_table_rules(fields, sentence):
    with pytest.raises(FormatError) as caught:
        TableLoad(**({"kind": 0, "bank": 0, "first": 0, "count": 1} | fields))
    assert str(caught.value) == sentence


@pytest.mark.parametrize("line, sentence", [
    ("JUMP", "'JUMP' is no instruction; known are END, LOAD, STORE, TABLE, FILL, RUN"),
    ("FILL row=1 rows=2", "FILL: code=... is missing"),
    ("FILL row=1 rows=2 code=0 colour=3", "FILL: 'colour' is no field of it"),
    ("FILL row=1 row=2", "FILL: 'row' is given twice"),
    ("FILL row=one rows=2 code=0", "FILL: row='one' is no number"),
    ("TABLE kind=ROWS bank=0", "TABLE: kind='ROWS' is no number"),
])
def test_bad_text_is_refused(line, sentence):
    with pytest.raises(FormatError) as caught:
        isa.parse(line)
    assert str(caught.value) == sentence


@dataclasses.dataclass(frozen=True, repr=False)
class Wait(isa.Instruction):
    """An instruction that no machine has."""

    OP = isa.Op.FC

    clocks: Annotated[int, Field(9, "clocks", least=1, hexadecimal=True)]
    kind: Annotated[int, Field(3, "what for", names=Table)]
    place: Annotated[int, Field(20, "where", address=True)] = 7


def test_an_annotation_tells_all_of_a_field():
    wait = Wait(clocks=17, kind=Table.RAMP, push_next=1)
    assert [(f.name, f.lo, f.hi) for f in Wait.FIELDS] == [
        ("clocks", 16, 25), ("kind", 25, 28), ("place", 28, 48)]
    assert str(wait) == "FC clocks=0x11 kind=RAMP place=7 push_next=1"
    word = int.from_bytes(wait.encode(), "little")
    assert (word & 15, word >> 16 & 511, word >> 25 & 7, word >> 28) == (6, 17, 4, 7)
    assert Wait.addresses() == ("place",)
    with pytest.raises(FormatError, match="FC clocks must be at least 1"):
        Wait(clocks=0, kind=0)


def test_addresses_of_every_instruction():
    assert {kind: " ".join(kind.addresses()) for kind in isa.INSTRUCTIONS} == {
        End: "", Load: "", Store: "", Fill: "", TableLoad: "start step",
        Run: "origin image_pitch chunk_pitch dst dst_channel dst_plane dst_image x_step x_wrap "
             "y_step y_wrap dst_core"}


def test_reserved_fields_are_said_only_where_they_are_not_0():
    assert {kind: " ".join(f.name for f in kind.FIELDS if f.reserved)
            for kind in isa.INSTRUCTIONS} == {
        End: "", Fill: "", TableLoad: "", Load: "pieces stride slice spread",
        Store: "pieces stride slice spread", Run: "stream_step dst_core"}
    assert str(Load(1, 2, 3)) == "LOAD address=0x1 row=2 rows=3"
    later = Load(1, 2, 3, stride=16, spread=1)
    assert str(later) == "LOAD address=0x1 row=2 rows=3 stride=0x10 spread=1"
    assert isa.parse(str(later)) == later


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([4, 16, 64, 128]))
def test_chunk_fields_take_a_step_of_p_positions_apart(pitch, image_rows, lanes):
    found = isa.chunk_fields(lanes, pitch, image_rows)
    image = found["image_pitch"]
    assert image == pitch * image_rows
    assert found["chunk_pitch"] == found["chunk_images"] * image
    assert (found["chunk_pitch"] + found["chunk_rows"] * pitch + found["chunk_columns"]) == lanes
    assert found["chunk_columns"] < pitch and found["chunk_rows"] < image_rows


def test_field_slices_are_those_of_the_word():
    word = int.from_bytes(RUN.encode(), "little")
    for field in Run.FIELDS:
        assert word >> field.lo & (1 << field.hi - field.lo) - 1 == getattr(RUN, field.name)
    assert Run.field("dst").lo == 266 and Run.field("opcode").hi == 4
    assert Run.field("dst").ends() == (Run.field("dst").hi, 266)
    assert Run.field("dst").ends(14) == (280, 266)
