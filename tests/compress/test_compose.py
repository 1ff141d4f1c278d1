"""Methods behind one another: shares of the budget, who decides, what is handed on."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from kcnn.arch.errors import KcnnError
from kcnn.compress import compose as composing
from kcnn.compress import methods
from kcnn.compress.compose import Settings, compose
from kcnn.compress.data import Data, accuracy
from kcnn.compress.errors import CompressError
from kcnn.compress.methods import METHODS, Task
from networks import randomise
from torch import Tensor, nn


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.Flatten(),
                         nn.Linear(24, 3))


def data(count: int = 120, seed: int = 0) -> Data:
    """Classes that a network of random weights already tells apart: its own answers."""
    x = torch.randn(2 * count, 1, 6, 6, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        y = randomise(network(), 0)(x).argmax(1)
    return Data(x[:count], y[:count], x[count:], y[count:])


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    """The tasks that two methods in the table get; they take the last feature's weights away."""
    tasks: list[Task] = []

    def method(module: nn.Module, task: Task) -> tuple[nn.Module, dict[str, object]]:
        tasks.append(task)
        out = copy.deepcopy(module)
        with torch.no_grad():
            out[0].weight[-len(tasks):] = 0
        return out, {"found": len(tasks)}

    monkeypatch.setattr(composing, "METHODS", {"one": method, "two": method})
    return tasks


def test_every_method_gets_its_share_and_the_network_before(seen: list[Task], tmp_path: Path
                                                            ) -> None:
    module, images = randomise(network(), 0), data()
    found = compose(module, images, Settings(0.1, ("one", "two"), 0), tmp_path / "run")
    assert [task.budget for task in seen] == [0.05, 0.1]
    assert [row["step"] for row in found.report["prefixes"]] == ["untouched", "reference", "one",
                                                                 "two"]
    taps = [row["taps"] for row in found.report["prefixes"]]
    assert [before - after for before, after in zip(taps, taps[1:], strict=False)] == [0, 9, 9]
    assert [row.get("found") for row in found.report["prefixes"]] == [None, None, 1, 2]
    assert found.report["prefixes"][0]["test"] == 1.0


def test_test_images_decide_nothing(seen: list[Task], tmp_path: Path) -> None:
    images = data()
    compose(randomise(network(), 0), images, Settings(0.1, ("one",), 0), tmp_path / "run")
    (task,) = seen
    shown = {tuple(x.ravel().tolist()) for x in torch.cat([task.data.x_train, task.data.x_test])}
    assert shown == {tuple(x.ravel().tolist()) for x in images.x_train}
    assert task.loss(randomise(network(), 0)) == 0.0 and task.fits(randomise(network(), 0))


def test_the_network_given_is_not_changed(tmp_path: Path) -> None:
    module = randomise(network(), 0)
    before = copy.deepcopy(module.state_dict())
    compose(module, data(), Settings(0.3, tuple(METHODS)), tmp_path / "run")
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])


def test_clusters_are_those_of_the_last_count_within_the_budget(tmp_path: Path) -> None:
    images = data()
    for budget in (0.0, 0.9):
        found = compose(randomise(network(), 0), images, Settings(budget, ("cluster",), 0),
                        tmp_path / f"run{budget}")
        row = found.report["prefixes"][-1]
        count = row["clusters"]
        if budget:
            assert count == min(methods.COUNTS)
        elif count is None:
            assert torch.equal(found.module[0].weight, randomise(network(), 0)[0].weight)
        assert row["validation"] >= 1 - budget


def test_the_reference_is_only_trained_where_that_helps(tmp_path: Path) -> None:
    images = data()
    module = randomise(network(), 0)            # it has 100 %
    found = compose(module, images, Settings(0.5, ("cluster",), 1), tmp_path / "run")
    assert found.report["prefixes"][1]["validation"] == 1.0
    worse = randomise(network(), 5)
    assert accuracy(worse, images.x_train, images.y_train) < 0.8
    found = compose(worse, images, Settings(0.5, ("cluster",), 3), tmp_path / "worse")
    untouched, reference = found.report["prefixes"][:2]
    assert reference["validation"] > untouched["validation"]


def test_unread_features_are_left_out(seen: list[Task], tmp_path: Path) -> None:
    module = randomise(network(), 0)
    with torch.no_grad():
        module[2].weight[:, -1] = 0
        module[0].bias.zero_()
    x = torch.randn(5, 1, 6, 6)
    found = compose(module, data(), Settings(0.5, ("one",), 0), tmp_path / "run")
    assert found.module[0].weight.shape == (5, 1, 3, 3)
    assert found.report["parameters"]["after"] < found.report["parameters"]["before"]
    with torch.no_grad():
        cut = copy.deepcopy(module)
        cut[0].weight[-1] = 0
        torch.testing.assert_close(found.module(x), cut(x))


class Sized(nn.Module):
    """Its code counts on the number of features."""

    def __init__(self) -> None:
        super().__init__()
        self.body = network()

    def forward(self, x: Tensor) -> Tensor:
        return self.body[5](self.body[:4](x).reshape(len(x), 6 * 4))


def test_networks_that_count_on_their_sizes_keep_them(tmp_path: Path) -> None:
    module = Sized()
    module.body.load_state_dict(randomise(network(), 0).state_dict())
    with torch.no_grad():
        module.body[2].weight[-1] = 0
        module.body[2].bias[-1] = 0
        module.body[5].weight[:, 20:] = 0
    found = compose(module.eval(), data(), Settings(0.9, ("cluster",), 0), tmp_path / "run")
    assert found.report["parameters"]["after"] == found.report["parameters"]["before"]


@pytest.mark.parametrize(("settings", "sentence"), [
    (Settings(0.1, ()), "no method is given; give some of lower,linear"),
    (Settings(-0.1, ("lower",)), "the budget must be 0 to 1, found -0.1"),
    (Settings(0.1, ("lower",), -1), "epochs must be 0 or more, found -1"),
    (Settings(float("nan"), ("lower",)), "the budget must be 0 to 1, found nan"),
    (Settings(0.1, ("lower",), seed=1 << 32), "the seed must be 0 to 4294967295, found 4294967296"),
    (Settings(0.1, ("lower",), seed=-1), "the seed must be 0 to 4294967295, found -1"),
    (Settings(0.1, ("lower",), validation=1.0), "the validation part must be between 0 and 1"),
])
def test_settings_are_checked(settings: Settings, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(CompressError, match=sentence):
        compose(network().eval(), data(), settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()


class Ends(nn.Module):
    """A network whose outputs go through a function."""

    def __init__(self, end: Callable[[Tensor], object], body: nn.Module | None = None) -> None:
        super().__init__()
        self.body, self.end = body or network(), end

    def forward(self, x: Tensor) -> object:
        return self.end(self.body(x))


def fails(y: Tensor) -> Tensor:
    raise KeyError("key\nof mine")


def emptied(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


@pytest.mark.parametrize(("module", "sentence"), [
    (Ends(lambda y: (y, y)), "makes tuple of two images; one tensor of logits"),
    (Ends(lambda y: y[:, 0]), r"makes shape \(2,\) of two images"),
    (Ends(lambda y: y.sum()), r"makes shape \(\) of two images"),
    (Ends(fails), "does not take two images of shape .1, 6, 6. .'key"),
    (Ends(lambda y: y / 0), "makes numbers that are not finite"),
    (Ends(lambda y: y[:, :2]), "the network has 2 outputs, the labels go to 2"),
    (Ends(torch.sin), "sin is not supported"),
    (Ends(lambda y: y if y.sum() > 0 else -y), "not branch on values"),
    (Ends(lambda y: y, nn.Flatten()), "there is nothing to compress"),
    (emptied(network()), "there is nothing to compress"),
])
def test_networks_that_cannot_be_compressed_are_refused_before_anything_is_done(
        module: nn.Module, sentence: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
        ) -> None:
    with pytest.raises(KcnnError, match=sentence) as caught:
        compose(module, data(), Settings(0.1, ("cluster",), 1), tmp_path / "run")
    assert "\n" not in str(caught.value) and capfd.readouterr().err == ""
    assert not (tmp_path / "run").exists()


def test_labels_of_images_that_decide_are_checked_too(tmp_path: Path) -> None:
    images = data()
    more = dataclasses.replace(images, x_val=images.x_test, y_val=images.y_test + 1)
    with pytest.raises(CompressError, match="the network has 3 outputs, the labels go to 3"):
        compose(network(), more, Settings(0.1, ("cluster",)), tmp_path / "run")


def test_a_network_without_gradients_is_trained_all_the_same(tmp_path: Path) -> None:
    module = randomise(network(), 0).requires_grad_(False)
    found = compose(module, data(), Settings(0.9, ("prune", "cluster"), 1), tmp_path / "run")
    taps = [row["taps"] for row in found.report["prefixes"]]
    assert taps[-1] < taps[0] and not any(p.requires_grad for p in module.parameters())


def test_images_that_leave_one_over_train_a_norm_of_single_pixels(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(1, 4, 6), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
                           nn.Linear(4, 3))
    images = data()
    odd = Data(images.x_train[:65], images.y_train[:65], *(images.x_test, images.y_test) * 2)
    found = compose(module, odd, Settings(0.9, ("cluster",), 1), tmp_path / "run")
    assert found.report["images"]["training"] == 65


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"{}"])
def test_a_damaged_folder_is_not_gone_on_with(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(text)
    with pytest.raises(CompressError, match="an unfinished run with another network, data or"):
        compose(network(), data(), Settings(0.1, ("lower",)), tmp_path)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(CompressError, match="exists and is no unfinished run; remove it or name"):
        compose(network(), data(), Settings(0.1, ("lower",)), tmp_path / "run")


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(CompressError, match="exists and is no unfinished run; remove it or name"):
        compose(network().eval(), data(), Settings(0.1, ("lower",)), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
