"""Is a program one that a machine of its configuration executes as meant?

`verify` checks, in this order: names, tensors, external memory, instructions one by one, the
streams of RUNs, ports, the layer table, dependency tokens, every access to memory and tables
(`hazards.py`), and that the layer table says what the instructions do (`agree.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from . import agree, effects, fixed, hazards, isa, names, order, parse, stream, tables
from .config import Config
from .errors import ConfigError, FormatError
from .isa import End, Fill, Instruction, Load, Mode, Run, Store, Table, TableLoad, Unit
from .kind import Kind
from .layers import check_layers
from .place import Box, Place
from .program import ALIGN, Port, Program, Tensor, align, moved_by
from .region import Space

Ints = NDArray[np.int64]
EXTERNAL_BYTES = 1 << 32
WIDE = "a number of its layout has more than 32 bits"
# behind the tables lie so many times what the activation memory holds and transfers move
ROOM = 4
# zero bytes that may follow a stream's last END
STREAM_REST = 32
# a scale is a normal float32, and so is every value of 16 bits times it
SCALES = (2.0 ** -126, 2.0 ** 111)


def same_machine(program: Program, config: Config, where: str) -> None:
    """Refuse a program that was compiled for another machine than `config`."""
    if program.config.hash == config.hash:
        return
    mine, theirs = vars(config), vars(program.config)
    name = next(n for n in mine if n != "name" and mine[n] != theirs[n])
    raise ConfigError(f"{where}: compiled for {name}={theirs[name]}, but configuration "
                      f"{config.name!r} has {name}={mine[name]}; recompile the network for it, "
                      "or use the configuration in the file")


def verify(program: Program) -> None:
    """Raise FormatError, one sentence, for the first rule of docs/machine.md that is broken."""
    _check_names(program)
    _check_ends(program)
    _check_memory(program)
    for tensor in program.tensors:
        _check_tensor(program, tensor)
    for index, instruction in enumerate(program.instructions):
        place = f"instruction {index} ({instruction.OP.name})"
        for holds, sentence in _rules(program, instruction):
            _refuse_unless(holds, place, sentence)
    flats = _check_streams(program)
    _check_ports(program)
    check_layers(program)
    known = order.order(program.instructions)
    accesses = hazards.Accesses(program, known, flats)
    if not program.layers:
        return accesses.walk()
    agreement = agree.Agreement(program, flats)
    accesses.walk(agreement.step)
    agreement.end()


Rules = list[tuple[bool, str]]


def _refuse_unless(holds: bool, place: str, sentence: str) -> None:
    if not holds:
        raise FormatError(f"{place}: {sentence}; recompile the network")


# ---- names -------------------------------------------------------------------------------------
def _check_names(program: Program) -> None:
    found = {"tensor": [tensor.name for tensor in program.tensors],
             "input": [port.name for port in program.inputs],
             "output": [port.name for port in program.outputs],
             "layer": [layer.name for layer in program.layers],
             "kind of layer": [layer.kind for layer in program.layers]}
    for kind, texts in found.items():
        for number, text in enumerate(texts):
            _refuse_unless(names.legal(text), f"{kind} {number}",
                           f"its name {names.shown(text)} must be {names.WANTED}")
    _refuse_unless(len(program.meta.nodes) in (0, len(program.tensors)), "metadata",
                   f"nodes names {len(program.meta.nodes)} tensors of {len(program.tensors)}")


# ---- instructions ----------------------------------------------------------------------------
def _check_ends(program: Program) -> None:
    ends = [i for i, ins in enumerate(program.instructions) if isinstance(ins, End)]
    last = len(program.instructions) - 1
    _refuse_unless(bool(ends) and last == ends[-1], f"instruction {last}",
                   "the last instruction is not END")
    _refuse_unless(len(ends) == 1, f"instruction {ends[0]} (END)",
                   "instructions follow, but END must be the last")


def _rules(program: Program, ins: Instruction) -> Rules:
    rules = _head_rules(program.config, ins) + [
        (getattr(ins, field.name) == 0,
         f"{field.name}={getattr(ins, field.name)} must be 0, no machine of this version uses it")
        for field in ins.FIELDS if field.reserved]
    if isinstance(ins, Load | Store):
        return rules + _transfer_rules(program, ins)
    if isinstance(ins, TableLoad):
        return rules + _table_rules(program, ins)
    if isinstance(ins, Fill):
        return rules + _row_rules(program.config, ins) + [
            (ins.code < program.config.codes,
             f"code={ins.code} has more than {program.config.code_bits} bits")]
    if isinstance(ins, Run):
        return rules + _run_rules(program, ins) + _chunk_rules(program.config, ins)
    return rules


def _head_rules(config: Config, ins: Instruction) -> Rules:
    if ins.UNIT is None:
        return []
    flags = {**order.POPS[ins.UNIT], **order.PUSHES[ins.UNIT]}
    foreign = [name for name in isa.FLAGS if getattr(ins, name) and name not in flags]
    return [
        (not foreign, f"{foreign[:1]} names a unit beyond {Unit(ins.UNIT).name}, there is none"),
        (0 < ins.cores < 1 << config.cores,
         f"cores={ins.cores} must name cores of a machine that has {config.cores}")]


def _row_rules(config: Config, ins: Load | Store | Fill) -> Rules:
    return [(ins.row + ins.rows <= config.rows,
             f"row={ins.row} rows={ins.rows} end behind the {config.rows} rows of the memory")]


def _aligned(config: Config, name: str, units: int) -> tuple[bool, str]:
    return (units * isa.UNIT_BYTES % config.port_bytes == 0,
            f"{name}={units:#x} is byte {units * isa.UNIT_BYTES}, no multiple of the port's "
            f"{config.port_bytes} bytes")


def _transfer_rules(program: Program, ins: Load | Store) -> Rules:
    config = program.config
    start = ins.address * isa.UNIT_BYTES
    end = start + ins.rows * config.row_bytes
    return _row_rules(config, ins) + [
        _aligned(config, "address", ins.address),
        (end <= program.memory_bytes,
         f"address={ins.address:#x} rows={ins.rows} end at byte {end}, external memory has "
         f"{program.memory_bytes}"),
        (isinstance(ins, Load) or start >= program.data_base,
         f"address={ins.address:#x} is byte {start}, which holds instructions, streams or tables "
         f"(up to {program.data_base})")]


def _table_rules(program: Program, ins: TableLoad) -> Rules:
    config = program.config
    depth = tables.depth(ins.kind, config)
    rules: Rules = [(ins.first + ins.count <= depth,
                     f"first={ins.first} count={ins.count} end behind the {depth} entries of "
                     f"the table {Table(ins.kind).name}")]
    if ins.kind == Table.RAMP:
        return rules + [(getattr(ins, name) < config.memory_codes,
                         f"{name}={getattr(ins, name)} is no address below {config.memory_codes}")
                        for name in TableLoad.addresses()]
    start = ins.address * isa.UNIT_BYTES
    end = start + isa.ENTRY_BYTES * ins.count
    inside = program.table_base <= start and end <= program.table_base + len(program.tables)
    rules += [_aligned(config, "address", ins.address),
              (inside, f"address={ins.address:#x} count={ins.count} are bytes {start} to {end}, "
                       f"the tables lie from {program.table_base} to "
                       f"{program.table_base + len(program.tables)}")]
    return rules + (_entry_rules(program, ins) if inside else [])


def _entry_rules(program: Program, ins: TableLoad) -> Rules:
    """The words in external memory must be legal entries."""
    config, words = program.config, hazards.entries(program, ins)
    if ins.kind == Table.BASE:
        legal = ((tables.address(words) < config.memory_codes)
                 & (tables.pair(words) < config.table_pairs))
        meaning = "an address of the memory and a pair"
    elif ins.kind == Table.OFFSET:
        legal = words < config.memory_codes
        meaning = "an address offset"
    elif ins.kind == Table.DECODE:
        values = tables.value(words)
        legal = (values == fixed.saturate(values, config.value_bits)) & (tables.code(words) == 0)
        meaning = f"a value of {config.value_bits} bits"
    else:
        threshold = tables.value(words)
        legal = ((threshold == fixed.saturate(threshold, fixed.CLUSTER_BITS))
                 & (tables.code(words) < config.codes))
        meaning = f"a threshold of {fixed.CLUSTER_BITS} bits and a code"
    bad = np.flatnonzero(~legal)
    found = f"{int(words[bad[0]]):#010x}" if bad.size else ""
    at = ins.first + int(bad[0]) if bad.size else 0
    return [(not bad.size, f"entry {at} of {Table(ins.kind).name} is {found}, not {meaning}")]


def _run_rules(program: Program, ins: Run) -> Rules:
    config = program.config
    start = ins.stream * isa.UNIT_BYTES
    end = start + ins.stream_units * isa.UNIT_BYTES
    base, limit = program.stream_base, program.stream_base + len(program.streams)
    rules: Rules = [
        _aligned(config, "stream", ins.stream),
        (base <= start and end <= limit,
         f"stream={ins.stream:#x} stream_units={ins.stream_units} are bytes {start} to {end}, the "
         f"streams lie from {base} to {limit}"),
        (ins.order < config.codes, f"order={ins.order} has more than {config.code_bits} bits"),
        (ins.mode != Mode.RADIX or ins.digits * config.code_bits >= ins.radix_width,
         f"digits={ins.digits} of {config.code_bits} bits do not hold "
         f"radix_width={ins.radix_width}")]
    return rules + [(getattr(ins, name) < config.memory_codes,
                     f"{name}={getattr(ins, name)} is not reduced modulo the memory's "
                     f"{config.memory_codes} codes") for name in Run.addresses()]


def _chunk_rules(config: Config, ins: Run) -> Rules:
    derived = isa.chunk_fields(config.lanes, ins.pitch, ins.image_rows)
    for name in derived.keys() & set(Run.addresses()):
        derived[name] %= config.memory_codes
    return [(getattr(ins, name) == value,
             f"{name}={getattr(ins, name)} must be {value} for pitch={ins.pitch} "
             f"image_rows={ins.image_rows} and {config.lanes} lanes")
            for name, value in derived.items()]


# ---- streams ---------------------------------------------------------------------------------
def _check_streams(program: Program) -> dict[int, effects.Flat]:
    """Every RUN's stream as arrays, by the RUN's index; streams that RUNs share are read once."""
    known: dict[tuple[int, int, int], effects.Flat] = {}
    flats = {}
    for index, ins in enumerate(program.instructions):
        if not isinstance(ins, Run):
            continue
        key = ins.stream, ins.stream_units, ins.channels
        place = f"instruction {index} (RUN)"
        if key not in known:
            known[key] = _flat(program, ins, place)
        flats[index] = known[key]
        _check_positions(program.config, ins, flats[index], place)
    return flats


def _flat(program: Program, ins: Run, place: str) -> effects.Flat:
    config = program.config
    start = ins.stream * isa.UNIT_BYTES - program.stream_base
    data = program.streams[start:start + ins.stream_units * isa.UNIT_BYTES]
    try:
        parsed = parse.parse(np.frombuffer(data, np.uint8), ins.channels, place)
    except FormatError:
        raise _byte_by_byte(data, ins.channels, place) from None
    used = int(parsed.ends[-1])
    rest = len(data) - used
    _refuse_unless(not any(data[used:]), place,
                   f"its stream goes on behind the last of channels={ins.channels}, at byte {used}")
    _refuse_unless(stream.SLACK <= rest <= STREAM_REST, place,
                   f"stream_units={ins.stream_units} leave {rest} bytes behind the last channel, "
                   f"{stream.SLACK} to {STREAM_REST} are needed")
    flat = effects.flat(parsed)
    most = int(flat.channel_taps.max())
    _refuse_unless(most <= config.tap_slots, place,
                   f"a channel of its stream has {most} taps, the tap cache holds "
                   f"tap_slots={config.tap_slots}")
    wide = flat.factors[flat.factors != fixed.saturate(flat.factors, config.factor_bits)]
    _refuse_unless(not wide.size, place,
                   f"a cluster of its stream has the factor {wide[:1].tolist()}, which does not "
                   f"fit factor_bits={config.factor_bits}")
    return flat


def _byte_by_byte(data: bytes, channels: int, place: str) -> FormatError:
    """What is wrong with a stream, and at which byte."""
    try:
        stream.decode_stream(data, channels, f"{place}: its stream")
    except FormatError as error:
        said = str(error).removesuffix("; recompile the network")
        return FormatError(f"{said}; recompile the network")
    raise AssertionError("both ways to decode a stream refuse the same bytes")


def _check_positions(config: Config, ins: Run, flat: effects.Flat, place: str) -> None:
    entry = int(flat.positions.max(initial=0)) >> ins.kernel_bits
    _refuse_unless(entry < config.base_entries, place,
                   f"kernel_bits={ins.kernel_bits}: a tap names base entry {entry}, the table has "
                   f"base_entries={config.base_entries}")


# ---- tensors, ports, external memory ---------------------------------------------------------
def _check_memory(program: Program) -> None:
    place = "external memory"
    _refuse_unless(bool(program.inputs) and bool(program.outputs), "program",
                   "it has no input or no output")
    chip = program.config.rows
    rows = chip + sum(min(chip, ins.rows) for ins in program.instructions
                      if isinstance(ins, Load | Store))
    areas = len(program.inputs) + len(program.outputs) + len(program.tensors)
    room = ROOM * rows * program.config.row_bytes + areas * ALIGN
    most = min(program.data_base + room, EXTERNAL_BYTES)
    _refuse_unless(program.data_base <= program.memory_bytes <= most, place,
                   f"memory_bytes={program.memory_bytes} must be from {program.data_base}, where "
                   f"instructions, streams and tables end, to {most}")
    _refuse_unless(program.memory_bytes == align(program.memory_bytes), place,
                   f"memory_bytes={program.memory_bytes} is no multiple of 64")


def _check_tensor(program: Program, tensor: Tensor) -> None:
    name = f"tensor {tensor.name!r}"
    for holds, sentence in _kind_rules(program.config, tensor.kind):
        _refuse_unless(holds, name, sentence)
    windows = [place for place in tensor.places if place.box and place.space == Space.ROWS]
    kept = [tensor.home] if tensor.home else [p for p in tensor.places if p.whole][:1]
    known = [*kept, *windows] if tensor.home or not kept else kept
    _refuse_unless(len(known) == len(tensor.places) > 0, name,
                   "it must lie in the activation memory as a whole, or in windows there, with or "
                   "without a home outside")
    for place in tensor.places:
        where = name if place.whole else f"{name}: {place.said}"
        for rules in (_box_rules, _layout_rules, _element_rules):
            for holds, sentence in rules(program, tensor.kind, place):
                _refuse_unless(holds, where, sentence)


def _box_rules(program: Program, kind: Kind, place: Place) -> Rules:
    box = place.box or Box(0, kind.height, 0, kind.channels)
    return [
        (_narrow((*vars(box).values(), place.since, place.until)), WIDE),
        (min(box.height, box.channels) >= 1 and min(box.y, box.channel) >= 0
         and box.y + box.height <= kind.height and box.channel + box.channels <= kind.channels,
         "it is no part of the tensor"),
        (place.box is None or 0 <= place.since <= place.until < len(program.instructions),
         f"since={place.since} until={place.until} are no instructions in this order"),
    ]


def _kind_rules(config: Config, kind: Kind) -> Rules:
    numbers = (*kind.codes, kind.bits, kind.pad, kind.order)
    return [
        (_narrow(numbers), WIDE),
        (min(kind.codes) >= 1, "a size of its layout is below 1"),
        (kind.planes <= 4, "more than 4 planes or a split above 4"),
        (0 <= kind.pad < config.codes and 0 <= kind.order < config.codes,
         "pad or order is no code"),
        (SCALES[0] <= kind.scale <= SCALES[1],
         f"scale={kind.scale} must be from {SCALES[0]:.3g} to {SCALES[1]:.3g}"),
        (_values_fit(config, kind),
         f"it needs {config.codes} values of {config.value_bits} bits and one plane, or radix "
         "planes that hold its bits and pad code 0"),
    ]


def _layout_rules(program: Program, kind: Kind, place: Place) -> Rules:
    config, layout = program.config, place.layout
    rows = config.rows if place.space == Space.ROWS else program.memory_bytes // config.row_bytes
    return [
        (_narrow(value for name, value in vars(layout).items() if name != "base")
         and abs(layout.base) < 2 * EXTERNAL_BYTES, WIDE),
        (min(layout.rows, layout.split) >= 1, "a size of its layout is below 1"),
        (layout.first_row >= 0 and layout.first_row + layout.rows <= rows,
         f"rows {layout.first_row} to {layout.first_row + layout.rows} are not in the memory's "
         f"{rows} rows"),
        (layout.split <= 4, "more than 4 planes or a split above 4"),
        (math.prod(place.shape(kind)) <= layout.rows * config.row_codes,
         f"its elements do not fit its {layout.rows} rows"),
    ]


def _element_rules(program: Program, kind: Kind, place: Place) -> Rules:
    """Elements of a home lie in external memory; those on chip in their rows, apart, which
    `agree.py` sees of windows by what they hold."""
    config, layout, shape = program.config, place.layout, place.shape(kind)
    low, high = layout.ends(shape)
    if place.space == Space.EXTERNAL:
        size, end = config.codes_per_byte, program.memory_bytes
        return [(program.data_base * size <= low and high < end * size,
                 f"its elements do not lie between the bytes {program.data_base} and {end}")]
    first = layout.base - (layout.base - layout.first_row * config.row_codes) % config.memory_codes
    inside = first <= low and high < first + layout.rows * config.row_codes
    apart = inside and (place.box is not None
                        or int(np.bincount((layout.addresses(shape) - low).ravel()).max()) == 1)
    return [(inside, "an element lies outside its rows"), (apart, "two elements share an address")]


def _narrow(numbers: Iterable[int]) -> bool:
    return max(map(abs, numbers)) < 1 << 31


def _values_fit(config: Config, kind: Kind) -> bool:
    values = np.array(kind.values, np.int64)
    if values.size:
        return (values.size == config.codes and kind.planes == 1 and kind.bits == 0
                and bool((values == fixed.saturate(values, config.value_bits)).all()))
    return 2 <= kind.bits <= kind.planes * config.code_bits and kind.pad == 0


def _check_ports(program: Program) -> None:
    taken: list[tuple[int, int, str]] = []
    for ports, kind in ((program.inputs, Load), (program.outputs, Store)):
        for port in ports:
            _check_port(program, port, kind, taken)


def _check_port(program: Program, port: Port, kind: type[Load] | type[Store],
                taken: list[tuple[int, int, str]]) -> None:
    """taken: external memory of the ports before, extended by this one's."""
    place = f"{'input' if kind is Load else 'output'} {port.name!r}"
    _refuse_unless(0 <= port.tensor < len(program.tensors), place,
                   f"tensor {port.tensor} does not exist")
    tensor = program.tensors[port.tensor]
    outside, images = tensor.outside(port.address, program.config), tensor.kind.images
    end = port.address + outside.layout.rows * program.config.row_bytes
    _refuse_unless(images == program.batch, place,
                   f"it has {images} images, the first input {program.batch}")
    _refuse_unless(port.address % isa.UNIT_BYTES == 0 and program.data_base <= port.address
                   and end <= program.memory_bytes, place,
                   f"address={port.address} must be a multiple of 16 and its rows lie from "
                   f"{program.data_base} to {program.memory_bytes}")
    for first, last, name in taken:
        _refuse_unless(end <= first or last <= port.address, place,
                       f"address={port.address} overlaps {name}")
    taken.append((port.address, end, place))
    _refuse_unless(*_reached(program, port, kind, place))


def _reached(program: Program, port: Port, kind: type[Load] | type[Store], place: str
             ) -> tuple[bool, str, str]:
    """A port has its tensor's home, or transfers move all rows of the tensor."""
    tensor, size = program.tensors[port.tensor], program.config.codes_per_byte
    if tensor.home:
        layout, start = tensor.home.layout, port.address * size
        low, high = layout.ends(tensor.kind.codes)
        end = start + layout.rows * program.config.row_codes
        return (start <= low and high < end, place, "its tensor's home does not lie in the bytes "
                                                    f"{port.address} to {end // size}")
    return (moved_by(program, port, kind) is not None, place,
            f"no {kind.OP.name} moves its {tensor.layout.rows} rows from row "
            f"{tensor.layout.first_row}")
