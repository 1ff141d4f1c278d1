"""What a program keeps of its network: measured on the images that it is told of, blamed right."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from kcnn.arch import kbin, records
from kcnn.arch.config import Config
from kcnn.compiler import fidelity, pipeline
from kcnn.compiler.fidelity import Fidelity, held, measure
from kcnn.compiler.ir.quantised import Codebook, Quantised
from kcnn.compiler.pipeline import Compiled
from kcnn.compiler.quantise.emulate import run
from networks import randomise
from torch import Tensor, nn

TINY = Config.preset("tiny")
SHAPE = (1, 6, 6)


def network() -> nn.Module:
    return randomise(nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU(),
                                   nn.Flatten(), nn.Linear(24, 4)), 0)


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, *SHAPE)).astype(np.float32)


def compiled(module: nn.Module | None = None, x: np.ndarray | None = None, batch: int = 1
             ) -> Compiled:
    x = images(40) if x is None else x
    return pipeline.compile(module or network(), (torch.tensor(x[:1]),), x, TINY, batch)


def altered(change: Callable[[Quantised], None]) -> Compiled:
    """The network compiled with something changed after quantisation."""
    made = compiled()
    quantised = made.quantised
    quantised = dataclasses.replace(quantised, tensors=dict(quantised.tensors),
                                    weights=dict(quantised.weights))
    change(quantised)
    program = pipeline.back(quantised, TINY, 1)
    return dataclasses.replace(made, program=program, quantised=quantised)


@pytest.mark.parametrize("count, back", [(1, []), (2, []), (3, [2]), (4, [3]), (5, [4]),
                                         (12, [4, 9])])
def test_every_fifth_image_is_held_back(count: int, back: list[int]) -> None:
    kept, away = held(np.arange(count))
    assert away.tolist() == back
    assert sorted([*kept.tolist(), *away.tolist()]) == list(range(count)) and len(kept)


def test_figures_are_of_the_images_that_they_are_told_of() -> None:
    found = measure(compiled(), images(40), 30 * images(10, 1))
    assert found.calibration.images == 40 and found.held_back.images == 10
    assert found.calibration.least > 12 and found.held_back.least < 3
    assert found.told is found.held_back
    alone = measure(compiled(), images(40), images(0))
    assert alone.held_back is None and alone.told is alone.calibration
    assert alone.calibration == found.calibration
    one = measure(compiled(), images(40), images(1, 1))
    assert np.isfinite(one.held_back.least) and one.calibration == found.calibration


def test_the_integers_are_those_of_any_batch() -> None:
    one, three = (measure(compiled(batch=batch), images(40), images(4, 2)) for batch in (1, 3))
    assert one == three and one.held_back.images == 4


def test_an_output_that_hardly_varies_is_seen_through() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(36, 3)).eval()
    with torch.no_grad():
        module[1].weight.mul_(1e-3)
        module[1].bias.copy_(torch.tensor([100.0, -50.0, 20.0]))
    found = measure(compiled(module), images(40), images(10, 1)).told.outputs["output"]
    assert found.sqnr > 60 and found.agreement == 10 and found.least < 10


def test_an_output_that_is_constant_keeps_nothing() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(36, 3)).eval()
    with torch.no_grad():
        module[1].weight.zero_()
    assert measure(compiled(module), images(40), images(10, 1)).told.least == -np.inf


class Two(nn.Module):
    """A map that is right and a vector that needs more than it can be given."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Conv2d(1, 3, 3), nn.Linear(48, 5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.body(x)
        return y, self.head(torch.relu(y).flatten(1))


def test_every_output_is_told_and_the_worst_is_blamed() -> None:
    found = measure(compiled(randomise(Two(), 1)), images(40), images(10, 1))
    plain = found.to_json()["held_back"]["outputs"]
    assert [output["agreement"] is None for output in plain] == [True, False]
    least = {name: output.least for name, output in found.told.outputs.items()}
    assert len(least) == 2 and found.told.least == min(least.values()) == least[found.told.worst]


def test_figures_are_json_and_metadata(tmp_path) -> None:
    for x in (images(1), images(2), images(40)):
        made = compiled(x=x)
        noted = fidelity.noted(made, measure(made, *held(x)))
        text = records.canonical(noted.program.meta.to_plain())
        assert "NaN" not in text and "Infinity" not in text
        kbin.write(tmp_path / "net.kbin", noted.program)
        again = kbin.read(tmp_path / "net.kbin")
        assert again.meta.fidelity == noted.program.meta.fidelity
        assert json.loads(text)["fidelity"]["calibration"]["images"] == len(held(x)[0])


def test_numbers_that_are_none_are_null() -> None:
    exact = np.arange(6.0).reshape(2, 3, 1, 1)
    figures = fidelity.Figures(2, {"y": fidelity.closeness(exact, exact)})
    (found,) = Fidelity(figures, None, None).to_json()["calibration"]["outputs"]
    assert found == {"name": "y", "sqnr": None, "varying": None, "typical": None, "equal": True,
                     "agreement": 2}


# ---- where it is lost ------------------------------------------------------------------------
def lost(made: Compiled) -> tuple[str, str]:
    loss = measure(made, images(40), images(10, 1)).loss
    return loss.place, loss.step


def test_clustered_weights_are_blamed() -> None:
    def ruin(quantised: Quantised) -> None:
        weight = quantised.weights["2"]
        quantised.weights["2"] = dataclasses.replace(weight, negative=~weight.negative)

    assert lost(altered(ruin)) == ("layer 2", "weights clustered")


def test_clustered_activations_are_blamed() -> None:
    def ruin(quantised: Quantised) -> None:
        quantised.tensors["0"] = Codebook(quantised.ranges["0"][1] / 127, np.array([0, 127]))

    assert lost(altered(ruin)) == ("layer 0", "activations clustered")


def test_a_layer_without_a_module_is_named_as_in_all_tables() -> None:
    class Pooled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.avg_pool2d(x, 2)
    made = compiled(nn.Sequential(network()[:2], Pooled(), nn.Flatten(), nn.Linear(24, 4)))
    pool = made.program.layers[1]
    piece = dataclasses.replace(pool.pieces[0], scale=(1,) * 6)
    layers = [made.program.layers[0], dataclasses.replace(pool, pieces=(piece,)),
              *made.program.layers[2:]]
    program = dataclasses.replace(made.program, layers=tuple(layers))
    assert pool.name == "1.avg_pool2d"
    assert lost(dataclasses.replace(made, program=program)) == ("layer 1.avg_pool2d", "fixed point")


def test_fixed_point_is_blamed() -> None:
    made = compiled()
    layers = list(made.program.layers)
    at = next(i for i, layer in enumerate(layers) if layer.name == "2")
    (piece,) = layers[at].pieces
    layers[at] = dataclasses.replace(layers[at], pieces=(dataclasses.replace(
        piece, scale=tuple(scale // 4 for scale in piece.scale)),))
    program = dataclasses.replace(made.program, layers=tuple(layers))
    assert lost(dataclasses.replace(made, program=program)) == ("layer 2", "fixed point")


def test_a_saturated_input_is_blamed() -> None:
    found = measure(compiled(), images(40), 30 * images(10, 1))
    assert found.loss.is_input and found.loss.place == "the input"
    assert found.loss.step == "activations clustered"


def test_errors_add_up_to_that_of_the_output() -> None:
    made, x = compiled(), images(8, 3).astype(np.float64)
    search = fidelity._Search(made, x, "output")
    errors = []
    for at, node in enumerate(made.quantised.graph):
        search.take(node)
        errors.append(search.error(at))
    exact = run(made.quantised.graph, x)["output"]
    _, found = fidelity._run(made, x)
    assert errors[-1] == pytest.approx(np.square(exact - found["output"]).sum())
