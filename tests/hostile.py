"""Binaries that mean harm: sections changed, checksums repaired, and everything else as it was."""

from __future__ import annotations

import copy
import dataclasses
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import strategies
from kcnn.arch import kbin, sections
from kcnn.arch.config import Config
from kcnn.arch.kbin import Section
from kcnn.arch.program import Program

Bodies = dict[Section, bytes]
NUMBERS = [0, 1, -1, 2, 3, 255, 256, 30_000, -30_000, 1 << 16, (1 << 31) - 1, -(1 << 31), 1 << 31,
           (1 << 32) - 1, 1 << 32, (1 << 63) - 1, -(1 << 63), 1 << 63, 1 << 64, 10 ** 400]
REALS = [0.0, -0.0, -1.0, 5e-324, 1e-40, 1e-30, 1e30, 1e38, 1e300, float("inf"), float("nan")]
TEXTS = ["", "\x1b[2J\x1b[31m", "a\nb", "\u202e", "\ud800", "x" * 70_000, "\0", "sum", "max"]
LENGTH = struct.Struct("<I")


def parts(program: Program) -> Bodies:
    """The sections of a program's file; the layer table inflated."""
    return kbin._bodies(program, False)


def joined(bodies: Bodies) -> bytes:
    """A file of these sections with right checksums, offsets and, if it has one, hash."""
    packed = {section: zlib.compress(body, 1) if section == Section.LAYERS else body
              for section, body in bodies.items()}
    try:
        config_hash = Config.from_json(bodies[Section.CONFIG].decode()).hash
    except Exception:
        config_hash = bytes(32)
    return kbin._join(packed, config_hash)


def mutations(program: Program, section: Section, count: int, seed: int = 0) -> Iterator[bytes]:
    """Files in which something of one section is changed."""
    rng = random.Random(seed)
    bodies = parts(program)
    for _ in range(count):
        body = bodies[section]
        for _ in range(rng.choice([1, 1, 1, 2, 4])):
            body = rng.choice(WAYS[section])(rng, body)
        yield joined({**bodies, section: body})


# ---- bytes -----------------------------------------------------------------------------------
def flipped(rng: random.Random, body: bytes) -> bytes:
    data = bytearray(body or b"\0")
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def cut_or_grown(rng: random.Random, body: bytes) -> bytes:
    at, size = rng.randrange(len(body) + 1), rng.choice([1, 4, 16, 64])
    if rng.random() < 0.5:
        return body[:at] + body[at + size:]
    more = rng.choice([bytes(size), rng.randbytes(size), body[at:at + size]])
    return body[:at] + more + body[at:]


def numbered(rng: random.Random, body: bytes) -> bytes:
    """A number of 4 or 8 bytes in place of what was there."""
    width = rng.choice([4, 8])
    if len(body) < width:
        return body
    at = rng.randrange(0, len(body) - width + 1, 4)
    bits = rng.choice(NUMBERS) & ((1 << 8 * width) - 1)
    return body[:at] + bits.to_bytes(width, "little") + body[at + width:]


def real(rng: random.Random, body: bytes) -> bytes:
    """A float64 in place of a tensor's scale, or of anything else."""
    at = sections.DESCRIPTOR_HEAD.itemsize
    at = rng.choice([at, at + sections.TENSOR.itemsize, rng.randrange(0, len(body) - 8)])
    return body[:at] + struct.pack("<d", rng.choice(REALS)) + body[at + 8:]


# ---- JSON ------------------------------------------------------------------------------------
def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    for key, inner in (value.items() if isinstance(value, dict) else enumerate(value)
                       if isinstance(value, list) else ()):
        yield value, key
        yield from _places(inner)


def _wrong(rng: random.Random) -> Any:
    return rng.choice([rng.choice(NUMBERS), rng.choice(REALS[:9]), rng.choice(TEXTS), None, True,
                       [], {}, [[]] * 1000, {"a": 1}, [rng.choice(NUMBERS)] * rng.choice([1, 5000]),
                       ["|u1", rng.choice(NUMBERS)], ["<i8", rng.choice(NUMBERS)]])


def json_changed(rng: random.Random, body: bytes) -> bytes:
    """A value replaced, taken away, added or moved, written in the one form that kcnn reads."""
    try:
        value = json.loads(body)
        places = list(_places(value))
    except (ValueError, RecursionError):
        return body
    if not places:
        return body
    (inside, key), kind = rng.choice(places), rng.random()
    if kind < 0.7:
        inside[key] = _wrong(rng)
    elif kind < 0.8:
        del inside[key]
    elif kind < 0.9 and isinstance(inside, dict):
        inside[rng.choice(TEXTS)] = inside[key]
    else:
        inside[key] = copy.deepcopy(rng.choice([a[b] for a, b in places]))
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def json_text(rng: random.Random, body: bytes) -> bytes:
    """Text that no writer makes."""
    return rng.choice([b"[" * 200_000, b'{"a":' * 50_000, b"1" * 5000, b"NaN", b"", b"null", b"[]",
                       body.replace(b":", b": ", 1), body[:-1], body + b" " * 1000,
                       body.replace(b"{", b'{"kcnn":"x","kcnn":"y",', 1),
                       b'{"kcnn":"\\ud800"}', b'{"seed":' + b"9" * 4000 + b"}",
                       b'{"seed":1e400}', b'{"source":"\\u001b[31m"}'])


# ---- layer table ---------------------------------------------------------------------------------
def table_text(change: Callable[[random.Random, bytes], bytes]
               ) -> Callable[[random.Random, bytes], bytes]:
    """The change of a JSON text for the text of a layer table."""
    def changed(rng: random.Random, body: bytes) -> bytes:
        size = int.from_bytes(body[:4], "little")
        text, arrays = body[4:4 + size], body[4 + size:]
        text = change(rng, text)
        return LENGTH.pack(len(text)) + text + arrays
    return changed


def table_number(rng: random.Random, body: bytes) -> bytes:
    """A number of an array, or the length of the text."""
    start = 4 + int.from_bytes(body[:4], "little")
    if rng.random() < 0.1 or start >= len(body):
        return LENGTH.pack(rng.choice(NUMBERS) & 0xFFFFFFFF) + body[4:]
    data = bytearray(body)
    data[rng.randrange(start, len(data))] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
    return bytes(data)


WAYS: dict[Section, list[Callable[[random.Random, bytes], bytes]]] = {
    Section.CONFIG: [json_changed, json_changed, json_text, flipped],
    Section.INSTRUCTIONS: [flipped, flipped, cut_or_grown, numbered],
    Section.STREAMS: [flipped, flipped, cut_or_grown, numbered],
    Section.TABLES: [flipped, flipped, cut_or_grown, numbered],
    Section.DESCRIPTORS: [flipped, numbered, numbered, real, cut_or_grown],
    Section.LAYERS: [table_text(json_changed), table_text(json_changed), table_text(json_text),
                     table_number, table_number, cut_or_grown],
    Section.META: [json_changed, json_changed, json_text, flipped, cut_or_grown]}


# ---- files with a purpose -----------------------------------------------------------------------
def edited(program: Program, change: Callable[[dict[str, Any], list[bytes]], None]) -> bytes:
    """The file with the layer table's text, or the arrays behind it, changed."""
    bodies = parts(program)
    body = bodies[Section.LAYERS]
    size = int.from_bytes(body[:4], "little")
    plain, rest = json.loads(body[4:4 + size]), [body[4 + size:]]
    change(plain, rest)
    text = json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()
    return joined({**bodies, Section.LAYERS: LENGTH.pack(len(text)) + text + b"".join(rest)})


def with_config(program: Program, **changes: Any) -> bytes:
    """The file with fields of its configuration changed."""
    bodies = parts(program)
    fields = {**json.loads(bodies[Section.CONFIG]), **changes}
    text = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    return joined({**bodies, Section.CONFIG: text})


def with_meta(program: Program, text: str) -> bytes:
    """The file with another text of metadata."""
    return joined({**parts(program), Section.META: text.encode()})


def with_descriptors(program: Program, at: int, code: str, value: Any) -> bytes:
    """The file with one number of its descriptors changed; code: of `struct`."""
    bodies = parts(program)
    data = bytearray(bodies[Section.DESCRIPTORS])
    struct.pack_into(code, data, at, value)
    return joined({**bodies, Section.DESCRIPTORS: bytes(data)})


def bomb(program: Program, size: int) -> bytes:
    """A layer table of `size` bytes that take a thousandth."""
    bodies = parts(program)
    return joined({**bodies, Section.LAYERS: bodies[Section.LAYERS] + bytes(size)})


def spaces(program: Program, size: int) -> bytes:
    """The same inside the text."""
    bodies = parts(program)
    body = bodies[Section.LAYERS]
    length = int.from_bytes(body[:4], "little")
    text = b" " * size + body[4:4 + length]
    return joined({**bodies, Section.LAYERS: LENGTH.pack(len(text)) + text + body[4 + length:]})


def files(program: Program) -> dict[str, bytes]:
    """What was once accepted or crashed, by what it does."""
    tensor = sections.DESCRIPTOR_HEAD.itemsize
    found: dict[str, bytes] = {
        f"memory of {size} bytes": with_descriptors(program, 0, "<Q", size)
        for size in (1 << 30, 1 << 32, (1 << 64) - 64)}
    found |= {f"scale {value}": with_descriptors(program, tensor, "<d", value) for value in REALS}
    found |= {f"latency {value}": with_config(program, latency=value)
              for value in (9 * 10 ** 18, 1 << 63, 1 << 70, (1 << 16) + 1, -1, 1.5, "8", True)}
    found |= {f"name {text[:9]!a}": with_config(program, name=text) for text in TEXTS[:7]}
    found |= {f"meta {text[:40]}": with_meta(program, text) for text in (
        '{"output_dims":{"output":"2"}}', '{"output_dims":[2]}', '{"output_dims":{"output":-1}}',
        '{"float32_bytes":"many"}', '{"float32_bytes":[1]}', '{"float32_bytes":-4}',
        '{"nodes":3}', '{"nodes":[1,2,3]}', '{"nodes":["a"]}', '{"nodes":{"a":1}}',
        '{"source":"\\u001b[31m"}', '{"source":1}', '{"seed":' + "9" * 4000 + "}", "[" * 100_000,
        '{"kcnn":"a","kcnn":"b"}', '{"else":1}', "[]", "1e999")}
    found |= {f"{name} {value}": edited(program, lambda plain, rest, n=name, v=value:
                                        plain["layers"][0].__setitem__(n, v))
              for name in ("macs", "dense_macs", "shift", "mode", "digits", "output")
              for value in (-1, 1 << 63, 1 << 64, 10 ** 400, 1.5, None)}
    found |= {f"layer {name} {text[:9]!a}": edited(
        program, lambda plain, rest, n=name, t=text: plain["layers"][0].__setitem__(n, t))
        for name in ("name", "kind", "op") for text in TEXTS[:7]}
    found["bomb"], found["spaces"] = bomb(program, 64 << 20), spaces(program, 64 << 20)
    found |= {f"taps at {far}": taps_at(program, far) for far in (30_000, -30_000, 1 << 40)}
    return found


def taps_at(program: Program, far: int) -> bytes:
    """All taps of the first layer so far away, in the layer table alone."""
    layer = program.layers[0]
    taps = strategies.retapped(layer.taps, dy=np.full(len(layer.taps), far),
                               dx=np.full(len(layer.taps), far))
    layers = (dataclasses.replace(layer, taps=taps), *program.layers[1:])
    return joined(parts(dataclasses.replace(program, layers=layers)))
