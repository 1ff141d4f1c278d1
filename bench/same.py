"""Is everything still the same, byte for byte and clock for clock?

    python bench/same.py COMMIT          compare the working tree with a commit
    python bench/same.py RECORD.json     ... with a record
    python bench/same.py -o RECORD.json  only make a record

A record holds SHA-256 digests: of every section of the binaries, of what the transaction-level
model does with them (cycles, stamps, writes, memory), and of the machines as Verilog and VHDL. The
digits and the odd network by default; `--all` adds LeNet-5 and ResNet-20. A commit is recorded by
its own copy of this script, if it has one, on the networks and the environment at hand; its record
is kept in out/same.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import io
import json
import os
import runpy
import struct
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from kcnn.arch import kbin
from kcnn.arch.config import Config
from kcnn.arch.engine import MemoryModel
from kcnn.arch.errors import KcnnError
from kcnn.arch.program import Program, memory_image
from kcnn.compiler import pipeline
from kcnn.rtl.convert import convert
from kcnn.rtl.toolchain import SUFFIXES
from kcnn.tlm import machine
from numpy.typing import NDArray
from torch import nn

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "out" / "same"
CALIBRATION = 32
BATCHES = (1, 3)
Record = dict[str, str]
Network = tuple[nn.Module, NDArray[np.float32]]      # the module, calibration images (n, C, H, W)

WIDE = Config(name="wide", lanes=64, share=2, drain=4, code_bits=4, memory_codes=1 << 18,
              tap_slots=4096, base_entries=1024, port_bits=128)
MACHINES = {config.name: config for config in (Config.preset("tiny"), Config.preset("small"), WIDE)}


# ---- networks ------------------------------------------------------------------------------
def _script(path: str) -> dict:
    """What a script defines; its folder comes first on the path while it runs."""
    folder = str((ROOT / path).parent)
    sys.path.insert(0, folder)
    try:
        return runpy.run_path(str(ROOT / path))
    finally:
        sys.path.remove(folder)
        sys.modules.pop("model", None)       # several folders have one


@functools.cache
def _digits() -> Network:
    script = _script("examples/digits/train.py")
    data = script["load"]()
    return script["train"](data), data.calibration[:CALIBRATION]


@functools.cache
def _odd() -> Network:
    script = _script("examples/odd/model.py")
    return script["network"]()[0], script["samples"](CALIBRATION)


def _study(network: str, data: str) -> Network:
    """A network of the studies with its kept weights; noise as images, so no data set is needed."""
    script = _script("bench/compression/networks.py")
    module = script["load_weights"](script["build"](network, data),
                                    script["WEIGHTS"] / f"{network}_{data}.npz")
    rng = np.random.default_rng(0)
    shape = script["DATA"][data].shape
    return module, rng.random((CALIBRATION, *shape)).astype(np.float32)


@functools.cache
def _lenet5() -> Network:
    return _study("lenet5", "mnist")


@functools.cache
def _resnet20() -> Network:
    return _study("resnet20", "cifar10")


QUICK: dict[str, Callable[[], Network]] = {"digits": _digits, "odd": _odd}
ALL = QUICK | {"lenet5": _lenet5, "resnet20": _resnet20}


def compiled(network: str, config: Config, batch: int) -> Program:
    """A network of `ALL` for a machine; KcnnError where it is too large for it."""
    module, images = ALL[network]()
    example = (torch.from_numpy(images[:batch]),)
    return pipeline.compile(module, example, images, config, batch, name=network).program


# ---- records -------------------------------------------------------------------------------
def record(networks: list[str]) -> Record:
    """Digests of binaries, executions and HDL, by what they are of."""
    out: Record = {}
    for config in MACHINES.values():
        for hdl in SUFFIXES:
            with tempfile.TemporaryDirectory() as folder:
                out[f"{config.name} {hdl}"] = convert(config, hdl, Path(folder)).digest
        for network in networks:
            for batch in BATCHES:
                place = f"{network} {config.name} x{batch}"
                out |= {f"{place} {name}": value for name, value in _case(network, config, batch)}
    return out


def _case(network: str, config: Config, batch: int) -> Iterator[tuple[str, str]]:
    try:
        program = compiled(network, config, batch)
    except KcnnError:
        yield "compiles", "no"
        return
    yield from _sections(kbin.save(program))
    codes = [np.random.default_rng(0).integers(
        0, config.codes, kind.codes) for kind in
        (program.tensors[port.tensor].kind for port in program.inputs)]
    for name, model in (("fixed", MemoryModel.fixed(config.latency)),
                        ("random", MemoryModel.random(1))):
        done = machine.simulate(program, memory_image(program, codes), model, trace=True)
        assert done.writes is not None
        yield f"{name} cycles", str(done.cycles)
        yield f"{name} stamps", _digest(done.starts, done.ends)
        yield f"{name} writes", _digest(*vars(done.writes).values())
        yield f"{name} memory", _digest(done.memory)


def _sections(data: bytes) -> Iterator[tuple[str, str]]:
    """By the section table alone, so that a change of the header's format field does not count."""
    for entry in range(struct.unpack_from("<I", data, 12)[0]):
        number, _, offset, size = struct.unpack_from("<IIQQ", data, 64 + 24 * entry)
        body = data[offset:offset + size]
        yield f"section {kbin.Section(number).name.lower()}", hashlib.sha256(body).hexdigest()


def _digest(*arrays: NDArray) -> str:
    found = hashlib.sha256()
    for array in arrays:
        found.update(repr((array.shape, array.dtype.str)).encode() + array.tobytes())
    return found.hexdigest()


def of_commit(commit: str, everything: bool) -> Record:
    """The record of a commit, made in a copy of it that Python finds first."""
    name = _git("rev-parse", "--verify", f"{commit}^{{commit}}").decode().strip()
    kept = KEPT / f"{name}{'_all' if everything else ''}.json"
    if not kept.exists():
        with tempfile.TemporaryDirectory() as folder:
            with tarfile.open(fileobj=io.BytesIO(_git("archive", name))) as archive:
                archive.extractall(Path(folder) / "kcnn", filter="data")
            own = Path(folder) / "kcnn" / "bench" / "same.py"
            script = own if own.exists() else Path(__file__)
            kept.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(
                [sys.executable, script, "-o", kept, *(["--all"] if everything else [])],
                env=os.environ | {"PYTHONPATH": folder, "PYTHONHASHSEED": "0"}, check=True)
    return json.loads(kept.read_text())


def _git(*words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True).stdout


def differences(before: Record, now: Record) -> list[str]:
    """A line for everything that is not the same."""
    return [f"{name}: {before.get(name, 'missing')[:12]} before, {now.get(name, 'missing')[:12]} "
            "now" for name in before | now if before.get(name) != now.get(name)]


def main() -> None:
    """Record, compare, tell; exit code 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("before", nargs="?", help="a commit, or a record")
    parser.add_argument("-o", type=Path, help="where to write the record of this tree")
    parser.add_argument("--all", action="store_true", help="LeNet-5 and ResNet-20 too (minutes)")
    arguments = parser.parse_args()
    if not arguments.before and not arguments.o:
        parser.error("give a commit or a record to compare with, or -o to make a record")
    torch.set_num_threads(1)
    now = record(list(ALL if arguments.all else QUICK))
    if arguments.o:
        arguments.o.write_text(json.dumps(now, indent=1) + "\n")
    if not arguments.before:
        return
    file = Path(arguments.before)
    before = (json.loads(file.read_text()) if file.suffix == ".json"
              else of_commit(arguments.before, arguments.all))
    found = differences(before, now)
    print(*found, sep="\n", end="\n" if found else "")
    print(f"{len(before | now) - len(found)} of {len(before | now)} are the same")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
