"""Whole back half: torch = reference = transaction-level model, same bytes twice, errors."""

import dataclasses

import canonical
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.arch import host, kbin, reference
from kcnn.arch.config import Config
from kcnn.arch.engine import MemoryModel
from kcnn.arch.program import memory_image
from kcnn.compiler import pipeline
from kcnn.compiler.errors import CompileError, InternalError
from kcnn.compiler.stages import Stage, Work
from kcnn.tlm.machine import simulate
from torch import nn

TINY = Config.preset("tiny")


def small_net() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(),
                         nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3)).eval()


def inputs(n: int = 8) -> torch.Tensor:
    return torch.randn(n, 2, 4, 4, generator=torch.Generator().manual_seed(2))


def compiled(config: Config = TINY, **more):
    x = inputs()
    return pipeline.compile(small_net(), (x[:1],), x.numpy(), config, **more)


@settings(max_examples=30)
@given(data=st.data(), machine=st.sampled_from(canonical.CONFIGS), batch=st.integers(1, 3))
def test_torch_reference_and_machine_agree(data, machine, batch):
    quantised = data.draw(canonical.small_networks(machine))
    program = pipeline.back(quantised, machine, batch)
    codes = canonical.random_codes(program, 3)
    tensors = canonical.check(quantised, program, codes)
    result = simulate(program, memory_image(program, [codes]), MemoryModel.fixed(4))
    for index, expected in tensors.items():
        np.testing.assert_array_equal(result.tensors[index], expected,
                                      program.tensors[index].name)


def test_what_was_in_memory_before_does_not_matter():
    net = canonical.Builder(TINY, (2, 6, 5))
    first = net.conv("x", 4, padding=(1, 1, 1, 1), signed=True)
    net.output(net.conv(first, 3, (3, 2), (2, 1), (0, 1, 2, 0), radix=True))
    program = pipeline.back(net.quantised(), TINY, 2)
    codes = canonical.random_codes(program, 5)
    tensors = canonical.check(net.quantised(), program, codes)
    memory = memory_image(program, [codes])
    port = program.outputs[0]
    memory[port.address:] = 0xA5
    result = simulate(program, memory, MemoryModel.random(3))
    np.testing.assert_array_equal(result.tensors[port.tensor], tensors[port.tensor])


def test_every_stage_is_told_in_order():
    told = []
    compiled(progress=told.append)
    assert [stage for stage in told if not isinstance(stage, Work)] == list(Stage)
    work = [(str(stage), stage.done, stage.of) for stage in told if isinstance(stage, Work)]
    assert ("quantise: 5", 1, 2) in work and ("plan: 5", 2, 3) in work


def test_a_watch_sees_what_every_stage_makes():
    seen = []
    result = compiled(watch=lambda stage, form: seen.append((stage, form)))
    assert [stage for stage, _ in seen] == list(Stage)
    forms = dict(seen)
    assert forms[Stage.QUANTISE] is result.quantised
    assert forms[Stage.ASSEMBLE].instructions is result.program.instructions


def test_who_has_seen_enough_needs_no_calibration():
    walk = pipeline.walk(small_net(), pipeline.Settings(TINY, (inputs(1),)))
    assert [next(walk)[0] for _ in range(2)] == [Stage.TRACE, Stage.CANONICALISE]
    with pytest.raises(CompileError, match="no calibration images: give typical ones"):
        next(walk)


def test_a_broken_form_names_its_stage(monkeypatch):
    whole = pipeline.lower

    def broken(quantised):
        net = whole(quantised)
        return dataclasses.replace(net, steps=net.steps[1:])

    monkeypatch.setattr(pipeline, "lower", broken)
    with pytest.raises(InternalError, match="stage lower: 3 reads a value before it is there"):
        compiled()


def test_a_program_that_breaks_a_rule_is_no_error_of_the_user(monkeypatch):
    whole = pipeline.assemble
    monkeypatch.setattr(pipeline, "assemble", lambda *arguments: dataclasses.replace(
        whole(*arguments), memory_bytes=3))
    with pytest.raises(InternalError, match="stage assemble: "):
        compiled()


def test_same_inputs_give_the_same_bytes():
    assert kbin.save(compiled().program) == kbin.save(compiled().program)


def test_batch_of_one_image_computes_what_a_larger_batch_does():
    x = inputs(3)
    outputs = []
    for batch in (1, 3):
        program = compiled(batch=batch).program
        (port,), (out,) = program.inputs, program.outputs
        parts = []
        for first in range(0, 3, batch):
            codes = host.encode(x[first:first + batch].numpy(), program.tensors[port.tensor], TINY)
            parts.append(host.raw(reference.run(program, [codes])[out.tensor],
                                  program.tensors[out.tensor], TINY))
        outputs.append(np.concatenate(parts))
    np.testing.assert_array_equal(*outputs)


def test_meta_says_where_a_program_comes_from():
    result = compiled(name="net.pt2", seed=4, clusters=8)
    meta = result.program.meta
    # convolution with its bias (batch norm folded) and the linear layer
    assert meta.float32_bytes == 4 * (4 * 2 * 9 + 4 + 16 * 3 + 3)
    assert (meta.source, meta.seed, meta.clusters) == ("net.pt2", 4, 8)
    assert meta.kcnn
    assert len(meta.nodes) == len(result.program.tensors)


def test_tensors_are_found_by_graph_node():
    result = compiled()
    for node, index in result.tensors.items():
        assert result.program.tensors[index].name == node
        assert result.quantised.graph[node].shape == (
            result.program.tensors[index].kind.shape[1:])
    assert set(result.tensors) == {n.name for n in result.quantised.graph} - {
        port.name for port in result.program.outputs}


@pytest.mark.parametrize("batch", [0, -1, 4096, "3"])
def test_refuses_a_batch_that_no_run_can_count(batch):
    with pytest.raises(CompileError, match=f"batch must be 1 to 4095, found {batch!r}"):
        compiled(batch=batch)


@pytest.mark.parametrize("clusters", [0, -1, "4", 1.5])
def test_refuses_weights_of_no_magnitude(clusters):
    with pytest.raises(CompileError, match="clusters must be a whole number, at least 1, found "
                                           f"{clusters!r}"):
        compiled(clusters=clusters)


def test_refuses_a_network_that_computes_nothing():
    net = canonical.Builder(TINY, (1, 2, 2))
    net.output("x")
    with pytest.raises(CompileError, match="computes nothing"):
        pipeline.back(net.quantised(), TINY, 1)


def test_more_images_than_fit_name_the_largest_number_that_does():
    config = dataclasses.replace(TINY, memory_codes=256)
    compiled(config, batch=1)
    with pytest.raises(CompileError, match=r"at batch 8, .*, does not fit memory_codes = 256 of "
                                           r"configuration 'tiny'; it needs memory_codes = \d+, "
                                           r"or a batch of at most (\d+)") as caught:
        compiled(config, batch=8)
    said = str(caught.value)
    largest = int(said.split()[-1])
    needed = int(said.partition("it needs memory_codes = ")[2].partition(",")[0])
    assert needed & (needed - 1) == 0
    compiled(config, batch=largest)
    with pytest.raises(CompileError):
        compiled(config, batch=largest + 1)
    compiled(dataclasses.replace(TINY, memory_codes=needed), batch=8)
    with pytest.raises(CompileError):
        compiled(dataclasses.replace(TINY, memory_codes=needed // 2), batch=8)
