"""Do the tests of a file notice a change of it?  `python bench/mutation/survivors.py [FILE ...]`

Every mutant (`mutants.py`) of a file runs the file's own tests, in a process forked from one that
has imported torch and the like; kcnn is imported there, with the mutant in its file's place.
Nothing is written. A file's score is the part of its mutants, those of `equivalent.toml` apart, for
which a test fails, or does not end in time.

Why not a tool alone: mutmut wants a package in a folder of its name, Cosmic Ray changes the working
tree and starts a process for each mutant, most of whose time is that of importing torch.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import gc
import importlib
import itertools
import os
import resource
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from mutants import Mutant, mutants

ROOT = Path(__file__).resolve().parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.toml")
FILES = ("arch/fixed.py", "arch/stream.py", "arch/check.py", "arch/hazards.py", "arch/timing.py",
         "compiler/emit/tokens.py", "compiler/lower/prove.py", "compiler/lower/scaling.py",
         "compiler/quantise/segments.py")
HEAVY = ("torch.export", "networkx", "sklearn.cluster", "joblib", "hypothesis.strategies")
OPTIONS = ("-q", "-x", "--tb=no", "-p", "no:cacheprovider", "-m", "not long",
           "-W", "ignore::pytest.PytestAssertRewriteWarning")
LEAST = 0.9
PATIENCE = 2               # a mutant may take this many times the processor time of the file
MEMORY = 16 << 30          # bytes of address space of a run
WRONG_USE = 4              # pytest's exit status from which on it has tested nothing
Key = tuple[str, str, str]                 # scope of a mutant, lines before and after


@dataclasses.dataclass(frozen=True)
class Score:
    """What became of a file's mutants, those that are known to be equivalent apart."""

    ran: int
    equivalent: int
    survivors: tuple[Mutant, ...]

    @property
    def part(self) -> float:
        return 1 - len(self.survivors) / self.ran if self.ran else 1.0


class _Quick:
    """Single cases before random ones; examples that fail are not made smaller."""

    @staticmethod
    def pytest_sessionstart() -> None:
        phases = (Phase.explicit, Phase.generate)
        settings.register_profile("mutants", settings.default, phases=phases)
        settings.load_profile("mutants")

    @staticmethod
    def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: hasattr(getattr(item, "obj", None), "hypothesis"))


def run_tests(path: Path, text: str, tests: Path) -> int:
    """Exit status of the tests with another text in a file's place. To be called in a fork."""
    get_code = SourceFileLoader.get_code

    def changed(self: SourceFileLoader, name: str):  # type: ignore[no-untyped-def]
        same = Path(self.path).resolve() == path
        return compile(text, self.path, "exec") if same else get_code(self, name)
    SourceFileLoader.get_code = changed  # type: ignore[method-assign, assignment]
    return int(pytest.main([*OPTIONS, str(tests)], plugins=[_Quick()]))


def forked(work: Callable[[], int], seconds: int) -> int:
    """The process in which the work goes on, within so many seconds of processor time."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        status = work()
    finally:
        os._exit(status)


def survivors(path: Path, tests: Path, changed: Iterable[Mutant], jobs: int) -> Iterator[Mutant]:
    """The mutants for which all tests pass."""
    seconds = _baseline(path, tests) * PATIENCE + 3
    running: dict[int, Mutant] = {}
    for mutant in itertools.chain(changed, itertools.repeat(None, jobs)):
        if len(running) == jobs or (mutant is None and running):
            process, status = os.wait()
            done = running.pop(process)
            if status == 0:
                yield done
            if os.WIFEXITED(status) and os.WEXITSTATUS(status) >= WRONG_USE:
                raise SystemExit(f"{tests}: pytest ends with {os.WEXITSTATUS(status)}")
        if mutant is not None:
            work = functools.partial(run_tests, path, mutant.text, tests)
            running[forked(work, seconds)] = mutant


def _baseline(path: Path, tests: Path) -> int:
    """Seconds of processor time of the tests with the file as it is; all must pass."""
    work = functools.partial(run_tests, path, path.read_text(), tests)
    _, status, usage = os.wait4(forked(work, 600), 0)
    if status:
        raise SystemExit(f"{tests}: fails or is not there, before anything is changed")
    return int(usage.ru_utime + usage.ru_stime) + 1


def equivalent() -> dict[str, set[Key]]:
    """The listed mutants that no test can notice, by file."""
    found: dict[str, set[Key]] = {}
    for entry in tomllib.loads(EQUIVALENT.read_text()).get("mutant", []):
        key = entry["scope"], entry["before"], entry["after"]
        found.setdefault(entry["file"], set()).add(key)
    return found


def measure(name: str, most: int, jobs: int, every: bool = False) -> Score:
    """Run the first `most` mutants of a file, tell those that survive."""
    path, equal = ROOT / name, equivalent().get(name, set())
    folder, _, file = name.rpartition("/")
    found = list(itertools.islice(mutants(path.read_text(), every), most))
    live = [m for m in found if (m.scope, m.before, m.after) not in equal]
    left = []
    for mutant in survivors(path, ROOT / "tests" / folder / f"test_{file}", live, jobs):
        print(f"    {mutant.scope}: {mutant.before}\n        -> {mutant.after}", flush=True)
        left.append(mutant)
    return Score(len(live), len(found) - len(live), tuple(left))


def prepare() -> None:
    """What every fork would do again: imports, no plugins, a heap that nobody looks through."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for name in HEAVY:
        importlib.import_module(name)
    gc.freeze()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", default=FILES)
    parser.add_argument("--most", type=int, default=120, help="mutants of a file (120)")
    parser.add_argument("--every", action="store_true", help="all changes of every place")
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    chosen = parser.parse_args()
    os.chdir(ROOT)
    prepare()
    low = False
    for name in chosen.files:
        score = measure(name, chosen.most, chosen.jobs, chosen.every)
        low |= score.part < LEAST
        print(f"{name}: {score.part:.1%} of {score.ran} mutants are noticed, {score.equivalent} "
              "equivalent ones left out", flush=True)
    return int(low)


if __name__ == "__main__":
    sys.exit(main())
