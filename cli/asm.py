"""`kcnn asm`: text to a binary."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import api
from ..arch.errors import KcnnError
from .outputs import Outputs

MOST_BYTES = 1 << 28      # of a text


def asm(
    source: Annotated[Path, typer.Argument(
        metavar="FILE", show_default=False, help="Text as `kcnn disasm` prints it.")],
    output: Annotated[Path, typer.Option(
        "--output", "-o", metavar="NET.kbin", show_default=False,
        help="The binary to write.")],
) -> None:
    """Make a binary from text.

    \b
    kcnn asm NET.asm -o NET.kbin
    """
    with Outputs(source) as outputs:
        place = outputs.file(output)
        try:
            with source.open("rb") as file:
                data = file.read(MOST_BYTES + 1)
            if len(data) > MOST_BYTES:
                raise KcnnError(f"{source}: has more than {MOST_BYTES} bytes, the most that is "
                                "read; give what kcnn disasm printed")
            written = data.decode()
        except OSError as error:
            raise KcnnError(f"{source}: cannot be read ({error.strerror}); "
                            "give the path of a text file") from None
        except UnicodeDecodeError as error:
            raise KcnnError(f"{source}: is no text (byte {error.start} is not UTF-8); "
                            "give what kcnn disasm printed") from None
        api.assemble(written, str(source)).save(place)
