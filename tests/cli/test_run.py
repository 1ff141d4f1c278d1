"""`kcnn run`: outputs, figures, batches."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from kcnn.arch import host, isa, kbin
from kcnn.arch.program import Port
from kcnn.engines import execute as engines


def expected(hand, count):
    """The reference's outputs, image by image."""
    program = hand.program()
    out = []
    for image in hand.images(count):
        codes = host.encode(image[None], program.tensors[0], program.config)
        tensors = engines.execute("reference", program, [codes],
                                  engines.memory_model(program, None)).tensors
        out.append(tensors[2])
    return np.concatenate(out, axis=1), program.tensors[2], program.config


@pytest.mark.parametrize("engine", ["reference", "tlm"])
def test_outputs_are_the_references(kcnn, hand, net, images, tmp_path, engine):
    codes, tensor, config = expected(hand, 3)
    ran = kcnn("run", net, "--input", images, "--engine", engine, "-o", tmp_path / "y.npy")
    assert ran.code == 0 and ran.err == ""
    y = np.load(tmp_path / "y.npy")
    assert y.dtype == np.float32 and y.shape == (3, 1, 4, 4)
    assert (y == host.decode(codes, tensor, config)).all() and np.ptp(y) > 0
    kcnn("run", net, "--input", images, "--engine", engine, "--raw", "-o", tmp_path / "r.npy")
    raw = np.load(tmp_path / "r.npy")
    assert raw.dtype == np.int64 and (raw == host.raw(codes, tensor, config)).all()


def test_figures_add_up(kcnn, net, images, tmp_path):
    ran = kcnn("run", net, "--input", images, "--engine", "tlm", "-v", "--json",
               tmp_path / "f.json")
    figures = json.loads((tmp_path / "f.json").read_text())
    assert set(figures) == {"cycles", "engine", "inputs_cut", "outputs_at_limit", "layers"}
    assert figures["engine"] == "tlm" and figures["inputs_cut"] == 0
    assert [set(layer) for layer in figures["layers"]] == 2 * [{
        "name", "cycles", "taps", "macs", "issue_utilisation", "useful_utilisation", "bound"}]
    first, second = figures["layers"]
    assert (first["taps"], second["taps"]) == (3 * 4, 2 * 4)      # taps x chunks of 4 positions
    assert first["issue_utilisation"] == first["taps"] / first["cycles"]
    assert first["useful_utilisation"] == first["macs"] / (first["cycles"] * 4)
    table = ran.out.partition("one batch of 1")[2].partition("cycles by cause")[0]
    rows = {line.split()[0]: line.split() for line in table.splitlines() if line.strip()}
    parts = [int(rows[name][1]) for name in ("(load)", "first", "second", "(store)", "(end)")]
    assert sum(parts) == int(rows["total"][1]) == figures["cycles"]
    assert "issued taps" in table and int(rows["first"][2]) == first["taps"]
    causes = ran.out.partition("cycles by cause")[2]
    for layer in figures["layers"]:
        line = next(line for line in causes.splitlines() if layer["name"] in line)
        numbers = [int(word) for word in line.split()[1:]]
        assert sum(numbers[:-1]) == numbers[-1] == layer["cycles"]
    assert "STORE address=" in ran.out


def test_time_is_told_for_a_clock(kcnn, net, images, tmp_path):
    ran = kcnn("run", net, "--input", images, "--engine", "tlm", "--clock", "12.5", "--json",
               tmp_path / "f.json")
    cycles = json.loads((tmp_path / "f.json").read_text())["cycles"]
    assert (f"{cycles:,} cycles a batch of 1: {cycles / 12_500:.4g} ms and "
            f"{12_500_000 / cycles:,.0f} images/s at 12.5 MHz\n") in ran.out
    ran = kcnn("run", net, "--input", images, "--engine", "reference")
    assert ran.code == 0 and "MHz" not in ran.out


def test_the_reference_has_no_cycles(kcnn, net, images, tmp_path):
    kcnn("run", net, "--input", images, "--engine", "reference", "--json", tmp_path / "f.json")
    figures = json.loads((tmp_path / "f.json").read_text())
    assert figures["cycles"] is None and figures["layers"][0]["cycles"] is None
    assert figures["layers"][0]["taps"] == 12


def test_random_waits_change_cycles_only(kcnn, net, images, tmp_path):
    found = []
    for seed in (1, 2):
        kcnn("run", net, "--input", images, "--engine", "tlm", "--memory-seed", seed,
             "-o", tmp_path / "y.npy", "--json", tmp_path / "f.json")
        found.append((json.loads((tmp_path / "f.json").read_text())["cycles"],
                      np.load(tmp_path / "y.npy").tobytes()))
    assert found[0][0] != found[1][0] and found[0][1] == found[1][1]


def test_several_outputs_make_an_npz(kcnn, hand, images, tmp_path):
    program = hand.program()
    place = program.memory_bytes
    store = isa.Store(address=place // 16, row=2, rows=4)
    two = dataclasses.replace(
        program, instructions=(*program.instructions[:-1], store, isa.End()),
        outputs=(*program.outputs, Port("middle", 1, place)), memory_bytes=place + 64)
    kbin.write(tmp_path / "two.kbin", two)
    ran = kcnn("run", tmp_path / "two.kbin", "--input", images, "--engine", "tlm",
               "-o", tmp_path / "y.npz")
    assert ran.code == 0
    with np.load(tmp_path / "y.npz") as found:
        assert {name: found[name].shape for name in found.files} == {
            "middle": (3, 2, 4, 4), "output": (3, 1, 4, 4)}


def test_the_machine_can_be_named(kcnn, net, images):
    command = ("run", net, "--input", images, "--engine", "reference", "--config")
    assert kcnn(*command, "tiny").code == 0
    ran = kcnn(*command, "small")
    assert ran.code == 2 and "compiled for lanes=4, but" in ran.err
