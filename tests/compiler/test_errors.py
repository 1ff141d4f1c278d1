"""What the errors of the compiler share."""

from __future__ import annotations

import dataclasses

import pytest
from kcnn.arch.config import MOST, Config
from kcnn.arch.errors import ConfigError
from kcnn.compiler.errors import first_line, too_small

TINY = Config.preset("tiny")


@pytest.mark.parametrize("field", MOST)
def test_no_machine_is_asked_for_that_cannot_be(field: str) -> None:
    most = MOST[field]
    dataclasses.replace(TINY, **{field: most})
    with pytest.raises(ConfigError, match=f"^configuration 'tiny': {field} must be .* {most}, "):
        dataclasses.replace(TINY, **{field: 2 * most})
    begin = f"{field} = {getattr(TINY, field)} of configuration 'tiny'; it needs "
    assert too_small(TINY, field, most, "shrink it") == f"{begin}{field} = {most}"
    assert too_small(TINY, field, 2 * most, "shrink it") == (
        f"{begin}{2 * most}, but no machine has more than {most}: shrink it")


def test_the_first_line_of_an_error_or_its_name() -> None:
    assert first_line(ValueError("no such thing.\nmore")) == "no such thing"
    assert first_line(ValueError()) == "ValueError"
