"""The machine as Verilog or VHDL.

MyHDL's text depends on Python's hash seed and on what was built before, so a conversion runs in a
fresh interpreter with a fixed seed: the same configuration gives the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import NamedTuple

from ..arch import scratch
from ..arch.config import Config
from ..arch.errors import KcnnError
from . import process
from .machine import MachinePorts, machine
from .quirks import (
    conversion_warnings_as_errors,
    forget_designs,
    refuse_ambiguous_names,
    refuse_reserved_names,
    refuse_shadow_lists,
    settle_initial_values,
)
from .toolchain import SUFFIXES

TOP = "machine"


class Converted(NamedTuple):
    """The files of a conversion, in the order in which they are compiled, and their digest."""

    files: list[Path]
    digest: str


def convert(config: Config, hdl: str, folder: Path) -> Converted:
    """Write the machine to `folder`: kcnn_machine.v, or kcnn_machine.vhd and MyHDL's package.

    hdl: "verilog" or "vhdl". The module (entity) is called `machine`. Files appear only when all
    of them are complete. The digest is SHA-256 over the files' bytes, in hexadecimal.
    """
    if hdl not in SUFFIXES:
        raise KcnnError(f"there is no language {hdl!r}; choose verilog or vhdl")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KcnnError(f"{folder}: cannot be written ({error.strerror}); give another folder"
                        ) from None
    with scratch.folder(folder) as work:
        _run(config, hdl, work)
        made = _in_compile_order(work)
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in made)).hexdigest()
        for path in made:
            os.replace(path, folder / path.name)
    return Converted([folder / path.name for path in made], digest)


def _in_compile_order(folder: Path) -> list[Path]:
    return sorted(folder.iterdir(), key=lambda path: (path.stem == f"kcnn_{TOP}", path.name))


def _run(config: Config, hdl: str, folder: Path) -> None:
    """Convert in an interpreter of its own."""
    command = [sys.executable, "-m", __name__, config.to_json(), hdl, str(folder)]
    done = process.call(command, environment=os.environ | {"PYTHONHASHSEED": "0"})
    if done.returncode:
        said = done.stderr.strip().splitlines() or process.said(done)
        raise KcnnError(f"configuration {config.name}: the conversion to {hdl} failed "
                        f"({said[-1]}); this is a fault of kcnn: report it with the configuration")


def write(config: Config, hdl: str, folder: Path) -> None:
    """Convert in this interpreter; anything that MyHDL warns of is an error."""
    forget_designs()
    design = machine(**vars(MachinePorts(config)), config=config)
    settle_initial_values(design)
    refuse_shadow_lists(design)
    refuse_ambiguous_names(design)
    refuse_reserved_names(design)
    extra = {"testbench": False} if hdl == "verilog" else {}
    with conversion_warnings_as_errors():
        design.convert(hdl=hdl, path=str(folder), name=TOP, initial_values=True,
                       no_myhdl_header=True, **extra)
    suffix = SUFFIXES[hdl]
    os.replace(folder / f"{TOP}{suffix}", folder / f"kcnn_{TOP}{suffix}")


if __name__ == "__main__":
    write(Config.from_json(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
