"""What is in a program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ..arch import preprocess
from ..arch.program import Layer, Port, Program
from ..arch.show import Table, table
from ..engines import figures
from . import truth


def describe(program: Program, size: int) -> dict[str, Any]:
    """What `kcnn info --json` holds. bytes: what the machine reads, instructions, streams and
    tables; float32_bytes: the weights of the network that it came from; file_bytes: size."""
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


def _port(program: Program, port: Port) -> dict[str, Any]:
    kind = program.tensors[port.tensor].kind
    return {"name": port.name, "shape": list(kind.shape), "planes": kind.planes}


def _layer(program: Program, layer: Layer) -> dict[str, Any]:
    stored = len(layer.taps)
    return {
        "name": layer.name, "kind": layer.kind,
        "output": list(program.tensors[layer.output].kind.shape),
        "clusters": len(layer.taps.cluster_factor), "taps": stored,
        "issued": figures.issued_taps(program, layer),
        "macs": layer.macs, "dense_macs": layer.dense_macs,
    }


def parts(values: Mapping[str, Any]) -> Iterator[Table | str]:
    """What `describe` found, as tables."""
    yield table("network", ("", ""), _sizes(values))
    yield table(f"{values['instructions']} instructions", ("", ""), values["kinds"].items())
    yield table("layers", ("layer", "kind", "output", "clusters", "taps", "issued taps", "macs",
                           "dense macs"),
                ((layer["name"], layer["kind"], _shape(layer["output"]), layer["clusters"],
                  layer["taps"], layer["issued"], layer["macs"], layer["dense_macs"])
                 for layer in values["layers"]), (0, 1))
    if values["fidelity"]:
        yield from truth.parts(values["fidelity"])


def _sizes(values: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield "configuration", values["config"]
    yield "images a batch", values["batch"]
    yield "file, bytes", values["file_bytes"]
    yield "instructions, streams and tables, bytes", values["bytes"]
    yield "tap streams, bytes", values["stream_bytes"]
    yield "tables, bytes", values["table_bytes"]
    yield "external memory, bytes", values["memory_bytes"]
    if values["float32_bytes"]:
        yield "weights of the compiled network as float32, bytes", values["float32_bytes"]
        yield "times fewer", f"{values['float32_bytes'] / values['bytes']:.2f}"
    for port in values["inputs"]:
        yield f"input {port['name']}", _shape(port["shape"])
    kept = preprocess.from_plain(values["preprocess"])
    if kept is not None:
        yield "preprocess of the input", str(kept)
    for port in values["outputs"]:
        yield f"output {port['name']}", _shape(port["shape"])


def _shape(shape: list[int]) -> str:
    return "x".join(map(str, shape))
