"""`kcnn convert`: the machine as Verilog or VHDL."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import api
from ..arch.config import Config
from ..arch.errors import KcnnError
from . import report
from .outputs import Outputs

LANGUAGES = ("verilog", "vhdl")


def convert(
    config: Annotated[str, typer.Option(
        metavar="CONFIG", show_default=False,
        help="The machine: a preset (kcnn configs) or a TOML file.")],
    hdl: Annotated[str, typer.Option(
        metavar="verilog|vhdl", show_default=False, help="The language.")],
    output: Annotated[Path, typer.Option(
        "--output", "-o", metavar="DIR", show_default=False,
        help="The folder that the files go to; it is made if need be, with its parents.")],
) -> None:
    """Write a machine as Verilog or VHDL.

    The top is called machine; docs/machine.md describes its ports.

    \b
    kcnn convert --config tiny --hdl verilog -o hdl/
    """
    if hdl not in LANGUAGES:
        raise KcnnError(f"--hdl: there is no language {hdl!r}; choose verilog or vhdl")
    machine = Config.load(config)
    with Outputs(config) as outputs:
        folder = outputs.folder(output)
        with report.progress(f"converting {machine.name}"):
            names = sorted(path.name for path in api.convert(machine, hdl, folder))
    for name in names:
        report.say(str(output / name))
