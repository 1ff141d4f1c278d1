"""Arguments and options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[str, typer.Argument(
    metavar="MODEL", show_default=False,
    help="A .pt2 file (torch.export.save), which runs no code; or file.py:function, or "
         "module:function of a module that the current folder or Python has, which runs yours: the "
         "function returns (nn.Module, example inputs[, preprocess]).")]
Trust = Annotated[bool, typer.Option(
    "--trust", help="Load a .pt2 file even where what it holds can run code.")]
Binary = Annotated[Path, typer.Argument(
    metavar="NET.kbin", show_default=False, help="A compiled network.")]
Input = Annotated[Path, typer.Option(
    "--input", metavar="X.npy", show_default=False,
    help="Images: float32 (N, C, H, W), any N from 1 on; where the model that was compiled has a "
         "preprocess, what that takes, float32 or uint8, which the binary applies. For a network "
         "of several inputs an .npz file with an array for each, by name.")]
Preprocessed = Annotated[bool, typer.Option(
    "--preprocessed", help="The data are as the network takes them: the model's preprocess, if it "
    "has one, is not applied.")]
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
