"""A compiled network: what can be done with it."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arch import kbin, text
from ..arch.config import Config
from ..arch.errors import KcnnError
from ..arch.estimate import estimate
from ..arch.program import Program
from ..arch.show import Shown, Table
from ..engines import batches
from ..engines import execute as engines
from ..engines.figures import CLOCK
from ..engines.verdict import judge
from . import accuracy, describe, golden, images, models
from .accuracy import Accuracy
from .arrays import Array, Data, like
from .comparison import Comparison
from .execution import Execution
from .models import Network
from .names import PYTHON, Names

if TYPE_CHECKING:
    from ..compiler.frontend.model import Model

Progress = Callable[[str], None]


def silent(step: str) -> None:
    """Progress that nobody looks at."""


@dataclasses.dataclass(frozen=True, eq=False)
class Net(Shown):
    """A program, with everything that the command line does with one. It shows itself as `kcnn
    info` does.

    Images are numpy arrays or torch tensors, float32 (N, C, H, W), any N; a mapping of them by name
    for a network of several inputs; or the path of an .npy or .npz file. Where the model that was
    compiled has a preprocess, they are what that takes, with preprocessed=True what the network
    takes. What is unusual about data is a KcnnWarning, what cannot be a KcnnError.

    file_bytes: of the file that it was read from.
    """

    program: Program
    names: Names = PYTHON
    file_bytes: int | None = None

    # ---- what it is ----------------------------------------------------------------------------
    @property
    def config(self) -> Config:
        """The machine that it is for."""
        return self.program.config

    @property
    def fidelity(self) -> Mapping[str, Any] | None:
        """What was left of the float network when it was compiled (docs/fidelity.md)."""
        return self.program.meta.fidelity

    @functools.cached_property
    def estimated_cycles(self) -> int:
        """Clocks of a batch by the cost model; `figures` counts them."""
        return estimate(self.program).cycles

    def describe(self) -> dict[str, Any]:
        """Machine, sizes, inputs, outputs, instructions and layers, as plain values."""
        size = len(kbin.save(self.program)) if self.file_bytes is None else self.file_bytes
        return describe.describe(self.program, size)

    def parts(self) -> Iterator[Table | str]:
        """The same as tables."""
        return describe.parts(self.describe())

    def disassemble(self) -> str:
        """The program as text; `assemble` gives it back."""
        return text.disassemble(self.program)

    def save(self, path: str | Path, strip: bool = False) -> None:
        """Write a binary. strip: leave out the layer table, which only the reference needs."""
        kbin.write(path, self.program, strip)

    # ---- what it does --------------------------------------------------------------------------
    def run(self, images: Data, engine: str = "reference", preprocessed: bool = False) -> Any:
        """The outputs: arrays, or tensors if the images are; by name if there are several."""
        outputs = {name: like(array, images) for name, array in
                   self.execute(images, engine, preprocessed=preprocessed).outputs().items()}
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))

    def execute(self, images: Data, engine: str = "reference", *, preprocessed: bool = False,
                memory_seed: int | None = None, vcd: str | Path | None = None,
                clock: float = CLOCK, progress: Progress = silent) -> Execution:
        """The same with everything that the engine tells.

        memory_seed: random waits of the external memory. vcd: where the waveforms of the first
        batch go. clock: MHz for which times are told.
        """
        engines.check_names([engine])
        if vcd is not None and engine not in engines.RTL:
            raise KcnnError(f"{self.names.option('vcd')}: engine {engine} has no waveforms; use "
                            f"one of {', '.join(engines.RTL)}")
        if not 0 < clock < math.inf:
            raise KcnnError(f"{self.names.option('clock')}: {clock:g} MHz is no clock; give a "
                            "positive number")
        inputs = self._inputs(images, preprocessed)
        return self._execution(inputs, engine, memory_seed, None if vcd is None else Path(vcd),
                               clock, progress, True)

    def figures(self, engine: str = "tlm", memory_seed: int | None = None) -> Execution:
        """Cycles, taps and utilisation of every layer, and where its clocks go; the image does not
        matter."""
        engines.check_names([engine])
        inputs = [np.zeros(self.program.tensors[port.tensor].kind.shape, np.float32)
                  for port in self.program.inputs]
        return self._execution(inputs, engine, memory_seed, None, CLOCK, silent, False)

    def compare(self, images: Data, engines: Sequence[str] = ("reference", "tlm"), *,
                golden: Network | None = None, preprocessed: bool = False, trust: bool = False,
                memory_seed: int | None = None, progress: Progress = silent) -> Comparison:
        """Drive engines with the same bytes and compare every tensor and every cycle.

        golden: the float network that was compiled; how far every tensor is from its is told too.
        """
        self._check_engines(engines)
        network = None if golden is None else self._golden(golden, trust)
        inputs = self._inputs(images, preprocessed, network, True)
        return self._comparison(inputs, engines, golden, network, memory_seed, progress)

    def accuracy(self, images: Data, labels: Array | None = None, *, golden: Network | None = None,
                 preprocessed: bool = False, trust: bool = False, progress: Progress = silent
                 ) -> Accuracy:
        """Count the images that are recognised, by the integer reference, so for every engine.

        images: with labels; or a file or mapping that holds both. golden: a float network that
        stands beside.
        """
        accuracy.check_program(self.program, self.names.program)
        network = None if golden is None else self._golden(golden, trust)
        spec = "" if golden is None else models.golden_name(golden, self.names)
        return accuracy.measure(self.program, self.names, images, labels, preprocessed, network,
                                spec, progress)

    # ---- how -----------------------------------------------------------------------------------
    def _inputs(self, data: Data, preprocessed: bool, network: Model | None = None,
                comparing: bool = False) -> list[images.Floats]:
        advice = f", or the model that has it with {self.names.option('golden')}"
        return images.read(data, self.program, self.names, preprocessed,
                           None if network is None else network.preprocess,
                           advice if comparing else "")

    def _golden(self, network: Network, trust: bool) -> Model:
        shape = self.program.tensors[self.program.inputs[0].tensor].kind.shape[1:]
        return models.fitted(models.load(network, trust=trust), network, shape)

    def _execution(self, inputs: list[images.Floats], engine: str, seed: int | None,
                   vcd: Path | None, clock: float, progress: Progress, warn: bool) -> Execution:
        memory = engines.memory_model(self.program, seed)
        outcomes = batches.run(self.program, inputs, engine, memory, vcd, progress)
        found = Execution(self.program, inputs, engine, outcomes, memory, clock)
        if warn:
            images.warn_outputs(self.program, found.outputs())
        return found

    def _check_engines(self, names: Sequence[str]) -> None:
        engines.check_names(names)
        if not names:
            raise KcnnError(f"{self.names.option('engines')}: no engine is named; name at least "
                            "one")
        if len(set(names)) != len(names):
            raise KcnnError(f"{self.names.option('engines')}: an engine is named twice; name each "
                            "one once")

    def _comparison(self, inputs: list[images.Floats], names: Sequence[str],
                    network: Network | None, loaded: Model | None, seed: int | None,
                    progress: Progress) -> Comparison:
        program, memory = self.program, engines.memory_model(self.program, seed)
        graph = None
        if network is not None and loaded is not None:
            graph = golden.graph_of(loaded, models.golden_name(network, self.names), program)
        verdict = judge(program, inputs, names, memory, progress)
        rows = [] if graph is None or not all(verdict.outcomes) else golden.fidelity(
            program, graph, inputs, verdict.outcomes)
        found = Comparison(program, inputs, memory, verdict, rows)
        images.warn_outputs(program, found.outputs())
        return found


def load(path: str | Path, config: str | None = None, shell: bool = False) -> Net:
    """Read a `.kbin` file, which can come from anybody: KcnnError if no machine could execute it.

    config: a preset or TOML file; refused if the binary is for another machine. shell: messages
    name options of the command line.
    """
    program = kbin.read(path)
    engines.check_config(program, config)
    return Net(program, Names(str(path), shell), Path(path).stat().st_size)


def assemble(source: str, where: str = "the text") -> Net:
    """The program of a text as `disassemble` gives it. where: what messages call it."""
    return Net(text.assemble(source, where), Names(where))
