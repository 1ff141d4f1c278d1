"""Fine-tuning: learns, keeps zeros and clusters exactly, resumes to the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from kcnn.compress import checkpoint, maps
from kcnn.compress.clusters import cluster
from kcnn.compress.data import Data, accuracy
from kcnn.compress.errors import CompressError
from kcnn.compress.finetune import Settings, Trainer
from torch import Tensor, nn


def net(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.1),
                         nn.Flatten(), nn.Linear(96, 4)).eval()


def stripes(count: int = 160) -> Data:
    """Images of four kinds of stripes under noise."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(count) % 4
    grid = torch.arange(6.0)
    waves = torch.stack([torch.cos(grid[:, None] * a + grid * b)
                         for a, b in ((0, 2), (2, 0), (2, 2), (2, -2))])
    x = waves[y][:, None] + 1.2 * torch.randn(count, 1, 6, 6, generator=generator)
    return Data(x[:120], y[:120], x[120:], y[120:])


def loss(module: nn.Module, data: Data) -> float:
    with torch.no_grad():
        return float(nn.functional.cross_entropy(module(data.x_train), data.y_train))


def same(first: nn.Module, second: nn.Module) -> bool:
    other = second.state_dict()
    return all(torch.equal(value, other[name]) for name, value in first.state_dict().items())


def test_a_clustered_network_learns_and_stays_clustered() -> None:
    data, module = stripes(), net()
    Trainer(module, data, Settings(epochs=4, rate=1e-2, batch=16)).run()
    with torch.no_grad():
        module[5].weight.mul_(torch.rand(4, 96) < 0.7)
    zeros = {i: module[i].weight == 0 for i in (0, 5)}
    found = cluster(module, 1)
    before = loss(module, data)
    first = [c.values.clone() for c in found.values()]
    Trainer(module, data, Settings(epochs=4, rate=1e-2, batch=16), found).run()
    assert loss(module, data) < 0.8 * before
    assert not module.training
    for i in (0, 5):
        weight = module[i].weight.detach()
        assert torch.equal(weight == 0, zeros[i])
        shared = found[str(i)]
        assert torch.equal(weight, shared.weight()) and len(shared.values) == 1
    assert not all(map(torch.equal, first, [c.values for c in found.values()]))


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_pruned_weights_stay_zero_unless_let_go(optimiser: str) -> None:
    data = stripes()
    for keep in (True, False):
        module = net()
        with torch.no_grad():
            module[5].weight[:, ::2] = 0
        Trainer(module, data, Settings(rate=1e-2, optimiser=optimiser, decay=0.1, keep_zeros=keep)
                ).run()
        assert bool((module[5].weight[:, ::2] == 0).all()) == keep
        assert (module[5].weight[:, 1::2] != 0).all()


def test_the_shared_gradient_moves_a_value_like_a_shared_parameter() -> None:
    """One step of SGD against a network that is written with the values as its parameters."""
    data, module = stripes(), net()
    module[3].p = 0.0
    found = cluster(module, 3)
    start = [t.clone().requires_grad_() for c in found.values() for t in (c.values, c.scale)]
    rate, twin = 1e-2, net()
    twin[3].p = 0.0
    parts = [type(c)(values, scale, c.index, c.sign) for c, values, scale
             in zip(found.values(), start[::2], start[1::2], strict=True)]
    weights = {"0.weight": parts[0].weight(), "5.weight": parts[1].weight()}
    outputs = torch.func.functional_call(twin.train(), weights, data.x_train)
    nn.functional.cross_entropy(outputs, data.y_train).backward()
    expected = [t.detach() - rate * t.grad for t in start]
    Trainer(module, data, Settings(rate=rate, batch=120, optimiser="sgd"), found).run()
    moved = [t for c in found.values() for t in (c.values, c.scale)]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(moved, expected, strict=True))


def test_the_same_seed_gives_the_same_bytes_and_so_does_a_resumed_run(tmp_path: Path) -> None:
    data, settings = stripes(), Settings(epochs=4, rate=1e-2, batch=16, seed=3)

    def start() -> tuple[nn.Module, Trainer]:
        module = net()
        return module, Trainer(module, data, settings, cluster(module, {"5": 4}))

    whole, trainer = start()
    seen: list[int] = []
    trainer.run(progress=lambda done, loss: seen.append(done))
    assert seen == [1, 2, 3, 4]
    again, trainer = start()
    trainer.run()
    assert same(whole, again)

    _, cut = start()
    path = tmp_path / "run.pt"
    for _ in range(2):
        cut.epoch()
    checkpoint.write(path, cut.state())
    resumed, trainer = start()
    torch.manual_seed(99)
    trainer.run(path)
    assert same(whole, resumed) and checkpoint.read(path)["epochs_done"] == 4
    finished, trainer = start()
    trainer.run(path)
    assert same(whole, finished)

    other, trainer = start()
    trainer.settings = Settings(epochs=5)
    with pytest.raises(CompressError, match="of a run with other settings"):
        trainer.run(path)


def test_training_with_clustered_maps_helps_what_reads_clustered_maps() -> None:
    data, module = stripes(), net()
    Trainer(module, data, Settings(epochs=4, rate=1e-2, batch=16)).run()
    found = maps.calibrate(module, data.x_train, 1)

    def clustered_accuracy() -> float:
        with maps.clustering(module, found):
            return accuracy(module, data.x_train, data.y_train)

    before = clustered_accuracy()
    Trainer(module, data, Settings(epochs=4, rate=3e-3, batch=16), maps=found).run()
    assert clustered_accuracy() > before
    assert not module[5]._forward_pre_hooks


def test_a_teacher_is_followed_and_left_alone() -> None:
    data, teacher = stripes(), net()
    Trainer(teacher, data, Settings(epochs=5, rate=1e-2, batch=16)).run()
    kept = {name: value.clone() for name, value in teacher.state_dict().items()}
    wrong = Data(data.x_train, data.y_train.flip(0) * 0, data.x_test, data.y_test)
    student = net(1)
    Trainer(student, wrong, Settings(epochs=8, rate=1e-2, batch=16, distil=1.0), teacher=teacher
            ).run()
    assert accuracy(student, data.x_test, data.y_test) > 0.7
    assert all(torch.equal(kept[name], value) for name, value in teacher.state_dict().items())


def test_augmentation_sees_every_batch_with_a_generator_of_its_own() -> None:
    data, sizes = stripes(), []

    def flip(x: Tensor, generator: torch.Generator) -> Tensor:
        sizes.append(len(x))
        return x.flip(3) if torch.rand(1, generator=generator) < 0.5 else x

    Trainer(net(), data, Settings(batch=50), augment=flip).run()
    assert sizes == [50, 50, 20]


def test_divergence_and_unknown_optimisers_are_refused() -> None:
    with pytest.raises(CompressError, match="or a learning rate below"):
        Trainer(net(), stripes(), Settings(epochs=3, rate=1e30, optimiser="sgd")).run()
    with pytest.raises(CompressError, match="give adam or sgd"):
        Trainer(net(), stripes(), Settings(optimiser="newton"))
