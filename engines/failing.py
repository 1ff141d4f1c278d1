"""The smallest layer that differs by itself, written for study."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..arch import host, kbin, scratch
from ..arch.engine import MemoryModel, Result
from ..arch.program import Program
from ..rtl.benchfiles import EngineError
from . import compare, figures
from . import execute as engines
from .execute import Ints, Outcome
from .shrink import single_layer
from .verdict import Verdict


def write(folder: Path, program: Program, verdict: Verdict, memory: MemoryModel) -> list[str]:
    """Write layer.kbin, input.npz, tlm.txt and, if the engine has them, waveforms; what was done.

    The layers that differ although their sources are equal are tried alone, the smallest first.
    """
    outcomes = verdict.outcomes[-1]
    if not outcomes:
        return ["no engine came to an end; nothing was written"]
    culprits = _culprits(verdict, list(outcomes))
    base = next(iter(outcomes.values()))
    for number in candidates(program, outcomes, culprits):
        alone = single_layer(program, number)
        codes = [base.tensors[source] for source in _sources(program, number)]
        failing = [name for name, against in culprits.items()
                   if _differs(alone, codes, against, name, memory)]
        if failing:
            _write(folder, alone, codes, failing[0], memory)
            return [f"layer {program.layers[number].name!r} differs by itself on {failing[0]}: "
                    f"see {', '.join(sorted(path.name for path in folder.iterdir()))}"]
    return ["no layer differs by itself; nothing was written"]


def _culprits(verdict: Verdict, names: Sequence[str]) -> dict[str, str]:
    """Engines that differ, each with the engine that it was compared with."""
    pairs = {difference.engine: names[0] for difference in verdict.differences}
    for mistiming in verdict.mistimings:
        pairs.setdefault(mistiming.engine, mistiming.against)
    return dict.fromkeys(verdict.failures, names[0]) | pairs


def candidates(program: Program, outcomes: Mapping[str, Outcome], culprits: Mapping[str, str]
               ) -> list[int]:
    """Layers whose output differs while their sources are equal, and layers whose RUNs take another
    number of cycles; all where an engine came to no end. Those with the fewest taps first."""
    found = set()
    for name, against in culprits.items():
        if name not in outcomes:
            found |= set(range(len(program.layers)))
            continue
        base, other = outcomes[against], outcomes[name]
        wrong = {d.tensor for d in compare.differences(program, base, other)}
        for number, layer in enumerate(program.layers):
            sources = {source.tensor for source in layer.sources}
            if layer.output in wrong and not sources & wrong:
                found.add(number)
            if _durations(base.result, layer.runs) != _durations(other.result, layer.runs):
                found.add(number)
    return sorted(found, key=lambda number: figures.issued_taps(program, program.layers[number]))


def _durations(result: Result | None, runs: Sequence[int]) -> list[int]:
    if result is None:
        return []
    return (result.ends - result.starts)[list(runs)].tolist()


def _sources(program: Program, number: int) -> list[int]:
    return list(dict.fromkeys(source.tensor for source in program.layers[number].sources))


def _differs(alone: Program, codes: list[Ints], against: str, name: str, memory: MemoryModel
             ) -> bool:
    base = engines.execute(against, alone, codes, memory)
    try:
        other = engines.execute(name, alone, codes, memory)
    except EngineError:
        return True
    late = None
    if base.result is not None and other.result is not None:
        late = compare.mistiming(alone, base.result, other.result)
    return bool(compare.differences(alone, base, other)) or late is not None


def _write(folder: Path, alone: Program, codes: list[Ints], engine: str, memory: MemoryModel
           ) -> None:
    (folder / "layer.kbin").write_bytes(kbin.save(alone))
    arrays = {port.name: host.decode(c, alone.tensors[port.tensor], alone.config)
              for port, c in zip(alone.inputs, codes, strict=True)}
    with scratch.named(folder / "input.npz"):
        np.savez(folder / "input.npz", allow_pickle=False, **arrays)
    wave = engine if engine in engines.RTL else "myhdl"
    with contextlib.suppress(EngineError):
        engines.execute(wave, alone, codes, memory, vcd=folder / f"{wave}.vcd")
    tlm = engines.execute("tlm", alone, codes, memory, trace=True).result
    assert tlm is not None
    (folder / "tlm.txt").write_text(tlm_trace(alone, tlm))


def tlm_trace(program: Program, result: Result) -> str:
    """Start and end of every instruction, then every write of the activation memory."""
    lines = ["start end instruction"]
    for instruction, start, end in zip(program.instructions, result.starts, result.ends,
                                       strict=True):
        lines.append(f"{start} {end} {instruction}")
    writes = result.writes
    if writes is not None:
        lines += ["", "cycle row codes (. where nothing is written)"]
        for cycle, row, mask, codes in zip(writes.cycle, writes.row, writes.mask, writes.codes,
                                           strict=True):
            cells = " ".join(str(code) if on else "." for code, on in zip(codes, mask, strict=True))
            lines.append(f"{cycle} {row} {cells}")
    return "\n".join(lines) + "\n"

