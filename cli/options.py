"""Arguments and options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Binary = Annotated[Path, typer.Argument(
    metavar="NET.kbin", show_default=False, help="A compiled network.")]
Input = Annotated[Path, typer.Option(
    "--input", metavar="X.npy", show_default=False,
    help="Images: float32 (N, C, H, W), any N from 1 on; for a network of several inputs an .npz "
         "file with an array for each, by name.")]
Machine = Annotated[str | None, typer.Option(
    "--config", metavar="CONFIG", show_default=False,
    help="The machine that you mean, a preset or a TOML file; refused if the binary is for "
         "another one.")]
Seed = Annotated[int | None, typer.Option(
    "--memory-seed", metavar="SEED", min=0, show_default=False,
    help="Random latency and stalls of the external memory, drawn from this seed; without it "
         "every burst has the latency of the configuration.")]
Json = Annotated[Path | None, typer.Option(
    "--json", metavar="FILE", show_default=False, help="Write the figures to this file too.")]
