"""Runs verbs of `kcnn` on many files in one process that may use 1 GiB more than it has.

    python hostile_worker.py IMAGES FOLDER VERB...

Prints one JSON object a line: file, verb, exit code, what was said, seconds of processor time.
A verb is a name of VERBS.
"""

import contextlib
import io
import json
import resource
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

from kcnn.arch import kbin, reference  # noqa: F401
from kcnn.cli.__main__ import run
from kcnn.tlm import machine  # noqa: F401

ROOM = 1 << 30
VERBS = {
    "info": lambda file, images: ["info", file],
    "disasm": lambda file, images: ["disasm", file],
    "reference": lambda file, images: ["run", file, "--input", images, "--engine", "reference"],
    "tlm": lambda file, images: ["run", file, "--input", images, "--engine", "tlm"],
    "cosim": lambda file, images: ["cosim", file, "--input", images, "--engines",
                                   "reference,tlm"],
    "asm": lambda file, images: ["asm", file, "-o", f"{tempfile.gettempdir()}/hostile.kbin"],
    "input": lambda file, images: ["run", images, "--input", file, "--engine", "reference"],
    "config": lambda file, images: ["run", images, "--input", file, "--engine", "reference",
                                    "--config", file],
}


def limit() -> None:
    """This process may use ROOM more than now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def tried(file: Path, verb: str, images: str) -> dict:
    out, said = io.StringIO(), io.StringIO()
    start = time.process_time()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
            code = run(VERBS[verb](str(file), images))
    except BaseException:
        code = -1
        said.write(traceback.format_exc())
    return {"file": file.name, "verb": verb, "code": code, "said": said.getvalue(),
            "bad_output": not all(line.isprintable() for line in out.getvalue().split("\n")),
            "seconds": time.process_time() - start}


def main(images: str, folder: str, *verbs: str) -> None:
    warnings.simplefilter("error")
    limit()
    for file in sorted(Path(folder).iterdir()):
        for verb in verbs:
            print(json.dumps(tried(file, verb, images)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
