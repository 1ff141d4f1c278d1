"""The metadata of a program: what is known about it beyond what machines and reference execute.

A key is a field of `Meta` with the rule that its values obey; nothing else is read or written. To
add one: a field here with its default (None, an empty tuple or mapping: not known) and a `Rule`,
what the key means beside it, and a line in tests/arch/test_meta.py. Sequences are tuples in a
`Meta` and lists in JSON. A field at its default is not written, so a new key leaves the bytes of
programs without it as they were.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from . import names, preprocess
from .errors import FormatError

MOST_ENTRIES = 1 << 16       # of a list or table
MOST_EXPONENT = 60
WIDE = (1 << 63) - 1


@dataclasses.dataclass(frozen=True)
class Rule:
    """holds: is this value legal? wanted: the same in words, behind "must be"."""

    holds: Callable[[Any], bool]
    wanted: str


def integer(low: int, high: int) -> Rule:
    """Whole numbers from low to high."""
    return Rule(lambda v: isinstance(v, int) and not isinstance(v, bool) and low <= v <= high,
                f"an integer from {low} to {high}")


def number(low: float = -math.inf, high: float = math.inf) -> Rule:
    """Finite floats within [low, high]."""
    return Rule(lambda v: isinstance(v, float) and math.isfinite(v) and low <= v <= high,
                f"a finite real number from {low} to {high}")


def one_of(*words: str) -> Rule:
    """One of these texts."""
    return Rule(lambda v: isinstance(v, str) and v in words, f"one of {', '.join(words)}")


def optional(rule: Rule) -> Rule:
    """What the rule takes, or None."""
    return Rule(lambda v: v is None or rule.holds(v), f"null or {rule.wanted}")


def several(rule: Rule, least: int = 0, most: int = MOST_ENTRIES) -> Rule:
    """A list of least to most values that each obey the rule."""
    return Rule(lambda v: (isinstance(v, tuple) and least <= len(v) <= most
                           and all(map(rule.holds, v))),
                f"a list of {least} to {most} values, each {rule.wanted}")


def table(rule: Rule, most: int = MOST_ENTRIES) -> Rule:
    """Names with values that obey the rule."""
    return Rule(lambda v: (isinstance(v, Mapping) and len(v) <= most
                           and all(names.legal(k) and rule.holds(w) for k, w in v.items())),
                f"a table of at most {most} names, each with {rule.wanted}")


def record(**rules: Rule) -> Rule:
    """A table of exactly these fields."""
    return Rule(lambda v: (isinstance(v, Mapping) and v.keys() == rules.keys()
                           and all(rule.holds(v[k]) for k, rule in rules.items())),
                "a table of " + ", ".join(f"{k} ({r.wanted})" for k, r in rules.items()))


def either(*rules: Rule) -> Rule:
    """What one of the rules takes."""
    return Rule(lambda v: any(rule.holds(v) for rule in rules),
                " or ".join(rule.wanted for rule in rules))


def alike(wanted: str, **rules: Rule) -> Rule:
    """A record whose lists are of one length."""
    rule = record(**rules)
    return Rule(lambda v: rule.holds(v) and len({len(w) for w in v.values()
                                                 if isinstance(w, tuple)}) == 1, wanted)


TRUTH = Rule(lambda v: isinstance(v, bool), "true or false")
NAME = Rule(names.legal, names.WANTED)
NAME_OR_NONE = Rule(lambda v: v == "" or names.legal(v), f"nothing or {names.WANTED}")


AFFINE = alike(
    "order, scale and offset of every channel, channels and channels_last",
    order=several(integer(0, MOST_ENTRIES), 1), scale=several(number(), 1),
    offset=several(number(), 1), channels=integer(1, MOST_ENTRIES), channels_last=TRUTH)
LIKENESS = alike(
    "low, high, and mean and spread of every feature", low=number(), high=number(),
    mean=several(number(), 1), spread=several(number(0.0), 1))
DECIBEL = optional(number(-1e5, 1e5))
FIGURES = record(images=integer(1, WIDE), outputs=several(record(
    name=NAME, sqnr=DECIBEL, varying=DECIBEL, typical=DECIBEL, equal=TRUTH,
    agreement=optional(integer(0, WIDE))), 1))
FIDELITY = dataclasses.replace(
    record(calibration=FIGURES, held_back=optional(FIGURES),
           worst=optional(record(layer=NAME, step=NAME))),
    wanted="the figures that compile measures: calibration, held_back, worst")


def _known(rule: Rule) -> Any:
    return dataclasses.field(default=None, metadata={"rule": rule})


def _list(rule: Rule) -> Any:
    return dataclasses.field(default=(), metadata={"rule": rule})


def _table(rule: Rule) -> Any:
    return dataclasses.field(default_factory=dict, metadata={"rule": rule})


@dataclasses.dataclass(frozen=True)
class Meta:
    """What a program says of itself. Raises FormatError for a value that breaks its rule."""

    # the model that was compiled, as the user named it, and the version of kcnn that did
    source: str | None = _known(NAME)
    kcnn: str | None = _known(NAME)
    # the options of the compilation
    clusters: int | None = _known(integer(1, WIDE))
    seed: int | None = _known(integer(-WIDE, WIDE))
    # bytes of the network's weights and biases as float32
    float32_bytes: int | None = _known(integer(0, WIDE))
    # output -> dimensions of the torch tensor that it is, N included
    output_dims: Mapping[str, int] = _table(table(integer(1, 4)))
    # what the model's preprocess does (arch.preprocess), and what calibration looked like behind it
    # (arch.likeness)
    preprocess: Mapping[str, Any] | str | None = _known(either(one_of(preprocess.OTHER), AFFINE))
    likeness: Mapping[str, Any] | None = _known(LIKENESS)
    # what compile measured (compiler/fidelity.py), on images calibrated on and on others
    fidelity: Mapping[str, Any] | None = _known(FIDELITY)
    # node of the canonical graph that each tensor is the value of, "" for none
    nodes: tuple[str, ...] = _list(several(NAME_OR_NONE))
    # node whose channels are stored as other numbers than the network's -> e of each channel: the
    # network's number is 2^e times the stored one
    exponents: Mapping[str, tuple[int, ...]] = _table(
        table(several(integer(-MOST_EXPONENT, MOST_EXPONENT), 1)))

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, rule = _frozen(getattr(self, field.name)), field.metadata["rule"]
            object.__setattr__(self, field.name, value)
            if value != _default(field) and not rule.holds(value):
                raise FormatError(f"metadata: {field.name} must be {rule.wanted}, found "
                                  f"{names.shown(value)}; recompile the network")

    def to_plain(self) -> dict[str, Any]:
        """What JSON holds: the fields that are not at their defaults."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)
                if getattr(self, field.name) != _default(field)}


def from_plain(plain: Mapping[str, Any], where: str) -> Meta:
    """Inverse of `Meta.to_plain`; `where` names the place in messages. Raises FormatError."""
    known = {field.name for field in dataclasses.fields(Meta)}
    for name in plain:
        if name not in known:
            raise FormatError(f"{where}: metadata has no key {names.shown(name)}; use the kcnn "
                              "that wrote it, or recompile the network")
    try:
        return Meta(**plain)
    except FormatError as error:
        raise FormatError(f"{where}: {error}") from None


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _frozen(value: Any) -> Any:
    """Lists as tuples, so that what is read equals what was written."""
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    if isinstance(value, Mapping):
        return {name: _frozen(inner) for name, inner in value.items()}
    return value
