"""The search under a budget, on a small network that knows handwritten digits."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from kcnn.arch.config import Config
from kcnn.compiler import pipeline
from kcnn.compress.budget import Round, Settings, Slimmed, bound, right, slim
from kcnn.compress.data import Data, accuracy
from kcnn.compress.errors import CompressError
from kcnn.compress.finetune import Settings as Training
from kcnn.compress.finetune import Trainer
from kcnn.compress.lower_kernel import Window, current, windows
from kcnn.compress.proposals import Proposals
from kcnn.compress.sites import layer
from kcnn.compress.work import Meter, macs
from scripts import script
from sklearn.datasets import load_digits
from torch import nn

diannao = script("bench/compression/diannao")

SETTINGS = Settings(budget=0.03, step=0.3, images=64)
Tune = Callable[[nn.Module, int, bool], None]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@functools.cache
def data() -> Data:
    digits = load_digits()
    x = torch.from_numpy(digits.images[:, None].astype(np.float32) / 16)
    y = torch.from_numpy(digits.target.astype(np.int64))
    return Data(x[:1000], y[:1000], x[1000:1400], y[1000:1400])


@functools.cache
def _trained() -> nn.Module:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(12 * 16, 10))
    Trainer(module, data(), Training(epochs=8, rate=5e-3, batch=32)).run()
    return module.eval()


def trained() -> nn.Module:
    return copy.deepcopy(_trained())


def tune(module: nn.Module, number: int, last: bool) -> None:
    Trainer(module, data(), Training(epochs=3 if last else 1, batch=32, seed=number)).run()


def briefly(module: nn.Module, number: int, last: bool) -> None:
    some = Data(data().x_train[:128], data().y_train[:128], data().x_test, data().y_test)
    Trainer(module, some, Training(epochs=1, batch=32, seed=number)).run()


def nothing(module: nn.Module, number: int, last: bool) -> None:
    """No training: only what was fitted counts."""


def found(methods: tuple[str, ...], training: Tune = tune, **more: object) -> Slimmed:
    settings = Settings(**{**vars(SETTINGS), "methods": methods, **more})
    return slim(trained(), data(), settings, training)


# ---- what comes out ------------------------------------------------------------------------
def test_both_methods_save_within_the_budget() -> None:
    base = trained()
    before = copy.deepcopy(base.state_dict())
    assert accuracy(base, data().x_test, data().y_test) > 0.9
    rounds: list[Round] = []
    result = slim(base, data(), SETTINGS, tune, tell=rounds.append)
    assert all(torch.equal(value, before[name]) for name, value in base.state_dict().items())
    lost = right(base, data()) - right(result.module, data())
    assert result.rounds == tuple(rounds) and result.rounds[-1].last and result.rounds[-1].kept
    assert result.rounds[-1].loss == pytest.approx(lost.mean().item())
    error = lost.std().item() / len(lost) ** 0.5
    assert lost.mean().item() + 1.645 * error <= SETTINGS.budget + 1e-12
    meter = Meter(base, data().example)
    assert result.saving == pytest.approx(1 - macs(meter(result.module)) / macs(meter(base)))
    assert result.saving > 0.5 and not result.module.training


def shapes(module: nn.Module) -> list[Window | None]:
    return [window for name in ("0", "4") for window in current(layer(module, name).weight)]


def test_lower_only_takes_no_feature_out() -> None:
    assert {None} .isdisjoint(shapes(found(("lower",)).module))
    assert set(shapes(found(("lower",)).module)) <= {Window(0, 0, 3, 3), *windows((3, 3))}


def test_linear_only_takes_features_out_with_all_that_reads_them() -> None:
    module = found(("linear",)).module
    assert set(shapes(module)) == {None, Window(0, 0, 3, 3)}
    for conv, reader in (("0", "4"), ("4", "7")):
        gone = ~layer(module, conv).weight.flatten(1).any(1)
        read = layer(module, reader).weight
        assert not read.reshape(len(read), len(gone), -1)[:, gone].any()
    assert not module[1].weight[~layer(module, "0").weight.flatten(1).any(1)].any()


def test_without_training_the_fits_alone_save_something() -> None:
    assert found(("lower", "linear"), nothing, budget=0.05).saving > 0.1


def test_another_cost_can_be_saved() -> None:
    result = slim(trained(), data(), SETTINGS, nothing,
                  cost=lambda works: diannao.total(works, diannao.MODIFIED))
    meter = Meter(trained(), data().example)
    before, after = (diannao.total(meter(m), diannao.MODIFIED)
                     for m in (trained(), result.module))
    assert result.saving == pytest.approx(1 - after / before)


# ---- undoing -------------------------------------------------------------------------------
def test_rounds_beyond_the_budget_are_undone() -> None:
    def spoil(module: nn.Module, number: int, last: bool) -> None:
        with torch.no_grad():
            module[7].weight.neg_()

    result = found(("lower",), spoil)
    assert result.saving == 0 and not any(one.kept for one in result.rounds)
    costs = [1 - one.cost for one in result.rounds]
    assert len(costs) > 3 and 1 / 64 < costs[-1] < 1 / 16          # in smaller and smaller steps
    assert all(torch.equal(a, b) for a, b in zip(result.module.state_dict().values(),
                                                 trained().state_dict().values(), strict=True))


def test_rounds_are_taken_back_until_the_end_is_within_the_budget() -> None:
    tries: list[int] = []

    def spoil_twice(module: nn.Module, number: int, last: bool) -> None:
        briefly(module, number, False)
        if last:
            tries.append(number)
            if len(tries) < 3:
                with torch.no_grad():
                    module[7].weight.neg_()

    result = found(("lower", "linear"), spoil_twice, budget=0.1, confidence=0.0)
    ends = [one for one in result.rounds if one.last]
    assert [one.kept for one in ends] == [False, False, True]
    assert ends[0].cost < ends[1].cost < ends[2].cost
    assert result.saving == pytest.approx(1 - ends[2].cost)


def test_a_patient_search_trains_longer_before_it_undoes_a_round() -> None:
    calls: list[tuple[int, bool]] = []

    def turn(module: nn.Module, number: int, last: bool) -> None:
        """Spoils the network; a second time, mends it."""
        calls.append((number, last))
        with torch.no_grad():
            module[7].weight.neg_()

    hasty = found(("lower",), turn)
    assert not any(one.kept for one in hasty.rounds)
    assert calls == [(number, False) for number in range(len(hasty.rounds))]
    calls.clear()
    patient = found(("lower",), turn, budget=0.1, patient=True)
    assert patient.rounds[0].kept and calls[:2] == [(0, False), (0, True)]


def test_a_patient_search_trains_twice_at_the_end_before_it_takes_a_round_back() -> None:
    def spoil_first_tries(module: nn.Module, number: int, last: bool) -> None:
        """Every first training of the end spoils the network, the second one mends it."""
        if last:
            with torch.no_grad():
                module[7].weight.neg_()
        else:
            briefly(module, number, False)

    def ends(patient: bool) -> list[bool]:
        result = found(("linear",), spoil_first_tries, budget=0.1, confidence=0.0, step=0.6,
                       patient=patient)
        return [one.kept for one in result.rounds if one.last]

    assert not any(ends(False)) and ends(True) == [True]


def test_where_nothing_stands_smaller_steps_are_tried() -> None:
    """A loss grows with what is gone: three in ten are too much, at the end more than a tenth."""
    whole = macs(Meter(trained(), data().example)(trained()))

    def judge(module: nn.Module, number: int, last: bool) -> None:
        left = macs(Meter(trained(), data().example)(module)) / whole
        if left < (0.9 if last else 0.7):
            with torch.no_grad():
                module[7].weight.neg_()

    result = found(("lower",), judge, budget=0.1, confidence=0.0)
    coarse = [one for one in result.rounds if one.cost < 0.9]
    assert coarse and not any(one.kept for one in coarse if one.last)
    assert 0.03 < result.saving <= 0.1 and result.rounds[-1].last and result.rounds[-1].kept


def test_few_images_without_a_loss_prove_little() -> None:
    assert bound(torch.zeros(100, dtype=torch.double), 2.0) == pytest.approx(0.02)
    lost = torch.tensor([1.0, -1.0] * 4 + [0.0] * 92, dtype=torch.double)
    assert bound(lost, 1.0) == pytest.approx(3 / 100)
    assert bound(torch.ones(10, dtype=torch.double), 0.0) == 1


# ---- the same bytes ------------------------------------------------------------------------
def values(result: Slimmed) -> list[bytes]:
    return [value.numpy().tobytes() for value in result.module.state_dict().values()]


def test_interrupted_runs_end_with_the_bytes_of_whole_ones(tmp_path: Path) -> None:
    whole = slim(trained(), data(), SETTINGS, briefly)
    assert values(slim(trained(), data(), SETTINGS, briefly)) == values(whole)
    calls = 0

    def interrupted(module: nn.Module, number: int, last: bool) -> None:
        nonlocal calls
        calls += 1
        briefly(module, number, last)
        if calls % 2:
            raise KeyboardInterrupt

    path = tmp_path / "search.pt"
    for _ in range(30):
        try:
            resumed = slim(trained(), data(), SETTINGS, interrupted, path=path)
            break
        except KeyboardInterrupt:
            continue
    assert calls > 4 and values(resumed) == values(whole) and resumed.rounds == whole.rounds
    calls = 100
    assert values(slim(trained(), data(), SETTINGS, interrupted, path=path)) == values(whole)
    assert calls == 100                                            # finished: nothing to train


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "search.pt"
    slim(trained(), data(), Settings(budget=0.0, step=0.9, images=16), nothing, path=path)
    with pytest.raises(CompressError, match="with other settings"):
        slim(trained(), data(), SETTINGS, nothing, path=path)


@pytest.mark.parametrize("change, sentence", [
    ({"methods": ("lower", "prune")}, "no method 'prune'; give some of lower, linear"),
    ({"methods": ()}, "no method is given"), ({"share": 0.0}, "share must be between 0 and 1"),
    ({"step": 1.0}, "step must be between 0 and 1"), ({"budget": -0.1}, "must not be negative"),
    ({"criterion": "luck"}, "no criterion 'luck'"),
])
def test_settings_that_mean_nothing_are_refused(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(CompressError, match=sentence):
        slim(trained(), data(), Settings(**change), nothing)


# ---- proposals -----------------------------------------------------------------------------
def proposals(module: nn.Module, *methods: str, share: float = 0.05) -> Proposals:
    meter = Meter(module, data().example)
    return Proposals(module, data().x_train[:64], data().y_train[:64], methods, "taylor", share,
                     lambda some: macs(meter(some)))


def test_copies_go_first_and_the_outputs_stay() -> None:
    module = trained()
    with torch.no_grad():
        conv = layer(module, "4")
        conv.weight[7], conv.bias[7] = 2 * conv.weight[2], 2 * conv.bias[2]
        before, cost = module(data().x_test), proposals(module, "linear").cost(module)
        assert proposals(module, "linear").take(cost - 1)
        assert torch.allclose(module(data().x_test), before, atol=1e-3)
    gone = (~layer(module, "4").weight.flatten(1).any(1)).nonzero().ravel().tolist()
    assert gone in ([2], [7])


def test_the_goal_is_reached_or_nothing_is_left() -> None:
    module = trained()
    found = proposals(module, "lower")
    start = found.cost(module)
    assert found.take(0.8 * start) and found.cost(module) <= 0.8 * start
    assert found.take(0) and not found.take(0)
    assert {window.cells for window in shapes(module) if window} == {1}
    both = proposals(module, "linear")
    assert both.take(0) and not both.take(0)
    assert sum(window is not None for window in shapes(module)) == 2


# ---- the compiler --------------------------------------------------------------------------
def test_the_compiler_sees_fewer_taps() -> None:
    module = found(("lower", "linear"), nothing, budget=0.2).module
    program = pipeline.compile(module, (data().example,), data().x_train[:32].numpy(),
                               Config.preset("tiny")).program
    taps = {one.name: one.taps for one in program.layers}
    weight = layer(module, "4").weight
    assert int((weight != 0).sum()) < 0.7 * weight.numel()
    assert len(taps["4"].source) == int((weight != 0).sum())
