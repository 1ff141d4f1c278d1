"""`kcnn compile`, and what the other verbs do with what it makes."""

from __future__ import annotations

import dataclasses
import json
import re
import textwrap
from importlib import resources

import numpy as np
import pytest
import torch
from kcnn import api
from kcnn.arch import config, host, kbin
from kcnn.cli.__main__ import run
from kcnn.compiler.frontend.model import load_model
from kcnn.compiler.stages import Stage
from kcnn.engines import compare
from kcnn.engines import execute as engines
from kcnn.engines.batches import encode
from kcnn.engines.shrink import single_layer

MODEL = """
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(3)
            self.stem = nn.Conv2d(2, 6, 3, stride=2, padding=1)
            self.norm = nn.BatchNorm2d(6)
            self.left = nn.Conv2d(6, 4, (1, 3), padding=(0, 1), groups=2)
            self.right = nn.Conv2d(6, 4, 3, padding=2, dilation=2)
            self.pool = nn.MaxPool2d(2)
            self.head = nn.Linear(8 * 1 * 2, 5)

        def forward(self, x):
            x = torch.relu(self.norm(self.stem(x)))
            x = torch.cat([self.left(x), torch.relu(self.right(x))], 1)
            return self.head(self.pool(x).flatten(1))

    def network():
        return Net().eval(), (torch.zeros(1, 2, 6, 8),)

    def raw():
        return (*network(), lambda pixels: pixels / 100)

    def other():
        return nn.Conv2d(2, 3, 3).eval(), (torch.zeros(1, 2, 6, 8),)

    def larger():
        return Net().eval(), (torch.zeros(1, 2, 6, 9),)

    def norm():
        module = nn.Sequential(nn.Conv2d(2, 3, 3), nn.InstanceNorm2d(3))
        return module.eval(), (torch.zeros(1, 2, 6, 8),)

    def uneven():
        module, example = network()
        with torch.no_grad():
            r = 10 ** torch.linspace(-1, 1, 4)
            module.right.weight.mul_(r[:, None, None, None])
            module.right.bias.mul_(r)
            module.head.weight.view(5, 8, 2)[:, 4:].div_(r[:, None])
        return module, example

    def failing():
        return (*network(), lambda pixels: pixels.missing)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """model.py, its data, and net.kbin and batch.kbin compiled from it."""
    folder = tmp_path_factory.mktemp("compile")
    (folder / "model.py").write_text(textwrap.dedent(MODEL))
    x = np.random.default_rng(5).normal(size=(24, 2, 6, 8)).astype(np.float32)
    np.savez(folder / "x.npz", x=x)
    np.savez(folder / "pixels.npz", x=100 * x)
    np.save(folder / "few.npy", x[:3])
    for name, more in (("net", []), ("batch", ["--batch", "2"])):
        assert run(["compile", f"{folder}/model.py:network", "--calibration",
                    f"{folder}/x.npz", "--config", "tiny", "-o", f"{folder}/{name}.kbin",
                    "--json", f"{folder}/{name}.json", *more]) == 0
    return folder


def test_the_same_inputs_give_the_same_bytes(kcnn, folder, tmp_path):
    ran = kcnn("compile", f"{folder}/model.py:network", "--calibration", folder / "x.npz",
               "--config", "tiny", "-o", tmp_path / "again.kbin", "--explain", "--json",
               tmp_path / "e.json")
    assert ran.code == 0 and "clustered weights" in ran.out
    assert (tmp_path / "again.kbin").read_bytes() == (folder / "net.kbin").read_bytes()
    figures = json.loads((tmp_path / "e.json").read_text())
    assert f"\nabout {figures['estimated_cycles']:,} cycles a batch of 1: " in ran.out
    integer = [row["integer"] for row in figures["sqnr"] if row["integer"] is not None]
    assert len(integer) == 5 and all(5 < found < 60 for found in integer)


def test_the_cycles_told_are_nearly_those_of_the_machine(kcnn, folder, tmp_path):
    told = json.loads((folder / "batch.json").read_text())["estimated_cycles"]
    kcnn("run", folder / "batch.kbin", "--input", folder / "few.npy", "--engine", "tlm", "--json",
         tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text())["cycles"] * 0.9 < told


def test_an_exported_file_is_a_model_too(kcnn, folder, tmp_path):
    module = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.ReLU()).eval()
    torch.export.save(torch.export.export(module, (torch.zeros(1, 2, 6, 8),)),
                      tmp_path / "net.pt2")
    ran = kcnn("compile", tmp_path / "net.pt2", "--calibration", folder / "x.npz", "--config",
               "tiny", "-o", tmp_path / "net.kbin")
    assert ran.code == 0 and len(kbin.read(tmp_path / "net.kbin").layers) == 1


def test_preprocess_is_applied_to_the_calibration_images(kcnn, folder, tmp_path):
    ran = kcnn("compile", f"{folder}/model.py:raw", "--calibration", folder / "pixels.npz",
               "--config", "tiny", "-o", tmp_path / "raw.kbin")
    assert ran.code == 0
    scaled, plain = kbin.read(tmp_path / "raw.kbin"), kbin.read(folder / "net.kbin")
    assert scaled.tensors[0].kind.scale == pytest.approx(plain.tensors[0].kind.scale, rel=1e-5)


def test_all_engines_agree_and_are_near_the_float_network(kcnn, folder, tmp_path):
    for name in ("net", "batch"):
        ran = kcnn("cosim", folder / f"{name}.kbin", "--input", folder / "few.npy",
                   "--engines", "reference,tlm", "--golden", f"{folder}/model.py:network",
                   "--min-sqnr", "5", "--json", tmp_path / "c.json")
        assert ran.code == 0, ran
        figures = json.loads((tmp_path / "c.json").read_text())
        rows = [row for row in figures["tensors"] if "sqnr" in row]
        assert len(rows) >= 4 and all(5 < row["sqnr"] < 60 for row in rows)
        assert figures["top1_agreement"] in (0, 1 / 3, 2 / 3, 1)


def test_equalised_tensors_are_told_in_the_networks_own_units(kcnn, folder, tmp_path):
    spec, sqnr = f"{folder}/model.py:uneven", {}
    for flag in ("--equalise", "--no-equalise"):
        net = tmp_path / "uneven.kbin"
        assert kcnn("compile", spec, "--calibration", folder / "x.npz", "--config", "tiny", "-o",
                    net, flag).code == 0
        program = kbin.read(net)
        assert bool(program.meta.exponents) == (flag == "--equalise")
        ran = kcnn("cosim", net, "--input", folder / "x.npz", "--engines", "reference",
                   "--golden", spec, "--json", tmp_path / "c.json")
        assert ran.code == 0, ran
        rows = json.loads((tmp_path / "c.json").read_text())["tensors"]
        sqnr[flag] = {row["name"]: row["sqnr"] for row in rows if "sqnr" in row}
    with_, without = sqnr.values()
    assert all(found > 5 for found in with_.values())
    assert with_["head"] > without["head"] + 3


def test_exponents_of_another_network_are_refused(kcnn, folder, tmp_path):
    program = kbin.read(folder / "net.kbin")
    meta = dataclasses.replace(program.meta, exponents={"stem": (1, 2)})
    kbin.write(tmp_path / "net.kbin", dataclasses.replace(program, meta=meta))
    ran = kcnn("cosim", tmp_path / "net.kbin", "--input", folder / "few.npy", "--engines",
               "reference", "--golden", f"{folder}/model.py:network")
    assert ran.code == 2 and ran.err == (
        "kcnn: --golden: the binary's metadata has 2 exponents for tensor 'stem', which has other "
        "channels; recompile the network\n")


def test_too_little_sqnr_exits_with_1(kcnn, folder):
    ran = kcnn("cosim", folder / "net.kbin", "--input", folder / "few.npy", "--engines",
               "reference", "--golden", f"{folder}/model.py:network", "--min-sqnr", "90")
    assert ran.code == 1 and "less than 90.0 dB" in ran.out


def test_sqnr_is_that_of_torch(folder):
    program = kbin.read(folder / "net.kbin")
    x = np.load(folder / "few.npy")
    spec = f"{folder}/model.py:network"
    row = api.load(folder / "net.kbin").compare(x, ["reference"], golden=spec).fidelities[-1]
    with torch.no_grad():
        exact = load_model(spec).module(torch.tensor(x)).numpy()
    outcomes = [engines.execute("reference", program, encode(program, [x[i:i + 1]]),
                                engines.memory_model(program, None)) for i in range(3)]
    found = np.concatenate([host.decode(outcome.tensors[row.tensor], program.tensors[row.tensor],
                                        program.config) for outcome in outcomes]).reshape(3, 5)
    noise = np.square(exact - found).sum()
    assert row.sqnr == pytest.approx(10 * np.log10(np.square(exact).sum() / noise), abs=0.01)
    assert row.largest_error == pytest.approx(np.abs(exact - found).max(), rel=1e-4)


def test_outputs_have_torchs_shape(kcnn, folder, tmp_path):
    outputs = []
    for name in ("net", "batch"):
        ran = kcnn("run", folder / f"{name}.kbin", "--input", folder / "few.npy", "--engine", "tlm",
                   "-o", tmp_path / "y.npy")
        assert ran.code == 0
        outputs.append(np.load(tmp_path / "y.npy"))
        assert outputs[-1].shape == (3, 5)
    assert (outputs[0] == outputs[1]).all()


def test_every_layer_can_stand_alone(folder):
    for name in ("net", "batch"):
        program = kbin.read(folder / f"{name}.kbin")
        model = engines.memory_model(program, None)
        images = np.load(folder / "few.npy")[:program.batch]
        whole = engines.execute("reference", program, encode(program, [images]), model)
        for number, layer in enumerate(program.layers):
            alone = kbin.load(kbin.save(single_layer(program, number)), layer.name)
            codes = [whole.tensors[tensor]
                     for tensor in dict.fromkeys(source.tensor for source in layer.sources)]
            reference = engines.execute("reference", alone, codes, model)
            machine = engines.execute("tlm", alone, codes, model)
            assert not compare.differences(alone, reference, machine)
            assert (machine.outputs[0] == whole.tensors[layer.output]).all()


@pytest.mark.parametrize("model, sentence", [
    ("norm", "train with BatchNorm2d"), ("nothing", "nothing"),
    ("failing", "the model's preprocess fails")])
def test_what_cannot_be_compiled_is_named(kcnn, folder, tmp_path, model, sentence):
    ran = kcnn("compile", f"{folder}/model.py:{model}", "--calibration", folder / "x.npz",
               "--config", "tiny", "-o", tmp_path / "net.kbin")
    assert ran.code == 2 and sentence in ran.err and ran.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("other, sentence", [
    ("other", "it has no tensor 'x', but the binary has"),
    ("larger", "its tensor 'x' has the shape (2, 6, 9), the binary's (2, 6, 8)")])
def test_another_float_network_is_refused(kcnn, folder, other, sentence):
    ran = kcnn("cosim", folder / "net.kbin", "--input", folder / "few.npy", "--engines",
               "reference", "--golden", f"{folder}/model.py:{other}")
    assert ran.code == 2 and ran.err == (
        f"kcnn: --golden {folder}/model.py:{other}: {sentence}; give the network that the binary "
        "was compiled from\n")


# ---- stages ------------------------------------------------------------------------------------
def dumped(folder):
    """The files of a dump and their texts."""
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


def test_a_dump_has_a_text_of_every_stage(kcnn, folder, tmp_path):
    ran = kcnn("compile", f"{folder}/model.py:network", "--calibration", folder / "x.npz",
               "--config", "tiny", "-o", tmp_path / "net.kbin", "--dump", tmp_path / "stages")
    assert ran.code == 0
    assert (tmp_path / "net.kbin").read_bytes() == (folder / "net.kbin").read_bytes()
    texts = dumped(tmp_path / "stages")
    assert list(texts) == [stage.file for stage in Stage]
    assert all(text.endswith("\n") and "array(" not in text for text in texts.values())
    assert "right" in texts["02-canonicalise.txt"] and "bound" in texts["13-assemble.txt"]
    assert sum(len(text.splitlines()) for text in texts.values()) < 200


def test_an_early_stage_is_shown_without_images_or_a_binary(kcnn, folder, tmp_path):
    line = ("compile", f"{folder}/model.py:network", "--config", "tiny", "--stop-after",
            "canonicalise")
    ran = kcnn(*line)
    assert ran.code == 0 and ran.out.splitlines()[0].split()[:2] == ["node", "operation"]
    assert kcnn(*line, "--dump", tmp_path / "d").out == ""
    assert dumped(tmp_path / "d") == {
        "01-trace.txt": dumped(tmp_path / "d")["01-trace.txt"], "02-canonicalise.txt": ran.out}


def test_what_was_reached_before_an_error_is_kept(kcnn, folder, tmp_path):
    fields = (resources.files(config.__package__) / "presets" / "tiny.toml").read_text()
    little = tmp_path / "little.toml"
    little.write_text(re.sub(r"memory_codes = \d+", "memory_codes = 64", fields))
    ran = kcnn("compile", f"{folder}/model.py:network", "--calibration", folder / "x.npz",
               "--config", little, "-o", tmp_path / "net.kbin", "--dump", tmp_path / "d")
    warning, error = ran.err.splitlines()
    assert ran.code == 2 and "does not fit memory_codes = 64 of configuration 'little'" in error
    assert warning == f"kcnn: warning: {tmp_path}/d: holds what was made before the error"
    assert list(dumped(tmp_path / "d")) == [Stage.TRACE.file, Stage.CANONICALISE.file]
    assert not (tmp_path / "net.kbin").exists()


@pytest.mark.parametrize("more, sentence", [
    ("--stop-after lower", "--stop-after lower: needs calibration images; give --calibration, or "
     "end before equalise"),
    ("--stop-after trace -o a.kbin --strict", "--stop-after trace: no binary is made, so leave out "
     "-o, --strict"),
    ("-o a.kbin", "--calibration: is needed for a binary; give it, or end before there is one, "
     "with --stop-after"),
    ("--calibration x.npz", "-o: is needed for a binary; give it, or end before there is one, with "
     "--stop-after")])
def test_a_binary_needs_what_stages_do_not(kcnn, folder, more, sentence):
    ran = kcnn("compile", f"{folder}/model.py:network", "--config", "tiny", *more.split())
    assert (ran.code, ran.err) == (2, f"kcnn: {sentence}\n")


def test_the_help_tells_every_stage(kcnn):
    out = kcnn("compile", "--help").out
    assert all(f"{stage:12}  {stage.makes}" in out for stage in Stage)


def test_what_does_not_fit_is_told_with_bands_and_bytes(kcnn, folder, tmp_path):
    fields = (resources.files(config.__package__) / "presets" / "tiny.toml").read_text()
    little = tmp_path / "little.toml"
    little.write_text(re.sub(r"memory_codes = \d+", "memory_codes = 256", fields))
    ran = kcnn("compile", f"{folder}/model.py:network", "--calibration", folder / "x.npz",
               "--config", little, "-o", tmp_path / "net.kbin", "--explain")
    assert ran.code == 0 and "bytes loaded" in ran.out and "tensors are kept outside" in ran.out
    ran = kcnn("cosim", tmp_path / "net.kbin", "--input", folder / "few.npy", "--engines",
               "reference,tlm")
    assert ran.code == 0 and "equal" in ran.out
