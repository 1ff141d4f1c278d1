"""Methods by themselves: what fits, how much is trained, what each may change."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from kcnn.compress import budget, methods, prune
from kcnn.compress.clusters import cluster, weighted
from kcnn.compress.data import Data
from kcnn.compress.finetune import Trainer
from kcnn.compress.lower_kernel import current
from kcnn.compress.methods import COUNTS, METHODS, ROUND, Task
from networks import randomise
from torch import Tensor, nn


def network() -> nn.Module:
    return randomise(nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(16, 3)), 0)


def data(count: int = 200) -> Data:
    """Classes that the network of random weights tells apart: its own answers."""
    x = torch.randn(2 * count, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y = network()(x).argmax(1)
    return Data(x[:count], y[:count], x[count:], y[count:])


@pytest.fixture
def task(tmp_path: Path) -> Callable[..., Task]:
    """Makes tasks."""
    def make(most: float = 0.3, epochs: int = 1) -> Task:
        images, teacher = data(), network()
        return Task(images, teacher, budget.right(teacher, images), most, epochs, 7, 2, tmp_path,
                    lambda progress: None)

    return make


def spans(module: nn.Module) -> list[int | None]:
    return [None if window is None else window.cells for name in ("0", "2")
            for window in current(module.get_submodule(name).weight)]


def same(first: nn.Module, second: nn.Module) -> bool:
    other = second.state_dict()
    return all(torch.equal(value, other[name]) for name, value in first.state_dict().items())


# ---- tasks ---------------------------------------------------------------------------------
def test_what_fits_has_a_standard_error_to_spare() -> None:
    """3 of 100 images lost: 3 points, with a standard error 5."""
    x = torch.eye(2).repeat(50, 1).view(100, 2, 1, 1)
    y = torch.arange(100) % 2
    turned = torch.cat([x[:97], x[97:].flip(1)])
    module = nn.Flatten()
    for most, fits in ((0.03, False), (0.045, False), (0.055, True)):
        images = Data(x, y, turned, y)
        found = Task(images, module, torch.ones(100, dtype=torch.double), most, 0, 0, 0, Path(),
                     lambda progress: None)
        assert found.loss(module) == pytest.approx(0.03) and found.fits(module) is fits


def test_no_epochs_only_write_the_clusters(task: Callable[..., Task]) -> None:
    module, given = network(), task(epochs=0)
    shared = cluster(copy.deepcopy(module), 2)
    given.train(module, "anything", shared)
    assert not list(given.folder.iterdir())
    for name, layer in weighted(module).items():
        assert torch.equal(layer.weight, shared[name].weight())


def test_training_goes_on_from_its_checkpoint(task: Callable[..., Task],
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    first, given = network(), task(epochs=2)
    given.train(first, "some name")
    assert [path.name for path in given.folder.iterdir()] == ["some_name.training"]
    assert not same(first, network())
    monkeypatch.setattr(Trainer, "epoch", lambda self: pytest.fail("trained again"))
    second = network()
    given.train(second, "some name")
    assert same(first, second)


@pytest.mark.parametrize(("epochs", "last", "images"), [
    (1, False, round(200 * ROUND)), (1, True, 200), (3, False, round(3 * 200 * ROUND)),
    (3, True, 600), (0, True, 0)])
def test_a_round_trains_a_share_of_the_epochs(epochs: int, last: bool, images: int,
                                              task: Callable[..., Task],
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    plain = Trainer.run

    def run(self: Trainer) -> None:
        seen.append(self.data.x_train)
        assert self.teacher is not None
        plain(self)

    monkeypatch.setattr(Trainer, "run", run)
    module = network()
    with torch.no_grad():
        module[2].weight[:, 3] = 0
    before = module[2].weight != 0
    methods._tuner(task(epochs=epochs))(module, 5, last)
    assert sum(map(len, seen)) == images
    assert torch.equal(module[2].weight != 0, before)
    if images:
        every, counts = torch.unique(seen[0].flatten(1), dim=0, return_counts=True)
        assert len(every) == min(images, 200) and int(counts.max()) == -(-images // 200)


# ---- methods -------------------------------------------------------------------------------
@pytest.mark.parametrize("name", METHODS)
def test_a_method_keeps_the_budget_and_the_network_and_goes_on(
        name: str, task: Callable[..., Task], monkeypatch: pytest.MonkeyPatch) -> None:
    """Only clusters are trained here, the others save something by their fits alone."""
    start, given = network(), task(most=0.6, epochs=int(name == "cluster"))
    found, notes = METHODS[name](start, given)
    assert same(start, network()) and notes
    assert given.loss(found) <= 0.6
    dense, left = (sum(int((layer.weight != 0).sum()) for layer in weighted(one).values())
                   for one in (start, found))
    cells = spans(found)
    if name == "lower":
        assert None not in cells and min(filter(None, cells)) < 9
    elif name == "linear":
        assert None in cells and set(cells) == {None, 9}
    elif name == "prune":
        assert left < 0.8 * dense
    else:
        assert left == dense and notes["clusters"] in COUNTS
        for layer in weighted(found).values():
            for row in layer.weight.detach().abs().flatten(1):
                assert len(row[row > 0].unique()) <= notes["clusters"]
    for owner, work in ((Trainer, "epoch"), (budget.Proposals, "take"), (prune, "shrink")):
        monkeypatch.setattr(owner, work, lambda *given, work=work: pytest.fail(f"{work} again"))
    again, told = METHODS[name](start, given)
    assert same(found, again) and told == notes


def test_no_clusters_where_not_even_the_most_are_enough(task: Callable[..., Task]) -> None:
    start = network()
    found, notes = METHODS["cluster"](start, task(most=0.0, epochs=0))
    assert notes == {"clusters": None} and same(found, start)
