"""A network as a .pt2 file: the same bytes for the same network."""

from __future__ import annotations

import io

import torch
from torch import Tensor, nn

from ..arch.preprocess import Affine
from ..compiler.errors import first_line
from ..compiler.frontend.preprocess import NOTE, note
from ..compiler.frontend.quiet import quiet
from .errors import CompressError

# notes of torch on where an operation comes from, with paths and numbers of objects in memory
HISTORY = ("stack_trace", "from_node")


def exported_bytes(module: nn.Module, example: Tensor, kept: Affine | None = None) -> bytes:
    """What torch.export.save writes, without the places of source code in it.

    example: (1, C, H, W); the number of images stays free where the network allows it. kept: a
    preprocess that goes along as a note.
    """
    module.eval()
    try:
        with quiet(), torch.no_grad():
            exported = torch.export.export(
                module, (torch.zeros_like(example).repeat(2, 1, 1, 1),),
                dynamic_shapes=({0: torch.export.Dim.AUTO},), strict=False)
    except Exception as error:
        raise CompressError(f"torch.export cannot export the network ({first_line(error)}); it "
                            "must run on its images and not branch on values") from error
    for node in exported.graph.nodes:
        for name in HISTORY:
            node.meta.pop(name, None)
    out = io.BytesIO()
    torch.export.save(exported, out, extra_files=None if kept is None else {NOTE: note(kept)})
    return out.getvalue()
