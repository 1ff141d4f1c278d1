"""A call of an ATen operation, its arguments as values and arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..construct.arithmetic import Operand
from ..construct.functions import Sign
from ..construct.site import Site, Value
from ..errors import CompileError
from .constants import Constants
from .schema import Fx, arguments

Floats = NDArray[np.float64]

# bytes of a parameter beyond what is stored of it (it repeats a few values)
LARGEST = 1 << 26


class Call:
    """One call of an ATen operation: its arguments by the names of its schema."""

    def __init__(self, node: Fx, site: Site, values: dict[Fx, Value | Sign],
                 constants: Constants) -> None:
        self.node = node
        self.site = site
        self._values = values
        self._constants = constants
        self._arguments = arguments(node)

    def __getitem__(self, name: str) -> Any:
        return self._arguments[name]

    def get(self, name: str, default: Any = None) -> Any:
        value = self._arguments.get(name)
        return default if value is None else value

    def refuse(self, why: str) -> CompileError:
        return self.site.refuse(why)

    @property
    def first(self) -> Any:
        """The first argument."""
        return next(iter(self._arguments.values()))

    @property
    def x(self) -> Value:
        """The value that the first argument is."""
        return self.value(self.first)

    def value(self, argument: Any) -> Value:
        """The value that a tensor argument is."""
        found = self._values.get(argument)
        if isinstance(found, Sign):
            raise self.refuse("it computes with a comparison")
        if found is None:
            raise self.refuse("one of its tensors is a constant")
        return found

    def sign(self, argument: Any) -> Sign | None:
        """The comparison that an argument is, None for anything else."""
        found = self._values.get(argument)
        return found if isinstance(found, Sign) else None

    def is_constant(self, argument: Any) -> bool:
        """An argument is a number, or a tensor that does not depend on the network's input."""
        return not isinstance(argument, Fx) or argument in self._constants

    def operand(self, argument: Any) -> Operand:
        """An argument that may be a value or a constant."""
        if not self.is_constant(argument):
            return self.value(argument)
        if isinstance(argument, Fx):
            return self.array(argument)
        if not math.isfinite(argument):
            raise self.refuse(f"its constant is {argument}")
        return np.asarray(float(argument))

    def optional(self, name: str) -> Floats | None:
        """The array that an argument is, None where it is absent."""
        argument = self._arguments.get(name)
        return None if argument is None else self.array(argument)

    def array(self, node: Any) -> Floats:
        """Value of a parameter, buffer or constant; refuses NaN and infinite values."""
        if node not in self._constants:
            raise self.site.wrong("its weights are computed by the network; only constant weights "
                                  "can be compiled")
        tensor = self._constants[node]
        where = self._constants.path(node) or self.site.path
        if tensor.numel() * tensor.element_size() > LARGEST + tensor.untyped_storage().nbytes():
            raise CompileError(f"{where}: {tensor.numel():,} values repeat a few; store the "
                               "weights in full")
        values: Floats = tensor.detach().to("cpu", torch.float64).numpy()
        bad = int((~np.isfinite(values)).sum())
        if bad:
            raise CompileError(f"{where}: {bad} of {values.size} values are NaN or infinite; train "
                               "or load the network again")
        return values
