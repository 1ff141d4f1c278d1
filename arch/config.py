"""Hardware configuration: one frozen record, its rules, and everything derived from it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Annotated, get_type_hints

from . import names
from .errors import ConfigError

# The largest sizes that a machine can have: its instructions and streams count no further.
MOST = {"memory_codes": 1 << 20, "tap_slots": 1 << 15, "base_entries": 1 << 14,
        "latency": 1 << 16}
# Fields of machines to come, and what they are on the machines that there are.
NEUTRAL = {"cores": 1, "slices": 1, "outstanding": 1, "skip": 0, "memory_banks": 1, "fc_lanes": 0}
TOML_BYTES = 1 << 16


def _power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


def bits_for(count: int) -> int:
    """Width of an index that runs from 0 to count - 1 (at least 1)."""
    return max(1, (count - 1).bit_length())


@dataclasses.dataclass(frozen=True)
class Config:
    """One machine. Every field is a hardware parameter, with what it means beside its type;
    properties are derived and never stored.

    >>> Config.preset("tiny").lanes
    4
    """

    name: str
    lanes: Annotated[int, "P: output positions computed side by side by one core"]
    share: Annotated[int, "M: lanes that share one multiplier"]
    drain: Annotated[int, "D: positions drained (requantized, clustered) per clock"]
    code_bits: Annotated[int, "AB: bits of an activation code"]
    memory_codes: Annotated[int, "codes that the activation memory holds"]
    tap_slots: Annotated[
        int, "taps of one channel that the tap cache holds (it holds two channels)"]
    base_entries: Annotated[
        int, "entries of the base table (logical channels x planes that one RUN reads)"]
    port_bits: Annotated[int, "width of the external memory port"]
    cores: Annotated[
        int, "G: cores that share the memory port, each with some of the channels (to come)"] = 1
    slices: Annotated[
        int, "Q: data paths of a core on one tap stream, each with its own images (to come)"] = 1
    value_bits: Annotated[int, "bits of a decoded activation value, two's complement; an input has "
                               "8, or these or sum_bits - 1 if fewer"] = 9
    factor_bits: Annotated[int, "bits of a cluster's factor, two's complement"] = 9
    sum_bits: Annotated[int, "bits of a cluster sum S"] = 16
    total_bits: Annotated[int, "bits of a total T"] = 25
    table_pairs: Annotated[int, "pairs of decode tables"] = 2
    offset_entries: Annotated[int, "entries of the kernel-offset table"] = 32
    skip: Annotated[int, "1: taps that read zeros alone take no clock (to come)"] = 0
    fc_lanes: Annotated[int, "lanes of the FC engine (to come)"] = 0
    memory_banks: Annotated[
        int, "external memories that one address after the other goes to in turn (to come)"] = 1
    outstanding: Annotated[int, "bursts that the memory port has open at once (to come)"] = 1
    burst: Annotated[int, "longest burst on the memory port, in beats"] = 16
    latency: Annotated[
        int, "clocks between the command and the first beat that the cost model assumes"] = 8

    def __post_init__(self) -> None:
        for rule, sentence in self._rules():
            if not rule:
                raise ConfigError(f"configuration {names.shown(self.name)}: {sentence}")

    def _rules(self) -> Iterator[tuple[bool, str]]:
        """Rules in an order in which each may rely on those before it."""
        integers = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)
                    if f.name != "name"}
        bad = [n for n, v in integers.items() if isinstance(v, bool) or not isinstance(v, int)]
        if bad:
            yield False, f"{bad[0]} must be an integer, found {names.shown(integers[bad[0]])}"
        wide = [n for n, v in integers.items() if v.bit_length() > 31]
        if wide:
            yield False, f"{wide[0]} has more than 32 bits: {names.shown(integers[wide[0]])}"
        low = [n for n, v in integers.items() if v < NEUTRAL.get(n, 1)]
        if low:
            yield False, f"{low[0]} must be positive, found {integers[low[0]]}"
        yield names.legal(self.name), f"its name must be {names.WANTED}"
        yield from self._size_rules()
        yield from self._width_rules()

    def _size_rules(self) -> Iterator[tuple[bool, str]]:
        yield from [
            (_power_of_two(self.lanes) and 4 <= self.lanes <= 128,
             f"lanes must be a power of two from 4 to 128, found {self.lanes}"),
            (self.share in (1, 2, 4, 8, 16) and self.share <= self.lanes,
             f"share must be 1, 2, 4, 8 or 16 and at most lanes, found {self.share}"),
            (self.drain in (1, 2, 4), f"drain must be 1, 2 or 4, found {self.drain}"),
            (self.drain * self.share <= self.lanes,
             f"drain x share must not exceed lanes, found {self.drain} x {self.share}"),
            (4 <= self.code_bits <= 8, f"code_bits must be 4 to 8, found {self.code_bits}"),
            (_power_of_two(self.memory_codes)
             and 4 * self.lanes <= self.memory_codes <= MOST["memory_codes"],
             "memory_codes must be a power of two, at least four words of lanes and at most "
             f"{MOST['memory_codes']}, found {self.memory_codes}"),
            *((_power_of_two(getattr(self, name)) and 16 <= getattr(self, name) <= MOST[name],
               f"{name} must be a power of two from 16 to {MOST[name]}, "
               f"found {getattr(self, name)}") for name in ("tap_slots", "base_entries")),
            (self.port_bits in (32, 64, 128, 256, 512),
             f"port_bits must be 32, 64, 128, 256 or 512, found {self.port_bits}"),
        ]
        yield (
            self.row_bytes % self.port_bytes == 0,
            f"two words of codes ({self.row_bytes} bytes) must be whole beats of "
            f"{self.port_bits} bits")
        yield (
            _power_of_two(self.burst) and self.burst <= 256
            and self.burst % self.beats_per_row == 0 and self.burst * self.port_bytes >= 64,
            f"burst must be a power of two, at most 256 beats, at least 64 bytes and whole rows "
            f"of {self.beats_per_row} beats, found {self.burst}")

    def _width_rules(self) -> Iterator[tuple[bool, str]]:
        yield from [
            *((getattr(self, name) == value,
               f"{name} must be {value} in this version, found {getattr(self, name)}")
              for name, value in NEUTRAL.items()),
            (self.table_pairs == 2, f"table_pairs must be 2, found {self.table_pairs}"),
            (self.offset_entries == 32, f"offset_entries must be 32, found {self.offset_entries}"),
            (self.value_bits >= self.code_bits + 1,
             f"value_bits must exceed code_bits, found {self.value_bits}"),
            (self.value_bits <= 12, f"value_bits must be at most 12, found {self.value_bits}"),
            (2 <= self.factor_bits <= 12,
             f"factor_bits must be 2 to 12, found {self.factor_bits}"),
            (self.value_bits <= self.sum_bits <= 18,
             f"sum_bits must be value_bits to 18, found {self.sum_bits}"),
            (20 <= self.total_bits <= 32,
             f"total_bits must be 20 to 32, found {self.total_bits}"),
            (self.latency <= MOST["latency"],
             f"latency must be at most {MOST['latency']}, found {self.latency}"),
        ]

    # ---- derived -------------------------------------------------------------------------
    @property
    def codes(self) -> int:
        """Entries of a codebook."""
        return 1 << self.code_bits

    @property
    def codes_per_byte(self) -> int:
        """Codes in one byte of external memory."""
        return 2 if self.code_bits == 4 else 1

    @property
    def word_bits(self) -> int:
        """Bits of one activation-memory word (P codes)."""
        return self.lanes * self.code_bits

    @property
    def row_codes(self) -> int:
        """Codes of a row: an even and an odd word; allocations and transfers are whole rows."""
        return 2 * self.lanes

    @property
    def rows(self) -> int:
        """Rows of the activation memory."""
        return self.memory_codes // self.row_codes

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in external memory."""
        return self.row_codes // self.codes_per_byte

    @property
    def port_bytes(self) -> int:
        """Bytes of one beat."""
        return self.port_bits // 8

    @property
    def beats_per_row(self) -> int:
        """Beats that carry one row."""
        return self.row_bytes // self.port_bytes

    @property
    def address_bits(self) -> int:
        """Bits of a code address."""
        return bits_for(self.memory_codes)

    @property
    def lane_bits(self) -> int:
        """Bits of a lane number."""
        return bits_for(self.lanes)

    @property
    def multipliers(self) -> int:
        """Cluster multipliers of a core."""
        return self.lanes // self.share

    @property
    def total_banks(self) -> int:
        """Chunks whose totals can be in flight between the first tap and the end of the drain."""
        return 4

    @property
    def position_bits(self) -> int:
        """Bits of a tap's position (base entry and kernel position)."""
        return bits_for(self.base_entries) + bits_for(self.offset_entries)

    @property
    def drain_steps(self) -> int:
        """Drain steps of a chunk."""
        return self.lanes // self.drain

    # ---- forms ---------------------------------------------------------------------------
    def to_json(self) -> str:
        """Canonical text: equal configurations give equal bytes."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))

    @property
    def hash(self) -> bytes:
        """32 bytes that identify the machine; the name does not count."""
        fields = {k: v for k, v in dataclasses.asdict(self).items() if k != "name"}
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).digest()

    @classmethod
    def from_dict(cls, fields: dict[str, object], name: str, where: str) -> Config:
        """Build from plain values; unknown and missing fields raise ConfigError."""
        known = {f.name for f in dataclasses.fields(cls)}
        needed = {f.name for f in dataclasses.fields(cls)
                  if f.default is dataclasses.MISSING} - {"name"}
        unknown = sorted(set(fields) - known)
        if unknown:
            raise ConfigError(f"{where}: unknown field {names.shown(unknown[0])}; known fields are "
                              f"{', '.join(sorted(known))}")
        missing = sorted(needed - set(fields))
        if missing:
            raise ConfigError(f"{where}: field {missing[0]!r} is missing")
        values = dict(fields)
        values.setdefault("name", name)
        if not isinstance(values["name"], str):
            raise ConfigError(f"{where}: name must be text, found {names.shown(values['name'])}")
        return cls(**values)  # type: ignore[arg-type]

    @classmethod
    def from_json(cls, text: str, where: str = "configuration") -> Config:
        """Inverse of `to_json`."""
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{where}: not JSON ({error})") from None
        if not isinstance(fields, dict):
            raise ConfigError(f"{where}: not a table of fields")
        return cls.from_dict(fields, "unnamed", where)

    @classmethod
    def preset(cls, name: str) -> Config:
        """A configuration that comes with kcnn."""
        known = presets()
        if name not in known:
            raise ConfigError(f"no configuration {name!r}: presets are {', '.join(known)}; "
                              "or give the path of a TOML file")
        text = (resources.files(__package__) / "presets" / f"{name}.toml").read_text()
        return cls.from_dict(tomllib.loads(text), name, f"preset {name}")

    @classmethod
    def load(cls, name: str) -> Config:
        """A preset by name, or a TOML file by path."""
        if not name.endswith(".toml") and "/" not in name:
            return cls.preset(name)
        path = Path(name)
        try:
            with path.open("rb") as file:
                data = file.read(TOML_BYTES + 1)
            if len(data) > TOML_BYTES:
                raise ConfigError(f"{name}: holds more than {TOML_BYTES} bytes, so it is no "
                                  "configuration")
            fields = tomllib.loads(data.decode())
        except OSError as error:
            raise ConfigError(f"{name}: cannot be read ({error.strerror})") from None
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{name}: not TOML ({error})") from None
        return cls.from_dict(fields, path.stem, name)


def meanings() -> dict[str, str]:
    """What every field but the name means."""
    hints = get_type_hints(Config, include_extras=True)
    return {name: hints[name].__metadata__[0] for name in hints if name != "name"}


def presets() -> list[str]:
    """Names of the configurations that come with kcnn."""
    folder = resources.files(__package__) / "presets"
    return sorted(p.name.removesuffix(".toml") for p in folder.iterdir()
                  if p.name.endswith(".toml"))
