"""Names and other short texts of a program: which are legal, and how messages show foreign text.

A name reaches terminals, so it has no control, escape or bidirectional characters.
"""

from __future__ import annotations

MOST = 255           # characters of a name
CLEANED = 200        # characters of what `clean` makes: room for what a compiler appends
SHOWN = 60           # characters of a value that a message shows
WANTED = f"1 to {MOST} printable characters"


def legal(name: object) -> bool:
    """May this be a name?"""
    return isinstance(name, str) and 0 < len(name) <= MOST and name.isprintable()


def clean(text: str) -> str:
    """A legal name like `text`: other characters escaped, the middle of a long one left out."""
    text = printable(text) or "-"
    half = (CLEANED - 3) // 2
    return text if len(text) <= CLEANED else f"{text[:half]}...{text[-half:]}"


def printable(text: str) -> str:
    """The text with everything escaped that is not printable, as in a Python literal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def shown(value: object) -> str:
    """A value of a file as a message shows it: its literal, the end of a long one left out."""
    if isinstance(value, int) and value.bit_length() > 256:
        return f"an integer of {value.bit_length()} bits"
    said = printable(repr(value[:SHOWN] if isinstance(value, str | list | tuple) else value))
    return said if len(said) <= SHOWN else f"{said[:SHOWN]}..."
