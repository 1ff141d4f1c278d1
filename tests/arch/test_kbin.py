"""The binary file: the same bytes, and nothing else is read."""

import dataclasses
import os
import re
import struct
import unittest.mock
import zlib

import numpy as np
import pytest
import strategies
from hypothesis import given, settings
from kcnn.arch import check, kbin, sections
from kcnn.arch.config import Config
from kcnn.arch.errors import FormatError, KcnnError
from kcnn.arch.isa import Mode
from kcnn.arch.kbin import Section
from kcnn.arch.meta import Meta

SMALL = strategies.small_program(strategies.Shape(channels=1, outputs=1, kernel=(1, 2),
                                                  padding=(0, 0, 0, 0)))
PLACE = re.compile(r"^net\.kbin: .+ at offset \d+: .+; .+$")


def entries(data):
    """section -> (place of its entry, offset, bytes)"""
    count = struct.unpack_from("<I", data, 12)[0]
    found = {}
    for i in range(count):
        number, _, offset, size = struct.unpack_from("<IIQQ", data, 64 + 24 * i)
        found[Section(number)] = (64 + 24 * i, offset, size)
    return found


def repair(data):
    """Make all checksums right again after a change."""
    data = bytearray(data)
    for at, offset, size in entries(data).values():
        struct.pack_into("<I", data, at + 4, zlib.crc32(data[offset:offset + size]))
    struct.pack_into("<I", data, 16, 0)
    end = 64 + 24 * struct.unpack_from("<I", data, 12)[0]
    struct.pack_into("<I", data, 16, zlib.crc32(data[:end]))
    return bytes(data)


@settings(max_examples=30)
@given(strategies.programs())
def test_round_trip(program):
    data = kbin.save(program)
    assert kbin.load(data, "net.kbin") == program
    assert kbin.save(kbin.load(data, "net.kbin")) == data


@settings(max_examples=10)
@given(strategies.programs(Config.preset("small")))
def test_round_trip_on_another_machine(program):
    assert kbin.load(kbin.save(program), "net.kbin") == program


@settings(max_examples=30)
@given(strategies.homed_programs())
def test_tensors_that_lie_anywhere_round_trip(program):
    stripped = dataclasses.replace(program, layers=(), tensors=tuple(
        program.tensors[i] for i in sections.port_tensors(program)))
    with unittest.mock.patch.object(check, "verify"):
        assert kbin.load(kbin.save(program), "net.kbin") == program
        assert kbin.load(kbin.save(program, strip=True), "net.kbin").tensors == stripped.tensors


def test_stripped_files_have_no_layers():
    data = kbin.save(SMALL, strip=True)
    program = kbin.load(data, "net.kbin")
    assert program.layers == () and program.tensors == SMALL.tensors
    assert program.instructions == SMALL.instructions
    assert kbin.save(program) == data and len(data) < len(kbin.save(SMALL))


def test_stripping_counts_tensors_anew():
    middle = dataclasses.replace(SMALL.tensors[1], name="middle")
    more = dataclasses.replace(
        SMALL, tensors=(middle, *SMALL.tensors), inputs=(port(SMALL.inputs[0], 1),),
        outputs=(port(SMALL.outputs[0], 2),),
        layers=(dataclasses.replace(SMALL.layers[0], sources=(strategies.Source(1),), output=2),))
    assert kbin.load(kbin.save(more), "net.kbin") == more
    stripped = kbin.load(kbin.save(more, strip=True), "net.kbin")
    assert stripped.tensors == SMALL.tensors
    assert (stripped.inputs, stripped.outputs) == (SMALL.inputs, SMALL.outputs)


def port(old, tensor):
    return dataclasses.replace(old, tensor=tensor)


def test_bytes_are_deterministic_and_independent_of_the_order_of_meta():
    one = dataclasses.replace(SMALL, meta=Meta(output_dims={"a": 1, "b": 2}))
    two = dataclasses.replace(SMALL, meta=Meta(output_dims={"b": 2, "a": 1}))
    assert kbin.save(one) == kbin.save(two)


def test_header_by_hand():
    data = kbin.save(SMALL)
    assert data[:8] == b"\x89KCNN\r\n\x1a"
    assert struct.unpack_from("<II", data, 8) == (kbin.FORMAT, 7) and kbin.FORMAT == 3
    assert data[32:64] == SMALL.config.hash and not any(data[20:32])
    places = entries(data)
    assert list(places) == list(Section)
    assert all(offset % 64 == 0 for _, offset, _ in places.values())
    _, offset, size = places[Section.META]
    assert offset + size == len(data) and data[offset:] == b'{"source":"by hand"}'


def test_descriptors_are_readable_by_any_host():
    data = kbin.save(SMALL)
    _, at, _ = entries(data)[Section.DESCRIPTORS]
    head = struct.unpack_from("<Q10I", data, at)
    assert head[:8] == (SMALL.memory_bytes, 1, 4, 8, 16384, 2, 1, 1)
    tensor = SMALL.tensors[0]
    assert head[8] == 2
    scale, *fields = struct.unpack_from("<d8i6I", data, at + 48)
    assert scale == tensor.kind.scale
    assert fields[:8] == [vars(tensor.kind)[name] for name in (
        "images", "channels", "height", "width", "planes", "bits", "pad", "order")]
    places_at = at + 48 + 2 * sections.TENSOR.itemsize + 2 * sections.PORT.itemsize
    assert fields[12] == 1
    layout = tensor.layout
    assert struct.unpack_from("<18q", data, places_at) == (
        layout.base, layout.first_row, layout.rows, layout.channel, layout.plane, layout.image,
        layout.row, layout.column, layout.split, layout.phase_y, layout.phase_x,
        0, 0, 0, 0, 0, -1, -1)
    values_at = places_at + 2 * sections.PLACE.itemsize
    values = struct.unpack_from(f"<{fields[11]}i", data, values_at + 4 * fields[10])
    assert values == tensor.kind.values
    assert (sections.TENSOR.itemsize, sections.PORT.itemsize, sections.PLACE.itemsize) == (
        64, 24, 144)


def test_every_truncation_is_refused():
    data = kbin.save(SMALL)
    for size in range(len(data)):
        with pytest.raises(FormatError) as caught:
            kbin.load(data[:size], "net.kbin")
        assert PLACE.match(str(caught.value)), str(caught.value)


def test_every_flipped_bit_is_refused():
    data = bytearray(kbin.save(SMALL))
    for bit in range(8 * len(data)):
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError) as caught:
            kbin.load(bytes(data), "net.kbin")
        data[bit // 8] ^= 1 << bit % 8
        assert PLACE.match(str(caught.value)), str(caught.value)


def test_trailing_bytes_are_refused():
    data = kbin.save(SMALL)
    with pytest.raises(FormatError, match="section meta at offset .*: is the last and ends at "
                                          f"{len(data)}, but 1 bytes follow"):
        kbin.load(data + b"\0", "net.kbin")


@pytest.mark.parametrize("data, sentence", [
    (b"", "the magic number is cut off"),
    (b"\x89KCNN", "the magic number is cut off"),
    (b"PK\x03\x04" + bytes(100), "the magic number is not that of a .kbin file"),
    (b"\x89KCNN\n\x1a" + bytes(100), "the magic number is not that of a .kbin file"),
])
def test_foreign_files_are_refused(data, sentence):
    with pytest.raises(FormatError) as caught:
        kbin.load(data, "net.kbin")
    assert str(caught.value) == (f"net.kbin: header at offset 0: {sentence}; give a file that "
                                 "kcnn compile wrote")


def test_a_newer_version_is_refused():
    data = bytearray(kbin.save(SMALL))
    data[8] = kbin.FORMAT + 1
    with pytest.raises(FormatError) as caught:
        kbin.load(repair(data), "net.kbin")
    assert str(caught.value) == (
        "net.kbin: header at offset 8: format version 4, but this kcnn reads version 3; use the "
        "kcnn that wrote the file, or compile the network again")


def test_each_section_has_its_checksum():
    data = kbin.save(SMALL)
    for section, (_, offset, size) in entries(data).items():
        bad = bytearray(data)
        bad[offset + size // 2] ^= 4
        with pytest.raises(FormatError, match=f"^net.kbin: section {section.name.lower()} at "
                                              f"offset {offset}: checksum is "):
            kbin.load(bytes(bad), "net.kbin")


def test_padding_must_be_zero():
    data = bytearray(kbin.save(SMALL))
    _, offset, _ = entries(data)[Section.INSTRUCTIONS]
    data[offset - 1] = 1
    with pytest.raises(FormatError, match=f"section instructions at offset {offset}: the padding "
                                          "from offset .* is not zero"):
        kbin.load(bytes(data), "net.kbin")


def changed(section, old, new):
    """The small program's file with a section's bytes replaced, checksums right."""
    data = kbin.save(SMALL)
    _, offset, size = entries(data)[section]
    body = data[offset:offset + size]
    assert old in body and len(old) == len(new)
    return repair(data[:offset] + body.replace(old, new, 1) + data[offset + size:])


@pytest.mark.parametrize("section, old, new, sentence", [
    (Section.CONFIG, b'"lanes":4', b'"lanes":5', "lanes must be a power of two"),
    (Section.CONFIG, b'"lanes":4', b'"lanes":x', "section config at offset .*: not JSON"),
    (Section.CONFIG, b'"name":"tiny"', b'"name":"t\xffny"', "section config .*: no UTF-8"),
    (Section.CONFIG, b'"latency":8', b'"latency":9', "header at offset 32: the configuration"),
    (Section.INSTRUCTIONS, b"\x85\x01", b"\x86\x01", "opcode 6 is unknown; recompile"),
    (Section.META, b'{"source"', b'["source"', "section meta at offset .*: not JSON"),
    (Section.META, b'{"source":"by hand"}', b'{"source": "byhand"}',
     "section meta at offset .*: not in the one form that kcnn"),
    (Section.META, b'{"source"', b'{"sauce2"', "section meta at offset .*: metadata has no key"),
    (Section.META, b'"by hand"', b'123456789', "section meta at offset .*: metadata: source must"),
    (Section.DESCRIPTORS, struct.pack("<d", 0.5), struct.pack("<d", np.nan), "scale=nan"),
    (Section.DESCRIPTORS, struct.pack("<3I", 2, 1, 1), struct.pack("<3I", 2, 1, 9),
     "section descriptors at offset .*: ends at byte"),
    (Section.DESCRIPTORS, b"xy", b"\xffy", "no UTF-8"),
])
def test_wrong_contents_with_right_checksums(section, old, new, sentence):
    if section == Section.DESCRIPTORS and old == b"xy":
        old, new = b"xyxy", b"\xffyxy"
    with pytest.raises(FormatError, match=sentence):
        kbin.load(changed(section, old, new), "net.kbin")


def test_a_program_that_breaks_a_rule_is_refused():
    bad = dataclasses.replace(SMALL, instructions=SMALL.instructions[:-1])
    with pytest.raises(FormatError, match="^net.kbin: instruction 8: the last instruction is not"):
        kbin.load(kbin.save(bad), "net.kbin")


def test_all_modes_and_large_numbers_survive():
    for mode in Mode:
        program = strategies.small_program(strategies.Shape(mode=mode))
        layer = dataclasses.replace(program.layers[0], dense_macs=10**15, macs=2**40)
        program = dataclasses.replace(program, layers=(layer,))
        assert kbin.load(kbin.save(program), "net.kbin") == program


def test_write_and_read(tmp_path):
    path = tmp_path / "net.kbin"
    path.write_bytes(b"old")
    kbin.write(path, SMALL)
    assert kbin.read(path) == SMALL and os.listdir(tmp_path) == ["net.kbin"]
    kbin.write(path, SMALL, strip=True)
    assert kbin.read(path).layers == ()


def test_write_leaves_nothing_behind_when_it_fails(tmp_path):
    place = tmp_path / "folder"
    place.mkdir()
    (place / "file").write_text("in the way")
    with pytest.raises(KcnnError, match=r"folder: cannot be written \(.*\); choose another place"):
        kbin.write(place, SMALL)
    with pytest.raises(KcnnError, match="cannot be written"):
        kbin.write(tmp_path / "gone" / "net.kbin", SMALL)
    assert os.listdir(tmp_path) == ["folder"]


def test_read_says_what_is_missing(tmp_path):
    with pytest.raises(KcnnError, match=r"gone\.kbin: cannot be read \(No such file .*\); give the "
                                        "path of a .kbin file"):
        kbin.read(tmp_path / "gone.kbin")


@pytest.mark.parametrize("old, new, sentence", [
    (b'"layers"', b'"layerz"', "malformed"),
    (b'"mode":0', b'"mode":x', "not JSON"),
    (b'"macs"', b'"maxs"', "malformed"),
    (b'["|u1",16]', b'["|u1",61]', "ends at byte"),
    (b'["|u1",16]', b'["|x1",16]', "malformed"),
])
def test_a_layer_table_of_another_form_is_refused(old, new, sentence):
    plain = sections.layer_bytes(SMALL)
    assert old in plain
    with pytest.raises(FormatError, match=f"^here: {sentence}"):
        sections.decode_layers(plain.replace(old, new, 1),
                               [SMALL.tensors[i] for i in sections.port_tensors(SMALL)], 10,
                               1 << 20, "here")


def test_a_layer_table_must_be_one_compressed_text():
    data = sections.encode_layers(SMALL)
    with pytest.raises(FormatError, match="^here: not compressed"):
        sections.inflate_layers(zlib.decompress(data), 1 << 16, "here")
    with pytest.raises(FormatError, match="^here: cut off"):
        sections.inflate_layers(data[:-1], 1 << 16, "here")


def test_stripping_keeps_the_nodes_of_what_stays():
    middle = dataclasses.replace(SMALL.tensors[1], name="middle")
    more = dataclasses.replace(
        SMALL, tensors=(middle, *SMALL.tensors), inputs=(port(SMALL.inputs[0], 1),),
        outputs=(port(SMALL.outputs[0], 2),), meta=Meta(nodes=("a", "b", "c")),
        layers=(dataclasses.replace(SMALL.layers[0], sources=(strategies.Source(1),), output=2),))
    assert kbin.load(kbin.save(more), "net.kbin").meta.nodes == ("a", "b", "c")
    assert kbin.load(kbin.save(more, strip=True), "net.kbin").meta.nodes == ("b", "c")
    wrong = dataclasses.replace(SMALL, meta=Meta(nodes=("a",)))
    with pytest.raises(FormatError, match="metadata: nodes names 1 tensors of 2; recompile"):
        kbin.load(kbin.save(wrong), "net.kbin")


def test_a_layer_table_is_inflated_as_far_as_a_program_can_need():
    plain = sections.layer_bytes(SMALL)
    most = sections.most_layer_bytes(SMALL.instructions, len(SMALL.streams))
    assert len(plain) < most < 100_000
    packed = zlib.compress(plain + bytes(most))
    with pytest.raises(FormatError, match=f"holds more than the {most} bytes that a layer table"):
        sections.inflate_layers(packed, most, "here")
    assert sections.inflate_layers(zlib.compress(plain), most, "here") == plain


def test_another_compression_of_the_layer_table_is_read():
    data = kbin.save(SMALL)
    for level in (0, 9):
        bodies = kbin._bodies(SMALL, False)
        bodies[Section.LAYERS] = zlib.compress(bodies[Section.LAYERS], level)
        other = kbin._join(bodies, SMALL.config.hash)
        assert other != data and kbin.load(other, "net.kbin") == SMALL


def test_large_files_are_not_read(tmp_path, monkeypatch):
    path = tmp_path / "net.kbin"
    kbin.write(path, SMALL)
    monkeypatch.setattr(kbin, "MOST_BYTES", 1000)
    with pytest.raises(FormatError, match="net.kbin: has more than 1000 bytes, the most that is"):
        kbin.read(path)
    monkeypatch.setattr(kbin, "MOST_INSTRUCTIONS", 5)
    with pytest.raises(FormatError, match="bytes are more than 5 instructions"):
        kbin.load(kbin.save(SMALL), "net.kbin")
