"""Storage formats of a layer: codes to sections of small numbers and back, bit by bit.

A format stores the codes alone; what they mean (a table or nothing, and scales) is the same in all
of them, see `file.py`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

from . import ccoo, plain, relative, taps
from .coded import Coded, Codes
from .sections import Section


@dataclasses.dataclass(frozen=True)
class Format:
    """decode(sections, empty) returns the codes; `empty` is the layer without its codes (zeros).

    fits: can the layer be stored at all?
    """

    name: str
    encode: Callable[[Coded], list[Section]]
    decode: Callable[[Sequence[Section], Coded], Codes]
    fits: Callable[[Coded], bool] = lambda coded: True


def _plain(name: str, encode: Callable[[Coded], list[Section]],
           decode: Callable[[Sequence[Section], plain.Shape, int], Codes],
           fits: Callable[[Coded], bool] = lambda coded: True) -> Format:
    return Format(name, encode, lambda sections, empty: decode(sections, empty.shape, empty.bits),
                  fits)


EIE_LANES = 64
FORMATS = {found.name: found for found in (
    _plain("dense", plain.encode_dense, plain.decode_dense),
    _plain("bitmap", plain.encode_bitmap, plain.decode_bitmap),
    _plain("csr", plain.encode_csr, plain.decode_csr),
    _plain("csc", relative.encode_csc, relative.decode_csc),
    _plain("csc64", functools.partial(relative.encode_csc, lanes=EIE_LANES),
           functools.partial(relative.decode_csc, lanes=EIE_LANES)),
    _plain("ccoo", ccoo.encode, ccoo.decode, ccoo.fits),
    _plain("ccoo-counts", ccoo.encode_counts, ccoo.decode_counts, ccoo.fits),
    _plain("release", relative.encode_release, relative.decode_release),
    _plain("index", relative.encode_index, relative.decode_index),
    Format("taps", taps.encode, taps.decode),
)}
