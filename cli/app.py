"""The verbs of `kcnn`, joined."""

from __future__ import annotations

from importlib import metadata
from typing import Annotated

import typer

from . import accuracy, asm, compile, compress, configs, convert, cosim, disasm, info, run
from .report import say

app = typer.Typer(
    name="kcnn", add_completion=False, rich_markup_mode=None,
    help="""From a trained PyTorch CNN to a clustered-weight accelerator.

\b
  kcnn compile examples/digits/model.py:network --calibration X.npz --config tiny -o NET.kbin
  kcnn compress NET.pt2 --data D.npz --budget 0.01 -o SMALL.pt2
  kcnn run NET.kbin --input X.npy --engine tlm -o Y.npy
  kcnn accuracy NET.kbin --data T.npz --golden NET.pt2
  kcnn cosim NET.kbin --input X.npy --engines reference,tlm,verilator
  kcnn convert --config tiny --hdl verilog -o hdl/

Exit codes: 0; 1 a difference was found, or less is left than --min-sqnr with --strict; 2 bad input
or a missing tool; 130 Ctrl-C, 143 SIGTERM. But for 0 and 1 no output was written. Folders of
outputs are made, inputs are never replaced.
""")


def _version(wanted: bool) -> None:
    if wanted:
        from ..arch.kbin import FORMAT
        say(f"kcnn {metadata.version('kcnn')}, .kbin format {FORMAT}")
        raise typer.Exit


@app.callback()
def _options(version: Annotated[bool, typer.Option(
        "--version", callback=_version, is_eager=True,
        help="Print the versions of the package and of the binary format.")] = False) -> None:
    pass


for _verb in (compile.compile, compress.compress, run.run, accuracy.accuracy, cosim.cosim,
              convert.convert, disasm.disasm, asm.asm, info.info, configs.configs):
    app.command()(_verb)
