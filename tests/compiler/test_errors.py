"""What the errors of the compiler share."""

from __future__ import annotations

import dataclasses
import pickle

import pytest
from kcnn.arch.config import MOST, Config
from kcnn.arch.errors import ConfigError
from kcnn.compiler.errors import CompileError, Need, first_line, power_of_two, too_small

TINY = Config.preset("tiny")


@pytest.mark.parametrize("field", MOST)
def test_no_machine_is_asked_for_that_cannot_be(field: str) -> None:
    most = MOST[field]
    dataclasses.replace(TINY, **{field: most})
    with pytest.raises(ConfigError, match=f"^configuration 'tiny': {field} must be .* {most}, "):
        dataclasses.replace(TINY, **{field: 2 * most})
    begin = (f"layer a: it wants more than {field} = {getattr(TINY, field)} of configuration "
             f"'tiny'; it needs {field} = ")
    needs = [Need(field, least, "a", "it wants more than", "shrink") for least in (most, 2 * most)]
    assert str(too_small(TINY, needs[:1])) == f"{begin}{most}"
    assert str(too_small(TINY, needs[1:])) == (
        f"{begin}{2 * most}, but no machine has more than {most}: shrink")


def test_all_that_is_too_small_is_one_sentence() -> None:
    needs = [Need("tap_slots", 2048, "a", "it has 1500 taps, more than"),
             Need("base_entries", 512, "b.c", "it reads 300 channels, more than"),
             Need("memory_codes", 1 << 15, "d", "x and y do not fit", other=", or less")]
    error = too_small(TINY, needs)
    assert error.needs == tuple(needs) and CompileError("no").needs == ()
    assert str(error) == (
        "layer a: it has 1500 taps, more than tap_slots = 1024, layer b.c: it reads 300 channels, "
        "more than base_entries = 256 and layer d: x and y do not fit memory_codes = 16384 of "
        "configuration 'tiny'; it needs tap_slots = 2048, base_entries = 512 and memory_codes = "
        "32768, or less")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.needs) == (str(error), error.needs)


def test_the_power_of_two_above() -> None:
    assert [power_of_two(n) for n in (0, 1, 2, 3, 4, 5, 1024, 1025)] == [
        1, 1, 2, 4, 4, 8, 1024, 2048]


def test_the_first_line_of_an_error_or_its_name() -> None:
    assert first_line(ValueError("no such thing.\nmore")) == "no such thing"
    assert first_line(ValueError()) == "ValueError"
