"""`kcnn info`: what is in a binary."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..arch import kbin, preprocess
from ..arch.program import Layer, Program
from ..engines import figures
from . import options, report, truth
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
    program = kbin.read(net)
    values = describe(program, net.stat().st_size)
    with Outputs(net) as outputs:
        if json is not None:
            write_json(outputs.file(json), values)
        _show(program, values)


def describe(program: Program, size: int) -> dict[str, Any]:
    """What `--json` holds. bytes: what the machine reads, instructions, streams and tables;
    float32_bytes: the weights of the network that it came from; file_bytes: with layer table."""
    kinds = Counter(instruction.OP.name for instruction in program.instructions)
    return {
        "config": program.config.name,
        "bytes": figures.machine_bytes(program),
        "float32_bytes": program.meta.float32_bytes,
        "file_bytes": size,
        "stream_bytes": len(program.streams),
        "table_bytes": len(program.tables),
        "memory_bytes": program.memory_bytes,
        "fidelity": program.meta.fidelity,
        "batch": program.batch,
        "inputs": [_port(program, port) for port in program.inputs],
        "outputs": [_port(program, port) for port in program.outputs],
        "instructions": len(program.instructions),
        "preprocess": program.meta.preprocess,
        "kinds": dict(sorted(kinds.items())),
        "layers": [_layer(program, layer) for layer in program.layers],
    }


def _port(program: Program, port: Any) -> dict[str, Any]:
    layout = program.tensors[port.tensor].layout
    return {"name": port.name, "shape": list(layout.shape), "planes": layout.planes}


def _layer(program: Program, layer: Layer) -> dict[str, Any]:
    stored = len(layer.taps.source)
    return {
        "name": layer.name, "kind": layer.kind,
        "output": list(program.tensors[layer.output].layout.shape),
        "clusters": len(layer.taps.cluster_factor), "taps": stored,
        "issued": sum(figures.issued_taps(program, figures.run_of(program, index))
                      for index in layer.runs),
        "macs": layer.macs, "dense_macs": layer.dense_macs,
    }


def _show(program: Program, values: dict[str, Any]) -> None:
    sizes = [("configuration", values["config"]), ("images a batch", values["batch"]),
             ("file, bytes", values["file_bytes"]),
             ("instructions, streams and tables, bytes", values["bytes"]),
             ("tap streams, bytes", values["stream_bytes"]),
             ("tables, bytes", values["table_bytes"]),
             ("external memory, bytes", values["memory_bytes"])]
    if values["float32_bytes"]:
        sizes += [("weights of the compiled network as float32, bytes", values["float32_bytes"]),
                  ("times fewer", f"{values['float32_bytes'] / values['bytes']:.2f}")]
    sizes += [(f"input {port['name']}", _shape(port["shape"])) for port in values["inputs"]]
    kept = preprocess.from_plain(program.meta.preprocess)
    if kept is not None:
        sizes.append(("preprocess of the input", str(kept)))
    sizes += [(f"output {port['name']}", _shape(port["shape"])) for port in values["outputs"]]
    report.table("network", ("", ""), sizes)
    report.table(f"{values['instructions']} instructions", ("", ""), values["kinds"].items())
    report.table("layers", ("layer", "kind", "output", "clusters", "taps", "issued taps", "macs",
                            "dense macs"),
                 ((layer["name"], layer["kind"], _shape(layer["output"]), layer["clusters"],
                   layer["taps"], layer["issued"], layer["macs"], layer["dense_macs"])
                  for layer in values["layers"]), (0, 1))
    if values["fidelity"]:
        truth.show(values["fidelity"])


def _shape(shape: list[int]) -> str:
    return "x".join(map(str, shape))
