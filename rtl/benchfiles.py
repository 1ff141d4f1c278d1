"""The files that a stand-alone HDL bench reads and writes (rtl/bench): lines of hexadecimal words.

All lines of a file have the same length, so numpy takes them apart without a loop over lines.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..arch.config import Config, bits_for
from ..arch.engine import PERIOD, MemoryModel, Writes
from ..arch.errors import KcnnError

Ints = NDArray[np.int64]
IMAGE, WAITS = "image.hex", "waits.hex"
MEMORY, STAMPS, WRITES, OUTCOME = "memory.hex", "stamps.hex", "writes.hex", "outcome.txt"
CYCLE_DIGITS = 8
UNDEFINED = 255
LINES_AT_ONCE = 1 << 16
QUIET_SLACK = 1000

_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)
_NIBBLES = np.full(256, UNDEFINED, np.uint8)
_NIBBLES[_DIGITS] = range(16)
_NIBBLES[np.frombuffer(b"ABCDEF", np.uint8)] = range(10, 16)


class EngineError(KcnnError):
    """A simulated machine did not come to its end, or gave something that has no meaning."""


def quiet_limit(config: Config, model: MemoryModel) -> int:
    """Cycles that a running machine cannot pass without a beat, a write or a start or end."""
    chunk = config.tap_slots * config.share
    return int(chunk + model.latency.max() + model.stall.max() + QUIET_SLACK)


def digits_for(bits: int) -> int:
    """Hexadecimal digits of a word."""
    return -(-bits // 4)


def write_memory(path: Path, memory: NDArray[np.uint8], port_bytes: int) -> int:
    """Write external memory, one beat a line; the number of lines."""
    padded = np.concatenate([memory, np.zeros(-len(memory) % port_bytes, np.uint8)])
    beats = padded.reshape(-1, port_bytes)[:, ::-1]
    _write_bytes(path, beats)
    return len(beats)


def write_waits(path: Path, model: MemoryModel) -> None:
    """Write the memory model, {latency, stall} a line.

    Raises EngineError for a wait that 16 bits do not hold.
    """
    waits = np.stack([model.latency, model.stall], axis=1)
    if waits.shape != (PERIOD, 2) or waits.min() < 0 or waits.max() >= 1 << 16:
        raise EngineError(f"a memory model holds {PERIOD} latencies and stalls from 0 to 65535")
    _write_bytes(path, waits.astype(">u2").view(np.uint8).reshape(PERIOD, 4))


def _write_bytes(path: Path, lines: NDArray[np.uint8]) -> None:
    text = np.full((len(lines), 2 * lines.shape[1] + 1), ord("\n"), np.uint8)
    text[:, 0:-1:2] = _DIGITS[lines >> 4]
    text[:, 1:-1:2] = _DIGITS[lines & 15]
    path.write_bytes(text.tobytes())


def read_memory(path: Path, size: int, port_bytes: int) -> NDArray[np.uint8]:
    """Inverse of `write_memory`: the first `size` bytes."""
    (digits,) = _read(path, [2 * port_bytes])
    if (digits == UNDEFINED).any():
        beat = int(np.argwhere(digits == UNDEFINED)[0, 0])
        raise EngineError(f"an undefined value was stored at byte {beat * port_bytes} of the "
                          "external memory: the converted machine is faulty")
    beats = digits[:, 0::2] << 4 | digits[:, 1::2]
    return np.ascontiguousarray(beats[:, ::-1]).ravel()[:size]


def read_stamps(path: Path) -> tuple[Ints, Ints, Ints]:
    """Cycle, started and ended bits (one a unit) of every cycle in which a unit starts or ends."""
    cycle, started, ended = _read(path, [CYCLE_DIGITS, 1, 1])
    _refuse_undefined(cycle, [started, ended], "start and end marks")
    return _number(cycle), _number(started), _number(ended)


def read_writes(path: Path, config: Config) -> Writes:
    """Every write of the activation memory; codes that the mask leaves out are 0.

    A line whose words lie in two rows gives two writes, the even word's first.
    """
    cells, bits = config.row_codes, config.code_bits
    row = digits_for(row_bits(config))
    widths = [CYCLE_DIGITS, row, row, digits_for(cells), digits_for(cells * bits)]
    cycle, even, odd, mask, codes = _read(path, widths)
    _refuse_undefined(cycle, [even, odd, mask, codes], "a write of the activation memory")
    return split_words(_number(cycle), _number(even), _number(odd),
                  _fields(mask, cells, 1).astype(np.bool_), _fields(codes, cells, bits))


def split_words(cycle: Ints, even: Ints, odd: Ints, mask: NDArray[np.bool_], codes: Ints) -> Writes:
    """One write a row from lines of an even and an odd word, each with its row."""
    lanes = mask.shape[1] // 2
    row = np.where(mask[:, :lanes].any(axis=1), even, odd)
    apart = (even != odd) & mask[:, :lanes].any(axis=1) & mask[:, lanes:].any(axis=1)
    if not apart.any():
        return Writes(cycle, row, mask, codes)
    lines = np.repeat(np.arange(len(cycle)), 1 + apart)
    second = np.append(lines[1:] == lines[:-1], False)
    second = np.roll(second, 1)
    halves = np.arange(2 * lanes) >= lanes
    keep = np.where(apart[lines, None], halves == second[:, None], True)
    return Writes(cycle[lines], np.where(second, odd[lines], row[lines]), mask[lines] & keep,
                  codes[lines] * keep)


def read_outcome(path: Path) -> tuple[str, int, int]:
    """How a run ended: a word (done, hung, beyond, overlap), the cycle, and a number about it."""
    word, cycle, detail = path.read_text().split()
    return word, int(cycle), int(detail, 16)


def row_bits(config: Config) -> int:
    """Width of the port `trace_row`."""
    return bits_for(config.rows)


def _read(path: Path, widths: list[int]) -> list[NDArray[np.uint8]]:
    """The columns of a file as arrays (lines, digits) of digits 0..15, or UNDEFINED."""
    text = np.frombuffer(path.read_bytes(), np.uint8)
    length = sum(widths) + len(widths)
    if len(text) % length:
        raise EngineError(f"{path.name}: lines of {length} characters were expected")
    digits = _NIBBLES[text].reshape(-1, length)
    ends = np.cumsum([width + 1 for width in widths]) - 1
    return [digits[:, end - width:end] for end, width in zip(ends, widths, strict=True)]


def _refuse_undefined(cycle: NDArray[np.uint8], columns: list[NDArray[np.uint8]],
                      what: str) -> None:
    bad = np.logical_or.reduce([(column == UNDEFINED).any(axis=1) for column in columns])
    if bad.any():
        first = int(_number(cycle[np.argmax(bad)][None])[0])
        raise EngineError(f"{what} in cycle {first} is undefined: the converted machine is faulty")


def _number(digits: NDArray[np.uint8]) -> Ints:
    value = np.zeros(len(digits), np.int64)
    for column in digits.T:
        value = value << 4 | column
    return value


def _fields(digits: NDArray[np.uint8], count: int, bits: int) -> Ints:
    """Cut words into `count` fields of `bits` bits, the lowest first: int64 (lines, count)."""
    low = np.arange(count) * bits
    out = np.empty((len(digits), count), np.int64)
    for at in range(0, len(digits), LINES_AT_ONCE):
        part = digits[at:at + LINES_AT_ONCE, ::-1].astype(np.int16)
        part = np.pad(part, ((0, 0), (0, 2)))
        word = part[:, low // 4]
        for nibble in (1, 2):
            word |= part[:, low // 4 + nibble] << (4 * nibble)
        out[at:at + LINES_AT_ONCE] = word >> (low % 4) & ((1 << bits) - 1)
    return out
