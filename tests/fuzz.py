"""Random networks on random machines, as many as are wanted: `make fuzz`.

    python tests/fuzz.py --count 1000 --jobs 2          what nobody would build, reference = TLM
    python tests/fuzz.py --first 4711 --count 1         the network of one number again
    python tests/fuzz.py --verilator --count 50         as Verilog too, on three machines

Every network compiles or is refused by a sentence, and all engines find the same tensors in the
same cycles. A failing network is told by its number, which is all that it depends on. The exit code
is 1 if any fails.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import multiprocessing
import sys
import traceback
import warnings
from collections.abc import Sequence

import torch
import wild
from kcnn.rtl import hdl
from machine_programs import CONFIGS
from rich import progress
from rich.console import Console

ROOM = {"memory_codes": 1 << 14, "tap_slots": 1024, "base_entries": 256}
# what a network is run on where it becomes Verilog, since a simulator is built for each: the tiny
# machine, one of 8-bit codes, and one with no register wider than it must be
MACHINES = (
    CONFIGS["tiny"], dataclasses.replace(CONFIGS["p16m8ab8"], **ROOM),
    dataclasses.replace(CONFIGS["p8m2d4"], **ROOM, name="narrow", value_bits=5, sum_bits=5,
                        factor_bits=2, total_bits=20))


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    numbers = range(options.first, options.first + options.count)
    found: dict[str, list[str]] = {"compiled": [], "refused": [], "failed": []}
    screen = Console(stderr=True)
    with multiprocessing.get_context("spawn").Pool(options.jobs, _quiet) as pool:
        results = pool.imap_unordered(functools.partial(tried, verilator=options.verilator),
                                      numbers)
        for kind, text in progress.track(results, "networks", len(numbers), console=screen,
                                         disable=not screen.is_terminal):
            found[kind].append(text)
            if kind == "failed" or kind == "refused" and options.refusals:
                print(text, flush=True)
    print(", ".join(f"{len(texts)} {kind}" for kind, texts in found.items()))
    return 1 if found["failed"] else 0


def tried(number: int, verilator: bool) -> tuple[str, str]:
    """("compiled", "refused" or "failed", what is to be said) about one network."""
    try:
        if verilator:
            config = MACHINES[number % len(MACHINES)]
            said = wild.agree(wild.case(number, config),
                              functools.partial(hdl.simulate, engine="verilator"))
        else:
            said = wild.agree(wild.case(number))
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return "failed", (f"{number}: {type(error).__name__} in {place.filename}:{place.lineno}: "
                          f"{error}")
    return ("refused", f"{number}: {said}") if said else ("compiled", "")


def _quiet() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("error")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="compile and run random networks")
    parser.add_argument("--first", type=int, default=0, help="number of the first network")
    parser.add_argument("--count", type=int, default=1000, help="how many")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--verilator", action="store_true", help="run them as Verilog too")
    parser.add_argument("--refusals", action="store_true", help="print every refusal")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
