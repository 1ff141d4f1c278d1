"""Files of arrays: what numpy writes is read, and nothing is unpacked that a header only claims."""

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from kcnn.arch import npy
from kcnn.arch.errors import KcnnError

DTYPES = st.one_of(arrays.integer_dtypes(), arrays.floating_dtypes(), arrays.boolean_dtypes(),
                   arrays.unicode_string_dtypes(max_len=3))


def files(tmp_path_factory, data, suffix):
    path = tmp_path_factory.mktemp("npy") / f"x.{suffix}"
    path.write_bytes(data)
    return path


@given(st.data())
def test_what_numpy_writes_is_read(tmp_path_factory, data):
    shape = arrays.array_shapes(min_dims=0, min_side=0, max_side=3)
    array = data.draw(arrays.arrays(DTYPES, shape))
    array = np.asfortranarray(array) if data.draw(st.booleans()) else array
    plain, packed = io.BytesIO(), io.BytesIO()
    np.save(plain, array)
    data.draw(st.sampled_from([np.savez, np.savez_compressed]))(packed, a=array, b=array)
    for found in (npy.read(files(tmp_path_factory, plain.getvalue(), "npy"))["x"],
                  npy.read(files(tmp_path_factory, packed.getvalue(), "npz"))["b"]):
        assert found.dtype == array.dtype and found.shape == array.shape
        np.testing.assert_array_equal(found, array)
        assert found.flags.writeable


def header(shape, descr="<f4", length=None):
    """An .npy header; length: what it says of its own length."""
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", length or len(text)) + text


def packed(*members, compression=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as file:
        for name, data in members:
            file.writestr(name, data)
    return out.getvalue()


def claims_less(data, real, said):
    """The zip with another size of the member in its headers."""
    return data.replace(struct.pack("<I", real), struct.pack("<I", said))


FREE = 1 << 20
ZEROS = bytes(2 << 20)
ONE = header((2,)) + bytes(8)


@pytest.mark.parametrize("data, sentence", [
    (header((1 << 40,)), "has the shape (1099511627776,), for which its 128 bytes do not suffice"),
    (header((1 << 62, 1 << 62)), "do not suffice"),
    (header((-1, -8)) + bytes(32), "do not suffice"),
    (header(f"({'9' * 4000},)"), "do not suffice"),
    (header((10,)) + bytes(39), "do not suffice"),
    (header((1,), "|O") + b"cposix\nsystem\n", "holds 'object', no plain numbers"),
    (header((1,), [("a", "|O")]) + bytes(8), "no plain numbers"),
    (header((1 << 60,), "|V0"), "no plain numbers"),
    (header((1,), length=20_000) + bytes(4), "has a header of 20000 bytes, at most 10000 are read"),
    (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "has a header of 4294967295 bytes"),
    (b"\x93NUMPY\x03\x00" + ONE[8:], "a header of version (3, 0)"),
    (header("[" * 300), "no .npy or .npz file of plain numbers"),
    (b"\x93NUMPY", "'x' is no array"),
    (b"GIF89a", "it begins otherwise"),
    (b"", "it begins otherwise"),
    (b"PK\x03\x04", "no .npy or .npz file"),
    (packed(("x.npy", header((1 << 19,)) + ZEROS)), "unpacks to 2097280 bytes, and a compressed "
                                                     "file of "),
    (packed(("x.npy", header((1 << 40,)))), "do not suffice"),
    (packed(("x.npy", ONE + ZEROS[:1000])), "'x' goes on behind its array"),
    (claims_less(packed(("x.npy", ONE + ZEROS)), len(ONE + ZEROS), len(ONE)), "Bad CRC-32"),
    (packed(*((f"{i}.npy", ONE) for i in range(4097))), "has 4097 members, at most 4096 are read"),
    (packed(("x.npy", ONE), compression=zipfile.ZIP_LZMA), "compressed in a way that numpy does"),
    (packed(("readme.txt", b"hello")), "'readme.txt' is no array"),
    (packed(("\x1b[31m.npy", b"hello")), r"'\x1b[31m' is no array"),
])
def test_claims_are_refused(tmp_path, monkeypatch, data, sentence):
    monkeypatch.setattr(npy, "FREE", FREE)
    path = tmp_path / "x.npz"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(KcnnError) as caught:
            npy.read(path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    said = str(caught.value)
    assert sentence in said and said.isprintable() and len(said) < 400, said
    assert said.startswith(f"{path}: ")


def test_many_members_are_bounded_together(tmp_path, monkeypatch):
    monkeypatch.setattr(npy, "FREE", FREE)
    path = tmp_path / "x.npz"
    part = header((70_000,)) + ZEROS[:280_000]
    path.write_bytes(packed(("a.npy", part), ("b.npy", part), ("c.npy", part), ("d.npy", part)))
    with pytest.raises(KcnnError, match="array 'd' unpacks to 280128 bytes"):
        npy.read(path)


def test_plain_arrays_have_no_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(npy, "FREE", FREE)
    path = tmp_path / "x.npz"
    np.savez(path, x=np.zeros(25 << 16, np.float32))
    assert npy.read(path)["x"].nbytes == 100 << 16


def test_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "gone.npy", tmp_path):
        with pytest.raises(KcnnError, match="cannot be read .*; give the path of an .npy or .npz"):
            npy.read(path)
