"""Sections: arrays of small unsigned numbers, packed bit by bit."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CompressError

Numbers = NDArray[np.uint32]
CHUNK = 1 << 16                 # numbers packed at a time; whole bytes whatever their width


@dataclasses.dataclass(frozen=True, eq=False)
class Section:
    """numbers: (n,) uint32, all below 2^bits, bits 1 to 32."""

    numbers: Numbers
    bits: int

    @classmethod
    def of(cls, numbers: NDArray[Any], bits: int) -> Section:
        """From whole numbers of any kind."""
        found = np.asarray(numbers)
        if found.size and not 0 <= int(found.min()) <= int(found.max()) < 1 << bits:
            raise ValueError(f"{found.min()}..{found.max()} do not fit {bits} bits")
        return cls(found.astype(np.uint32).ravel(), bits)

    @property
    def size(self) -> int:
        """Bytes when packed."""
        return -(-len(self.numbers) * self.bits // 8)

    def pack(self) -> bytes:
        """The numbers one after the other, lowest bit first: of two nibbles the low one first."""
        if self.bits in (8, 16, 32):
            return self.numbers.astype(f"<u{self.bits // 8}").tobytes()
        return b"".join(_packed(self.numbers[at:at + CHUNK], self.bits)
                        for at in range(0, len(self.numbers), CHUNK))


def _packed(numbers: Numbers, bits: int) -> bytes:
    loose = (numbers[:, None] >> np.arange(bits, dtype=np.uint32)) & 1
    return np.packbits(loose.astype(np.uint8).ravel(), bitorder="little").tobytes()


def unpack(data: bytes, count: int, bits: int) -> Section:
    """Inverse of Section.pack. Raises CompressError when bytes are missing or left."""
    if not 1 <= bits <= 32 or len(data) != -(-count * bits // 8):
        raise CompressError(f"a section of {count} numbers of {bits} bits has {len(data)} bytes; "
                            "the file is damaged")
    if bits in (8, 16, 32):
        return Section(np.frombuffer(data, f"<u{bits // 8}").astype(np.uint32), bits)
    loose = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    if loose[count * bits:].any():
        raise CompressError("a section ends with bits that belong to nothing; the file is damaged")
    columns = loose[:count * bits].reshape(count, bits).astype(np.uint32)
    return Section((columns << np.arange(bits, dtype=np.uint32)).sum(1, dtype=np.uint32), bits)
