"""Pruning in an order: what is pruned and trained when, what is kept, who decides."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from kcnn.compress import prune as pruning
from kcnn.compress.clusters import weighted
from kcnn.compress.data import Data, accuracy
from kcnn.compress.errors import CompressError
from kcnn.compress.finetune import Settings as Training
from kcnn.compress.finetune import Trainer
from kcnn.compress.prune import Settings, Trial, prune, stages
from torch import Tensor, nn

NAMES = ("0", "2", "5")


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(),
                         nn.Flatten(), nn.Linear(32, 4))


def stripes(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Images of four kinds of stripes under noise."""
    y = torch.arange(count) % 4
    grid = torch.arange(6.0)
    waves = torch.stack([torch.cos(grid[:, None] * a + grid * b)
                         for a, b in ((0, 2), (2, 0), (2, 2), (2, -2))])
    noise = torch.randn(count, 1, 6, 6, generator=torch.Generator().manual_seed(seed))
    return waves[y][:, None] + 0.9 * noise, y


@pytest.fixture(scope="module")
def data() -> Data:
    return Data(*stripes(240), *stripes(200, 1))


@pytest.fixture(scope="module")
def trained(data: Data) -> nn.Sequential:
    module = network()
    Trainer(module, data, Training(8, 5e-3, 16)).run()
    assert accuracy(module, data.x_test, data.y_test) > 0.9
    return module


class Tuned:
    """Trains an epoch; remembers which layers could move, and which did."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self.calls: list[tuple[tuple[str, ...], tuple[str, ...], bool]] = []
        self.numbers: list[int] = []

    def __call__(self, module: nn.Module, number: int, last: bool) -> None:
        layers = weighted(module)
        before = {name: part.weight.detach().clone() for name, part in layers.items()}
        free = tuple(name for name, part in layers.items() if part.weight.requires_grad)
        Trainer(module, self.data, Training(1, 2e-3, 16, seed=number)).run()
        moved = tuple(name for name, part in layers.items()
                      if not torch.equal(part.weight, before[name]))
        for name, part in layers.items():
            assert not part.weight[before[name] == 0].any()
        self.calls.append((free, moved, last))
        self.numbers.append(number)


@pytest.mark.parametrize(("order", "expected"), [
    ("forward", [("0",), ("0", "2"), NAMES]),
    ("reversed", [("5",), ("2", "5"), NAMES]),
    ("joint", [NAMES] * 3),
])
def test_orders_prune_and_train_different_layers_equally_often(
        trained: nn.Module, data: Data, order: str, expected: list[tuple[str, ...]]) -> None:
    tune = Tuned(data)
    found = prune(trained, data, Settings(0.2, order, steps=6), tune)
    free = [call[0] for call in tune.calls]
    assert free == [names for names in expected for _ in range(2)] + [NAMES]
    assert all(moved == may for may, moved, _ in tune.calls)
    assert [last for *_, last in tune.calls] == [False] * 6 + [True]
    assert len(set(tune.numbers)) == 7
    pruned = {"forward": ["0", "0", "2", "2", "5", "5"], "joint": ["all"] * 6,
              "reversed": ["5", "5", "2", "2", "0", "0"]}[order]
    assert [trial.layers for trial in found.trials] == [*pruned, "all"]


def test_a_step_leaves_layers_of_other_stages_dense(trained: nn.Module, data: Data) -> None:
    seen: list[list[int]] = []

    def tune(module: nn.Module, number: int, last: bool) -> None:
        seen.append([int((part.weight != 0).sum()) for part in weighted(module).values()])
    prune(trained, data, Settings(0.999, "reversed", steps=3), tune)
    assert seen[0] == [72, 576, 64] and seen[1] == [72, 288, 64] and seen[2] == [36, 288, 64]


def test_all_layers_are_trained_in_every_step_if_asked(trained: nn.Module, data: Data) -> None:
    tune = Tuned(data)
    prune(trained, data, Settings(0.2, "reversed", steps=3, whole=True), tune)
    assert [free for free, *_ in tune.calls] == [NAMES] * 4
    assert all(p.requires_grad for p in trained.parameters())


def test_the_budget_holds_for_images_that_decide_nothing(trained: nn.Module, data: Data) -> None:
    """A third part is neither trained on nor decides."""
    x, y = stripes(800, 2)
    before = accuracy(trained, x, y)
    for order in pruning.ORDERS:
        found = prune(trained, data, Settings(0.05, order, steps=6), Tuned(data))
        assert found.left < 0.6 and pruning.left(found.module) == found.left
        assert before - accuracy(found.module, x, y) <= 0.05
        loss = accuracy(trained, data.x_test, data.y_test) - accuracy(found.module, data.x_test,
                                                                      data.y_test)
        assert loss <= 0.05


def test_failed_steps_are_undone_and_gentler_ones_follow(trained: nn.Module, data: Data) -> None:
    """Training that destroys the network: nothing stands, the network comes back as it was."""
    kept: list[float] = []

    def spoil(module: nn.Module, number: int, last: bool) -> None:
        kept.append(pruning.left(module))
        with torch.no_grad():
            weighted(module)["5"].weight.mul_(-1)
    found = prune(trained, data, Settings(0.1, "joint", steps=3), spoil)
    assert not any(trial.stands for trial in found.trials) and found.left == 1.0
    for name, value in trained.state_dict().items():
        assert torch.equal(found.module.state_dict()[name], value)
    expected = [0.5, 0.5 ** 0.5, 0.5 ** 0.25, 1.0]
    assert kept == pytest.approx(expected, abs=2 / 776)


def test_a_first_step_that_is_within_the_budget_by_chance_alone_does_not_stand(
        trained: nn.Module, data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the weights lose 29 of 100 images, fewer lose more: no way on from there."""
    def told(module: nn.Module, data: Data) -> Tensor:
        share = pruning.left(module)
        lost = 0 if share == 1 else 40 if share > 0.6 else 58 if share > 0.4 else 120
        return (torch.arange(200) >= lost).double()

    monkeypatch.setattr(pruning, "right", told)
    settings = Settings(0.3, "joint", steps=3, confidence=1.0)
    found = prune(trained, data, settings, lambda module, number, last: None)
    first, second = found.trials[:2]
    assert first.loss <= 0.3 < first.bound and not first.stands
    assert second.bound <= 0.3 and second.stands
    assert found.left == pytest.approx(0.5 ** 0.5, abs=2 / 776)


def test_stages_share_the_budget_and_the_steps() -> None:
    found = stages(NAMES, Settings(0.03, "reversed", steps=8))
    assert [(stage.layers, stage.steps) for stage in found] == [(("5",), 3), (("2",), 3),
                                                                (("0",), 2)]
    assert [stage.budget for stage in found] == pytest.approx([0.01, 0.02, 0.03])
    (joint,) = stages(NAMES, Settings(0.03, "joint", steps=8))
    assert joint.steps == 8 and joint.budget == 0.03


def test_sensitivity_is_the_size_of_the_gradients_of_single_outputs() -> None:
    module, images = network(), torch.randn(400, 1, 6, 6)
    exact = dict.fromkeys(NAMES, 0.0)
    for image in images[:40]:
        for output in module(image[None])[0]:
            module.zero_grad()
            output.backward(retain_graph=True)
            for name, part in weighted(module).items():
                exact[name] += float(part.weight.grad.square().mean()) / 40
    found = pruning.sensitivity(module, images, 0)
    for name in NAMES:
        assert found[name] == pytest.approx(exact[name] ** 0.5, rel=0.2)


def test_layers_on_which_outputs_depend_more_keep_more() -> None:
    module = network()
    counts = {}
    for factor in (1.0, 100.0):
        trial = network()
        pruning.shrink(trial, NAMES, 0.3, {"0": factor, "2": 1.0, "5": 1.0}, {})
        counts[factor] = [int((part.weight != 0).sum()) for part in weighted(trial).values()]
        assert sum(counts[factor]) == 233                       # 0.3 of 776, rounded up
        for name, part in weighted(trial).items():
            weight = weighted(module)[name].weight.abs()
            gone = weight[part.weight == 0]
            assert not len(gone) or weight[part.weight != 0].min() >= gone.max()
    assert counts[100.0][0] == 72 > counts[1.0][0]


def test_a_layer_never_goes_altogether() -> None:
    module = network()
    pruning.shrink(module, NAMES, 0.01, {"0": 1e-9, "2": 1.0, "5": 1.0}, {})
    assert int((module[0].weight != 0).sum()) == 1


def test_a_run_cut_off_goes_on_to_the_same_network(trained: nn.Module, data: Data, tmp_path: Path
                                                   ) -> None:
    settings = Settings(0.05, "reversed", steps=6)
    whole = prune(trained, data, settings, Tuned(data))

    def stop(found: Trial) -> None:
        raise KeyboardInterrupt

    tune = Tuned(data)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            prune(trained, data, settings, tune, tmp_path / "steps", stop)
    again = prune(trained, data, settings, tune, tmp_path / "steps")
    assert len(tune.calls) == 7 and again.trials == whole.trials
    for name, value in whole.module.state_dict().items():
        assert torch.equal(again.module.state_dict()[name], value)
    with pytest.raises(CompressError, match="of a run with other settings"):
        prune(trained, data, Settings(0.06), tune, tmp_path / "steps")


@pytest.mark.parametrize(("settings", "sentence"), [
    (Settings(order="backward"), "there is no order 'backward'; give forward, joint, reversed"),
    (Settings(keep=1.0), "keep must be between 0 and 1, found 1.0"),
    (Settings(steps=0), "steps=0 with budget=0.01 prune nothing"),
    (Settings(order="forward", steps=2), "2 steps are too few for 3 layers in turn"),
])
def test_settings_are_checked(settings: Settings, sentence: str, data: Data) -> None:
    with pytest.raises(CompressError, match=sentence):
        prune(network(), data, settings, Tuned(data))
