"""`kcnn compress`: smaller networks within a budget, the same bytes every time, interrupts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from kcnn.arch import kbin
from kcnn.arch.program import Taps
from kcnn.cli.stopping import Stopped
from kcnn.compiler.frontend.model import load_model
from kcnn.compiler.frontend.trace import trace
from kcnn.compiler.ir.graph import Conv
from kcnn.compiler.passes import canonicalise
from kcnn.compiler.quantise.weights import cluster_weights
from kcnn.compress import compose, methods
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

TRAINED = 1000
COMMAND = ("--budget", "0.04", "--seed", "3", "--methods")


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3), nn.BatchNorm2d(12), nn.ReLU(), nn.Flatten(), nn.Linear(48, 10))


def trained(images: Tensor, labels: Tensor) -> nn.Module:
    module = network()
    optimiser = torch.optim.Adam(module.parameters(), 4e-3)
    for _ in range(12):
        for rows in torch.randperm(len(images)).split(50):
            optimiser.zero_grad()
            functional.cross_entropy(module(images[rows]), labels[rows]).backward()
            optimiser.step()
    return module


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with net.pt2, trained for seconds, D.npz, and X.npz to calibrate with."""
    folder = tmp_path_factory.mktemp("digits")
    found = load_digits()
    x = (found.images / 16).astype(np.float32)[:, None]
    y = found.target.astype(np.int64)
    np.savez(folder / "D.npz", x_train=x[:TRAINED], y_train=y[:TRAINED], x_test=x[TRAINED:],
             y_test=y[TRAINED:])
    np.savez(folder / "X.npz", x=x[:50])
    with compose.repeatable(0):
        module = trained(torch.tensor(x[:TRAINED]), torch.tensor(y[:TRAINED]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(
            module.eval(), (torch.zeros(2, 1, 8, 8),),
            dynamic_shapes=({0: torch.export.Dim.AUTO},)), folder / "net.pt2")
    return folder


@pytest.fixture(scope="session")
def small(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of small.pt2 and report.json, compressed by all methods."""
    folder = tmp_path_factory.mktemp("small")
    done = subprocess.run(
        [sys.executable, "-m", "kcnn.cli", "compress", str(digits / "net.pt2"), "--data",
         str(digits / "D.npz"), *COMMAND, ",".join(compose.METHODS), "-o",
         str(folder / "small.pt2"), "--report", str(folder / "report.json")],
        capture_output=True, text=True)
    assert done.returncode == 0, done
    assert {path.name for path in folder.iterdir()} == {"small.pt2", "report.json"}
    return folder


def read(path: Path) -> torch.export.ExportedProgram:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.load(path)


def convolutions(path: Path) -> list[Conv]:
    graph = canonicalise(trace(read(path), ()))
    return [node.op for node in graph if isinstance(node.op, Conv)]


def test_the_report_tells_every_prefix(small: Path) -> None:
    report = json.loads((small / "report.json").read_text())
    steps = [row["step"] for row in report["prefixes"]]
    assert steps == ["untouched", "reference", *compose.METHODS]
    taps = [row["taps"] for row in report["prefixes"]]
    assert taps == sorted(taps, reverse=True) and taps[-1] < 0.8 * taps[0]
    assert all(row["validation"] > 0.9 and row["test"] > 0.8 for row in report["prefixes"])
    assert report["images"] == {"training": 799, "validation": 201, "test": 797}
    assert report["loss"]["validation"] <= report["budget"] == 0.04
    assert sum(int((op.weight != 0).sum()) for op in convolutions(small / "small.pt2")) == taps[-1]


def test_accuracies_are_those_of_the_written_network(small: Path, digits: Path) -> None:
    row = json.loads((small / "report.json").read_text())["prefixes"][-1]
    with np.load(digits / "D.npz") as file, torch.no_grad():
        found = read(small / "small.pt2").module()(torch.tensor(file["x_test"])).argmax(1)
        assert float((found.numpy() == file["y_test"]).mean()) == row["test"]


def test_the_result_compiles_with_its_zeros_and_clusters(kcnn: Callable, small: Path, digits: Path,
                                                         tmp_path: Path) -> None:
    """Channel by channel the binary has a tap for a weight and a cluster for a magnitude."""
    report = json.loads((small / "report.json").read_text())
    assert report["prefixes"][-1]["clusters"] in methods.COUNTS
    ran = kcnn("compile", small / "small.pt2", "--calibration", digits / "X.npz", "--config",
               "tiny", "-o", tmp_path / "small.kbin")
    assert ran.code == 0, ran
    made = [layer.taps for layer in kbin.read(tmp_path / "small.kbin").layers
            if layer.kind in ("Conv2d", "Linear")]
    ops = convolutions(small / "small.pt2")
    for taps, op, told in zip(made, ops, report["layers"], strict=True):
        per_channel = [(np.count_nonzero(row), len(np.unique(row[row > 0])))
                       for row in np.abs(op.weight).reshape(len(op.weight), -1)]
        assert [in_channel(taps, k) for k in range(len(op.weight))] == per_channel
        assert tuple(np.sum(per_channel, 0)) == (told["taps"], told["clusters"])
        most = max(count for _, count in per_channel)
        assert most == told["magnitudes"] <= report["prefixes"][-1]["clusters"]


def in_channel(taps: Taps, channel: int) -> tuple[int, int]:
    """Weights and magnitudes of an output channel; a weight has a tap on every plane."""
    runs = range(taps.channel_clusters[channel], taps.channel_clusters[channel + 1])
    mine = slice(*taps.cluster_taps[[runs.start, runs.stop]])
    return int((taps.plane[mine] == 0).sum()), len(np.unique(np.abs(taps.cluster_factor[runs])))


def test_machine_and_reference_agree_on_the_result(kcnn: Callable, small: Path, digits: Path,
                                                   tmp_path: Path) -> None:
    with np.load(digits / "X.npz") as file:
        np.save(tmp_path / "x.npy", file["x"][:1])
    assert kcnn("compile", small / "small.pt2", "--calibration", digits / "X.npz", "--config",
                "tiny", "-o", tmp_path / "small.kbin").code == 0
    assert kcnn("cosim", tmp_path / "small.kbin", "--input", tmp_path / "x.npy", "--engines",
                "reference,tlm").code == 0


def test_the_same_seed_gives_the_same_bytes(kcnn: Callable, small: Path, digits: Path,
                                            tmp_path: Path) -> None:
    """In this process as in another one."""
    ran = kcnn("compress", digits / "net.pt2", "--data", digits / "D.npz", *COMMAND,
               ",".join(compose.METHODS), "-o", tmp_path / "small.pt2", "--report",
               tmp_path / "report.json")
    assert ran.code == 0 and "budget 4.00" in ran.out, ran
    for name in ("small.pt2", "report.json"):
        assert (tmp_path / name).read_bytes() == (small / name).read_bytes()
    assert torch.get_num_threads() >= 1 and not torch.are_deterministic_algorithms_enabled()


class Cut:
    """Progress bars that stop the run at an event."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, found: methods.Progress) -> None:
        self.left -= 1
        if self.left < 0:
            raise Stopped(signal.SIGINT)


def test_an_interrupted_run_goes_on_to_the_same_bytes(
        kcnn: Callable, small: Path, digits: Path, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["compress", digits / "net.pt2", "--data", digits / "D.npz", *COMMAND,
                 ",".join(compose.METHODS), "-o", tmp_path / "small.pt2", "--report",
                 tmp_path / "report.json"]
    original, cuts = compose.compose, 0
    for at in (2, 5, 4, 3, 9, 9):
        monkeypatch.setattr(compose, "compose", lambda *given, at=at: original(*given[:4], Cut(at)))
        ran = kcnn(*arguments)
        if ran.code == 0:
            break
        cuts += 1
        assert ran.code == 130 and "stopped; " in ran.err and "the same command goes on" in ran.err
        assert [path.name for path in tmp_path.iterdir()] == ["small.pt2.partial"]
    monkeypatch.setattr(compose, "compose", original)
    assert cuts >= 4
    assert kcnn(*arguments).code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"small.pt2", "report.json"}
    for name in ("small.pt2", "report.json"):
        assert (tmp_path / name).read_bytes() == (small / name).read_bytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_process_leaves_what_is_done_and_nothing_else(
        number: int, digits: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "kcnn.cli", "compress", str(digits / "net.pt2"), "--data",
         str(digits / "D.npz"), "--budget", "0.02", "--finetune-epochs", "50", "-o",
         str(tmp_path / "small.pt2"), "--report", str(tmp_path / "report.json")],
        stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    kept = tmp_path / "small.pt2.partial"
    while process.poll() is None and not list(kept.glob("*.training")):
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == -number
    assert said.startswith("kcnn: stopped; ") and said.count("\n") == 1
    assert list(tmp_path.iterdir()) == [kept]


def test_another_run_does_not_go_on(kcnn: Callable, digits: Path, tmp_path: Path,
                                    monkeypatch: pytest.MonkeyPatch) -> None:
    original = compose.compose
    monkeypatch.setattr(compose, "compose", lambda *given: original(*given[:4], Cut(1)))
    arguments = ["compress", digits / "net.pt2", "--data", digits / "D.npz", "--methods", "lower",
                 "--finetune-epochs", 0, "-o", tmp_path / "small.pt2", "--budget"]
    assert kcnn(*arguments, 0.02).code == 130
    ran = kcnn(*arguments, 0.03)
    assert ran.code == 2 and "an unfinished run with another network, data or settings" in ran.err


def test_networks_from_python_with_pixels(kcnn: Callable, digits: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def network():\n"
        "    torch.manual_seed(0)\n"
        "    module = nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.ReLU(), nn.Flatten(),\n"
        "                           nn.Linear(36, 10))\n"
        "    return module, (torch.zeros(1, 1, 8, 8),), lambda pixels: pixels / 16\n")
    found = load_digits()
    for name, part in (("a", slice(0, 600)), ("b", slice(600, 800))):
        np.savez(tmp_path / f"{name}.npz", images=found.images[part].astype(np.uint8),
                 labels=found.target[part])
    ran = kcnn("compress", f"{tmp_path / 'net.py'}:network", "--data", tmp_path / "a.npz",
               "--test", tmp_path / "b.npz", "--budget", 0.5, "--methods", "cluster", "-o",
               tmp_path / "small.pt2")
    assert ran.code == 0 and "cluster" in ran.out, ran
    kept = load_model(str(tmp_path / "small.pt2")).preprocess
    assert kept is not None and kept(torch.full((1, 1, 8, 8), 4.0)).unique().tolist() == [0.25]
    assert all(cluster_weights(op.weight, 16).dense().any()
               for op in convolutions(tmp_path / "small.pt2"))


@pytest.mark.parametrize(("changed", "sentence"), [
    ({"--methods": "lower,magic"}, "there is no method 'magic'; give some of lower,"),
    ({"--methods": "cluster,lower"}, "cluster must come last"),
    ({"--methods": "lower,lower"}, "a method is given twice"),
    ({"--budget": "1.5"}, "the budget must be 0 to 1, found 1.5"),
    ({"--data": "none.npz"}, "none.npz: cannot be read"),
    ({"--data": "X.npz"}, "x_train, y_train or images, labels are needed"),
    ({"MODEL": "other.pt2"}, "other.pt2: there is no such file"),
    ({"MODEL": "broken.pt2"}, "it is no archive of torch.export.save"),
    ({"--data": "wide.npz"}, "the network does not take two images of shape (1, 12, 12)"),
    ({"--data": "many.npz"}, "the network has 10 outputs, the labels go to 11"),
    ({"-o": "small.pt2/small.pt2"}, "cannot be written"),
    ({"--data": "../place/small.pt2.partial/D.npz"}, "which is removed when the run is done"),
])
def test_bad_input_leaves_no_files(kcnn: Callable, digits: Path, tmp_path: Path,
                                   monkeypatch: pytest.MonkeyPatch, changed: dict[str, str],
                                   sentence: str) -> None:
    folder, place = tmp_path / "data", tmp_path / "place"
    folder.mkdir()
    place.mkdir()
    (place / "small.pt2").write_bytes(b"old")
    for name in ("net.pt2", "D.npz", "X.npz"):
        (folder / name).write_bytes((digits / name).read_bytes())
    (folder / "broken.pt2").write_bytes(b"none")
    few = {"x_train": np.zeros((20, 1, 8, 8), np.float32), "y_train": np.arange(20) % 2,
           "x_test": np.zeros((2, 1, 8, 8), np.float32), "y_test": np.arange(2)}
    np.savez(folder / "wide.npz", **{name: np.zeros((*x.shape[:2], 12, 12), np.float32)
                                     if x.ndim == 4 else x for name, x in few.items()})
    np.savez(folder / "many.npz", **{**few, "y_test": np.array([3, 11])})
    given = {"MODEL": "net.pt2", "--data": "D.npz", "--budget": "0.02", "--methods": "lower",
             "-o": "small.pt2"} | changed
    given["MODEL"], given["--data"] = str(folder / given["MODEL"]), str(folder / given["--data"])
    given["-o"] = str(place / given["-o"])
    ran = kcnn("compress", given.pop("MODEL"), *(word for pair in given.items() for word in pair))
    assert ran.code == 2 and sentence in ran.err and ran.err.count("\n") == 1, ran
    assert [(path.name, path.read_bytes()) for path in place.iterdir()] == [("small.pt2", b"old")]
