"""`kcnn info`: what is in a binary."""

from __future__ import annotations

from .. import api
from ..api import describe
from . import options, report
from .outputs import Outputs, write_json


def info(net: options.Binary, json: options.Json = None) -> None:
    """Describe a compiled network.

    Its machine, sizes, inputs, outputs, instructions and layers, and what compile found to be left
    of the float network.

    \b
    clusters     groups of taps of one magnitude: a multiplication each at every position
    taps         weights that are left, of all channels
    issued taps  those of all positions; a tap serves all lanes
    macs         multiply-accumulates of a batch; dense: if no weight were zero

    \b
    kcnn info NET.kbin
    """
    values = api.load(net, shell=True).describe()
    with Outputs(net) as outputs:
        if json is not None:
            write_json(outputs.file(json), values)
        report.show(describe.parts(values))
