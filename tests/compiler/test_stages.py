"""Names of stages and of the files of a dump."""

from __future__ import annotations

import subprocess
import sys

from kcnn.compiler import pipeline
from kcnn.compiler.stages import Stage, Work


def test_files_come_in_the_order_of_stages() -> None:
    files = [stage.file for stage in Stage]
    assert files[0] == "01-trace.txt" and files == sorted(files)


def test_every_stage_is_made_verified_and_told() -> None:
    assert list(pipeline.MAKERS) == list(pipeline.VERIFIERS) == list(Stage)
    assert all(stage.makes for stage in Stage)


def test_the_command_line_can_name_them_without_torch() -> None:
    script = "import sys, kcnn.compiler.stages; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_work_is_a_text_that_counts_layers() -> None:
    work = Work(Stage.PLAN, "net.conv", 2, 5)
    assert (work, work.done, work.of) == ("plan: net.conv", 2, 5)
