"""The operands of a RUN, as registers."""

from __future__ import annotations

import dataclasses
import inspect
import random
import re

from core_bench import random_run
from kcnn.arch.config import Config
from kcnn.arch.isa import Fill, Mode
from kcnn.rtl.fields import KEPT, Fields, run_fields
from kcnn.rtl.signals import bit, word
from myhdl import ResetSignal
from replay import replay

CONFIG = dataclasses.replace(Config.preset("tiny"), memory_codes=1024)


def make():
    return run_fields, {"clk": bit(), "reset": ResetSignal(0, active=1, isasync=False),
                        "go": bit(), "instruction": word(512),
                        "fields": Fields(CONFIG), "taken": bit(), "config": CONFIG}


def test_every_field_that_is_kept_is_taken():
    said = inspect.getsource(run_fields.func)
    taken = re.findall(r"fields\.(\w+)\.next = source\.(\w+)", said)
    assert sorted(taken) == sorted((field.name, field.name) for field in KEPT)


def test_fields_and_derived_ones_stay_until_the_next_run():
    rng = random.Random(1)
    runs = [random_run(CONFIG, rng, 700) for _ in range(40)]

    def stimulus(ports, rng):
        for run in runs:
            ports["go"].next = 1
            ports["instruction"].next = int.from_bytes(run.encode(), "little")
            yield
            ports["go"].next = 0
            ports["instruction"].next = rng.getrandbits(512)
            for _ in range(4):
                yield
        ports["go"].next = 1
        ports["instruction"].next = int.from_bytes(Fill(1, 2, 3).encode(), "little")
        while True:
            yield

    rows = replay(make, 210, stimulus).rows
    for i, run in enumerate(runs):
        assert [rows[5 * i + n]["taken"] for n in range(1, 5)] == [1, 0, 0, 0]
        for row in rows[5 * i + 1:5 * i + 6]:
            for field in KEPT:
                assert row[f"fields_{field.name}"] == getattr(run, field.name), field.name
        for row in rows[5 * i + 3:5 * i + 6]:
            assert row["fields_max_run"] == (run.mode == Mode.PASS)
            assert row["fields_clustered"] == (run.mode == Mode.CODE)
            assert row["fields_last_digit"] == run.digits - 1
            if run.mode == Mode.RADIX:
                low = (1 << (run.radix_width - 1)) - 1
                assert row["fields_clip"] == (1 << 20) - 1 - low
    assert not rows[-1]["taken"]
