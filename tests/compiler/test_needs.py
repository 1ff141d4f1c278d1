"""What a configuration lacks: all at once, before quantisation where shapes decide, and true."""

from __future__ import annotations

import collections
import dataclasses
import warnings

import canonical
import numpy as np
import pytest
import torch
import wild
from kcnn.arch.config import MOST, Config
from kcnn.compiler import needs, pipeline
from kcnn.compiler.errors import CompileError, Need
from kcnn.compiler.stages import Stage

NARROW = {"tap_slots": 16, "base_entries": 16, "total_bits": 20}


def refusal(case: wild.Case, config: Config) -> tuple[CompileError | None, str]:
    """Why a case is not compiled for a machine, and in which stage."""
    stages: list[str] = []
    examples = (torch.zeros(1, *case.images.shape[1:]),)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Using padding='same'")
            pipeline.compile(case.model, examples, case.images, config, case.batch, case.clusters,
                             progress=stages.append)
    except CompileError as error:
        return error, stages[-1]
    return None, stages[-1]


def assert_true(case: wild.Case, config: Config) -> str:
    """The values named are enough, and none of them can be less; the stage of the refusal."""
    error, stage = refusal(case, config)
    if error is None or not error.needs:
        return "fits" if error is None else "other"
    wild.check_sentence(str(error))
    least = {need.field: need.least for need in error.needs}
    assert len(least) == len(error.needs)
    if any(value > MOST.get(field, value) for field, value in least.items()):
        return "impossible"
    enough = dataclasses.replace(config, **least)
    after, _ = refusal(case, enough)
    assert after is None or not after.needs, (case.seed, least, str(after))
    for need in error.needs:
        if need.sure:
            assert_least(case, enough, need)
    return stage


def assert_least(case: wild.Case, config: Config, need: Need) -> None:
    """One step less is refused."""
    less = need.least - 1 if need.field == "total_bits" else need.least // 2
    error, _ = refusal(case, dataclasses.replace(config, **{need.field: less}))
    assert error is not None and need.field in {more.field for more in error.needs}, (
        case.seed, need)


def narrow(case: wild.Case, memory: bool) -> Config:
    """The case's machine with too little of everything, or with enough memory."""
    lanes = case.config.lanes
    memory_codes = max(4 * lanes, 64) if memory else case.config.memory_codes
    return dataclasses.replace(case.config, memory_codes=memory_codes, **NARROW)


@pytest.mark.parametrize("memory, seeds", [(True, [0, 87]), (False, [20])])
def test_least_values_are_enough_and_no_less_is(memory, seeds):
    for seed in seeds:
        case = wild.case(seed)
        assert_true(case, narrow(case, memory))


@pytest.mark.long
@pytest.mark.parametrize("memory", [True, False])
def test_least_values_of_many_networks(memory):
    stages = collections.Counter(
        assert_true(case, narrow(case, memory)) for case in map(wild.case, range(200)))
    assert stages[Stage.EQUALISE if memory else Stage.ALLOCATE] > 20


def everything() -> tuple[canonical.Builder, Config]:
    """A network that is too large for a machine in every way."""
    machine = canonical.config(memory_codes=64, tap_slots=16, base_entries=16, total_bits=20)
    net = canonical.Builder(machine, (2, 8, 8))
    first = net.conv("x", 100, padding=(1, 1, 1, 1), density=1.0)
    net.output(net.conv(first, 3, (8, 8), radix=True, kind="Linear", density=1.0))
    return net, machine


def test_everything_that_is_lacking_is_told_after_quantisation():
    net, machine = everything()
    sentence = (r"^layer net.conv2: an output channel has 6400 taps, too many to be computed in "
                r"parts with tap_slots = 16, layer net.conv2: .* and layer net.conv\d: what it "
                r"needs .* of configuration 'test'; it needs tap_slots = 128, base_entries = \d+ "
                r"and memory_codes = \d+$")
    with pytest.raises(CompileError, match=sentence) as caught:
        pipeline.back(net.quantised(), machine, 1)
    least = {need.field: need.least for need in caught.value.needs}
    assert list(least) == ["tap_slots", "base_entries", "memory_codes"]
    pipeline.back(net.quantised(), dataclasses.replace(machine, **least), 1)


def test_shapes_alone_refuse_before_any_image_is_looked_at():
    net, machine = everything()
    nothing = np.full((1, 2, 8, 8), np.nan)
    with pytest.raises(CompileError) as caught:
        pipeline.compile(net.graph, (), nothing, machine)
    assert [(need.field, need.sure) for need in caught.value.needs] == [("memory_codes", True)]


def test_taps_that_rounding_may_leave_out_refuse_nothing_early():
    net, machine = everything()
    roomy = dataclasses.replace(machine, memory_codes=1 << 14)
    needs.check_graph(net.graph, roomy, 1)
    with pytest.raises(CompileError, match="tap_slots"):
        pipeline.back(net.quantised(), roomy, 1)


def test_pruned_channels_stand_for_all_that_is_read():
    """The channel of most weights, that of most inputs, and who reads what these do not."""
    used = np.zeros((4, 3, 2, 2), bool)
    used[0, 0] = True                        # four weights of one input
    used[1, :, 0, 0] = True                  # one of each input
    used[2, 2, 1, 1] = True                  # read by nobody else
    used[3, 0, 0, 1] = True                  # nothing new
    assert needs._representative(used, 1).tolist() == [True, True, True, False]
    assert needs._representative(used, 4).tolist() == [True] * 4
    assert needs._representative(np.zeros((2, 3, 1, 1), bool), 1).tolist() == [True, False]
