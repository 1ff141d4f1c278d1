"""What a compiled network is worth: bytes by section, clocks, accuracy in integers.

A machine needs the sections instructions, streams and tables; descriptors are for the host, which
also knows how a stream was coded. Entropy coding is told apart: no machine of ours decodes it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from kcnn.api.accuracy import logits
from kcnn.arch import isa, sections
from kcnn.arch.config import Config
from kcnn.arch.program import Program
from kcnn.compiler import pipeline
from kcnn.compress import entropy
from kcnn.compress.formats.sections import Section
from kcnn.tlm import machine
from torch import Tensor, nn

CALIBRATION = 100


@dataclasses.dataclass(frozen=True)
class Binary:
    """A network on `small`. packed: bytes of all sections a machine needs, and of what the host
    needs beside; coded: the same sections by the best of the entropy coders, each for itself."""

    packed: int
    coded: int
    clocks: int
    taps: int

    def cells(self) -> dict[str, Any]:
        """As JSON values."""
        return dataclasses.asdict(self)


def program(module: nn.Module, images: Tensor, clusters: int = 16) -> Program:
    """The module compiled for `small` with its weights as they are, calibrated on some images."""
    typical = images[::len(images) // CALIBRATION][:CALIBRATION]
    return pipeline.compile(module, (typical[:1],), typical.numpy(), Config.preset("small"),
                            clusters=clusters, equalise=False).program


def measure(found: Program) -> Binary:
    """Sizes, and clocks of one image on the machine's model."""
    bodies = {"instructions": isa.encode(list(found.instructions)), "streams": found.streams,
              "tables": found.tables, "descriptors": sections.encode_descriptors(found)}
    taps = sum(int((layer.taps.plane == 0).sum()) for layer in found.layers
               if layer.kind in ("Conv2d", "Linear"))
    return Binary(sum(map(len, bodies.values())), sum(map(coded_bytes, bodies.values())),
                  machine.cycles(found), taps)


def coded_bytes(body: bytes) -> int:
    """The smallest of a section's entropy codings, or the section itself."""
    section = Section.of(np.frombuffer(body, np.uint8), 8)
    return min(len(body), *(len(entropy.code(section, coder)) for coder in entropy.CODERS))


def integer_accuracy(found: Program, x: Tensor, y: Tensor) -> float:
    """Share of images that the integer reference recognises."""
    return float((logits(found, x.numpy()).argmax(axis=1) == y.numpy()).mean())
