"""Kinds: shapes and sizes."""

from kcnn.arch.kind import Kind


def test_shapes():
    kind = Kind(2, 3, 4, 5, planes=2, bits=8)
    assert kind.shape == (2, 3, 4, 5)
    assert kind.codes == (2, 2, 3, 4, 5)
    assert kind.size == 240
