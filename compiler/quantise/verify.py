"""What holds for every quantised graph; it only reads."""

from __future__ import annotations

import numpy as np

from ..errors import InternalError, require
from ..ir.graph import Conv, Output
from ..ir.quantised import ClusteredWeight, Codebook, Floats, Quantised, Radix
from ..passes import check


def verify(quantised: Quantised) -> None:
    """Raise InternalError where tensors or weights of the graph have no meaning, or a wrong one."""
    check(quantised.graph)
    nodes = [node for node in quantised.graph if not isinstance(node.op, Output)]
    _same_names("tensors", quantised.tensors, [node.name for node in nodes])
    _same_names("weights", quantised.weights,
                [node.name for node in nodes if isinstance(node.op, Conv)])
    for name, meaning in quantised.tensors.items():
        require(_is_meaning(meaning), name, "has a meaning that breaks the rules of codebooks")
    for name, weight in quantised.weights.items():
        op = quantised.graph[name].op
        assert isinstance(op, Conv)
        require(_fits(weight, op.weight), name, "has clustered weights that are not those of it")


def _same_names(what: str, found: dict, wanted: list[str]) -> None:
    odd = sorted(found.keys() ^ set(wanted))
    if odd:
        raise InternalError(f"{what} are those of other nodes: {', '.join(odd)}")


def _is_meaning(meaning: Codebook | Radix) -> bool:
    if not meaning.scale > 0:
        return False
    if isinstance(meaning, Radix):
        return meaning.bits > 0 and meaning.planes > 0
    values = meaning.values
    return values.dtype == np.int64 and 0 in values and bool((np.diff(values) > 0).all())


def _fits(weight: ClusteredWeight, dense: Floats) -> bool:
    magnitudes = weight.magnitudes
    return (weight.index.shape == weight.negative.shape == dense.shape
            and weight.channel_scale.shape == dense.shape[:1]
            and weight.bias_of(np.zeros(len(dense))).shape == dense.shape[:1]
            and bool((np.diff(magnitudes, prepend=0.0) > 0).all())
            and 0 <= int(weight.index.min()) and int(weight.index.max()) <= len(magnitudes))
