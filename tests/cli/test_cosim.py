"""`kcnn cosim`: equal engines pass; faults of every kind are found, named and made small."""

from __future__ import annotations

import dataclasses
import json

import pytest
from kcnn.arch import kbin
from kcnn.engines import execute as engines
from kcnn.engines.batches import encode
from kcnn.rtl.benchfiles import EngineError
from kcnn.tlm import machine as tlm

ENGINES = "reference,tlm,myhdl"


@pytest.fixture
def faulty(monkeypatch):
    """Make "myhdl" the TLM with a fault: a function (program, memory, result) -> result."""
    def install(fault):
        genuine = engines.machine

        def machine(engine, program, memory, model, vcd=None, trace=False):
            if engine != "myhdl":
                return genuine(engine, program, memory, model, vcd, trace)
            if vcd is not None:
                vcd.write_text("$enddefinitions")
            memory, result = fault(program, memory, lambda memory: tlm.simulate(
                program, memory, model, True))
            return dataclasses.replace(result, engine="myhdl", memory=memory)

        monkeypatch.setattr(engines, "machine", machine)
    return install


def sound(program, memory, run):
    result = run(memory)
    return result.memory, result


def wrong_table(at):
    """Another clustering code in the tables: layer `first` gives other codes."""
    def fault(program, memory, run):
        broken = memory.copy()
        broken[program.table_base + at] ^= 3
        result = run(broken)
        return result.memory, result
    return fault


def wrong_stamp(program, memory, run):
    """The last RUN takes three cycles more."""
    result = run(memory)
    last = max(layer.runs[-1] for layer in program.layers)
    result.ends[last] += 3
    return result.memory, result


def wrong_store(program, memory, run):
    """An output byte is wrong in external memory only."""
    result = run(memory)
    result.memory[program.outputs[0].address + 1] ^= 1
    return result.memory, result


def test_equal_engines_pass(kcnn, net, images, tmp_path, faulty):
    faulty(sound)
    ran = kcnn("cosim", net, "--input", images, "--engines", ENGINES, "--json", tmp_path / "c.json")
    assert ran.code == 0 and "equal: every tensor on 3 engines, all 11 instructions" in ran.out
    found = json.loads((tmp_path / "c.json").read_text())
    assert found["equal"] is True and set(found["cycles"]) == {"tlm", "myhdl"}
    assert found["cycles"]["tlm"] == found["cycles"]["myhdl"] > 0
    assert [tensor["name"] for tensor in found["tensors"]] == ["x", "first", "second"]


def test_a_wrong_tensor_is_named_with_element_and_cycle(kcnn, hand, net, images, tmp_path, faulty):
    faulty(wrong_table(64 + 4 * 9 + 2))
    ran = kcnn("cosim", net, "--input", images, "--engines", ENGINES, "--json", tmp_path / "c.json")
    assert ran.code == 1
    found = json.loads((tmp_path / "c.json").read_text())
    assert found["equal"] is False
    first = found["differences"][0]
    assert first["name"] == "first" and first["engine"] == "myhdl"
    assert f"myhdl: tensor 'first' differs in {first['differing']} elements" in ran.out
    assert f"written in cycle {first['cycle']}" in ran.out
    program = hand.program()
    batch = next(i for i in range(3) if _codes(program, hand.images(3)[i:i + 1])[1][
        tuple(first["element"])] == first["expected"])
    result = engines.execute("tlm", program, _inputs(program, hand.images(3)[batch:batch + 1]),
                             engines.memory_model(program, None), trace=True).result
    written = result.writes.cycle == first["cycle"]
    run = program.layers[0].runs[0]
    assert written.sum() == 1 and result.starts[run] < first["cycle"] <= result.ends[run]
    address = 16 + 16 * first["element"][2] + 4 * first["element"][3] + first["element"][4]
    assert result.writes.row[written] == address // 8
    assert result.writes.mask[written][0, address % 8]


def _inputs(program, image):
    return encode(program, [image])


def _codes(program, image):
    return engines.execute("reference", program, _inputs(program, image),
                           engines.memory_model(program, None)).tensors


def test_a_wrong_clock_is_named(kcnn, net, images, faulty):
    faulty(wrong_stamp)
    ran = kcnn("cosim", net, "--input", images, "--engines", ENGINES)
    assert ran.code == 1
    assert "myhdl: end of instruction 8 (COMPUTE) in cycle" in ran.out


def test_a_wrong_store_is_found(kcnn, net, images, faulty):
    faulty(wrong_store)
    ran = kcnn("cosim", net, "--input", images, "--engines", ENGINES)
    assert ran.code == 1 and "'output in external memory' differs in 1 elements" in ran.out


@pytest.mark.parametrize("fault, layer, files", [
    (wrong_table(64 + 4 * 9 + 2), "first", {"input.npz", "layer.kbin", "myhdl.vcd", "tlm.txt"}),
    (wrong_stamp, "second", {"input.npz", "layer.kbin", "myhdl.vcd", "tlm.txt"})])
def test_the_failing_layer_is_written(kcnn, net, images, tmp_path, faulty, fault, layer, files):
    faulty(fault)
    folder = tmp_path / "small"
    ran = kcnn("cosim", net, "--input", images, "--engines", ENGINES, "--shrink", folder)
    assert ran.code == 1 and f"layer '{layer}' differs by itself on myhdl" in ran.out
    assert {path.name for path in folder.iterdir()} == files
    program = kbin.read(folder / "layer.kbin")
    assert [found.name for found in program.layers] == [layer] and len(program.layers[0].runs) == 1
    again = kcnn("cosim", folder / "layer.kbin", "--input", folder / "input.npz",
                 "--engines", ENGINES)
    assert again.code == 1
    assert "RUN stream=" in (folder / "tlm.txt").read_text()


def test_nothing_is_written_where_no_layer_fails_alone(kcnn, net, images, tmp_path, faulty):
    faulty(wrong_store)

    ran = kcnn("cosim", net, "--input", images, "--engines", "reference,tlm", "--shrink",
               tmp_path / "none")
    assert ran.code == 0 and not (tmp_path / "none").exists()


def test_machines_are_compared_without_the_reference(kcnn, hand, images, tmp_path, faulty):
    faulty(wrong_store)
    kbin.write(tmp_path / "bare.kbin", hand.without_layers())
    ran = kcnn("cosim", tmp_path / "bare.kbin", "--input", images, "--engines", "tlm,myhdl")
    assert ran.code == 1 and "external memory" in ran.out
    faulty(sound)
    ran = kcnn("cosim", tmp_path / "bare.kbin", "--input", images, "--engines", "tlm,myhdl")
    assert ran.code == 0


def test_one_engine_is_compared_with_nothing(kcnn, net, images):
    ran = kcnn("cosim", net, "--input", images, "--engines", "reference")
    assert ran.code == 0 and "only reference was run; name a second engine" in ran.out
    assert "equal" not in ran.out


def test_an_engine_that_hangs_differs(kcnn, net, images, tmp_path, faulty):
    def hang(program, memory, run):
        raise EngineError("engine myhdl: the machine hangs")

    faulty(hang)
    for engines_named in (ENGINES, "myhdl,tlm", "myhdl"):
        ran = kcnn("cosim", net, "--input", images, "--engines", engines_named, "--json",
                   tmp_path / "c.json", "--shrink", tmp_path / "small")
        assert ran.code == 1 and "engine myhdl: the machine hangs" in ran.out
        found = json.loads((tmp_path / "c.json").read_text())
        assert found["equal"] is False and list(found["failures"]) == ["myhdl"]
    assert [path.name for path in sorted((tmp_path / "small").iterdir())] == [
        "input.npz", "layer.kbin", "myhdl.vcd", "tlm.txt"]
