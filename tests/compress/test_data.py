"""Data files: read, checked, split; every refusal says what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from kcnn.compress.data import Data, accuracy, batches, load, logits, split
from kcnn.compress.errors import CompressError
from torch import Tensor, nn


def arrays(count: int = 12) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"x_train": rng.random((count, 1, 4, 4)).astype(np.float32),
            "y_train": np.arange(count) % 3,
            "x_test": rng.random((5, 1, 4, 4)).astype(np.float32), "y_test": np.arange(5)}


def written(folder: Path, name: str, **values: np.ndarray) -> Path:
    path = folder / name
    np.savez(path, **values)
    return path


def halved(pixels: Tensor) -> Tensor:
    return pixels / 2


def test_both_parts_come_from_one_file(tmp_path: Path) -> None:
    values = arrays()
    data = load(written(tmp_path, "d.npz", **values))
    assert np.array_equal(data.x_train, values["x_train"])
    assert data.y_test.dtype == torch.int64 and data.y_test.tolist() == [0, 1, 2, 3, 4]
    assert data.example.shape == (1, 1, 4, 4)


@pytest.mark.parametrize("shape, expected", [((6, 4, 5), (6, 1, 4, 5)),
                                             ((6, 4, 5, 3), (6, 3, 4, 5))])
def test_pixels_are_preprocessed_channels_first(tmp_path: Path, shape: tuple[int, ...],
                                                expected: tuple[int, ...]) -> None:
    images = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    path = written(tmp_path, "d.npz", images=images, labels=np.zeros(6, np.uint8))
    data = load(path, path, halved)
    assert tuple(data.x_train.shape) == expected and data.x_train.dtype == torch.float32
    last = images.reshape(*shape[:3], -1)[2, 1, 3]
    assert data.x_train[2, :, 1, 3].tolist() == (last / 2).tolist()


def test_the_test_file_may_name_its_arrays_plainly(tmp_path: Path) -> None:
    values = arrays()
    test = written(tmp_path, "t.npz", x=values["x_test"], y=values["y_test"])
    data = load(written(tmp_path, "d.npz", **values), test)
    assert np.array_equal(data.x_test, values["x_test"])


@pytest.mark.parametrize("change, sentence", [
    ({"x_train": None}, "x_train, y_train or images, labels are needed"),
    ({"x_test": None}, "give the held-out images in a second file with --test"),
    ({"x_train": np.zeros((12, 1, 4, 4))}, "is float64 of shape"),
    ({"x_train": np.full((12, 1, 4, 4), np.nan, np.float32)}, "not finite"),
    ({"y_train": np.zeros(11, int)}, "each of the 12 images"),
    ({"y_train": np.full(12, -1)}, "0 or more"),
    ({"y_train": np.full(12, 2 ** 63 + 1, np.uint64)}, "0 or more"),
    ({"y_train": np.zeros(12, np.float32)}, "is float32 of shape"),
    ({"x_test": np.zeros((5, 3, 4, 4), np.float32)}, "give both alike"),
])
def test_unfit_arrays_are_refused(tmp_path: Path, change: dict[str, np.ndarray | None],
                                  sentence: str) -> None:
    values = {name: value for name, value in {**arrays(), **change}.items() if value is not None}
    with pytest.raises(CompressError, match=sentence):
        load(written(tmp_path, "d.npz", **values))


def test_unfit_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CompressError, match="cannot be read"):
        load(tmp_path / "missing.npz")
    (tmp_path / "text.npz").write_text("no zip")
    with pytest.raises(CompressError, match="no .npy or .npz file of plain numbers"):
        load(tmp_path / "text.npz")
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(CompressError, match="one.npy: holds the arrays x; x_train, y_train or"):
        load(tmp_path / "one.npy")


def test_files_with_any_damage_are_read_or_refused_in_a_sentence(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    refused = 0
    for write in (np.savez, np.savez_compressed):
        write(tmp_path / "good.npz", **arrays(60))
        whole = (tmp_path / "good.npz").read_bytes()
        for _ in range(60):
            damaged = bytearray(whole)
            damaged[rng.integers(rng.choice([200, len(whole)]))] ^= 1 << rng.integers(8)
            (tmp_path / "bad.npz").write_bytes(damaged)
            try:
                load(tmp_path / "bad.npz")
            except CompressError as error:
                refused += 1
                assert "bad.npz: " in str(error) and "\n" not in str(error)
    assert refused > 60


def raises(pixels: Tensor) -> Tensor:
    raise ValueError("no such\npixels")


@pytest.mark.parametrize(("preprocess", "sentence"), [
    (raises, r"array 'images': the model's preprocess fails \(no such\); it takes float32"),
    (lambda pixels: pixels.numpy(), "preprocess returns ndarray; it must return a tensor"),
    (lambda pixels: pixels.double(), "after preprocess is float64"),
    (lambda pixels: pixels / 0, "after preprocess holds numbers that are not finite"),
    (lambda pixels: pixels[:2], "for each of the 2 images"),
])
def test_what_preprocess_does_wrong_is_told(tmp_path: Path, preprocess, sentence: str) -> None:
    path = written(tmp_path, "d.npz", images=np.zeros((6, 4, 4), np.uint8), labels=np.zeros(6, int))
    with pytest.raises(CompressError, match=sentence):
        load(path, path, preprocess)


def test_a_preprocess_with_weights_of_its_own_is_only_run(tmp_path: Path) -> None:
    path = written(tmp_path, "d.npz", images=np.ones((6, 4, 4), np.uint8), labels=np.zeros(6, int))
    half = torch.tensor(0.5, requires_grad=True)
    data = load(path, path, lambda pixels: pixels * half)
    assert not data.x_train.requires_grad and (data.x_train == 0.5).all()


def test_pixels_without_preprocess_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "d.npz", images=np.zeros((6, 4, 4), np.uint8), labels=np.zeros(6, int))
    with pytest.raises(CompressError, match="no model with a function preprocess is given"):
        load(path, path)
    other = written(tmp_path, "e.npz", images=np.zeros((6, 4, 4)), labels=np.zeros(6, int))
    with pytest.raises(CompressError, match="uint8"):
        load(other, other, halved)


def test_a_split_is_stratified_disjoint_and_blind_to_the_test_part() -> None:
    count = 90
    x = torch.arange(count, dtype=torch.float32).view(count, 1, 1, 1)
    data = Data(x, torch.arange(count) % 3, x + 1000, torch.zeros(count, dtype=torch.int64))
    part = split(data, 0.2, seed=1)
    train, held = part.x_train.ravel().tolist(), part.x_test.ravel().tolist()
    assert sorted(train + held) == list(range(count))
    assert torch.bincount(part.y_test).tolist() == [6, 6, 6]
    assert part.y_test.tolist() == [int(v) % 3 for v in held]
    assert split(data, 0.2, seed=1).x_test.ravel().tolist() == held
    assert split(data, 0.2, seed=2).x_test.ravel().tolist() != held


def test_images_given_to_decide_are_the_test_part_of_a_split(tmp_path: Path) -> None:
    new = arrays(4)
    path = written(tmp_path, "d.npz", **arrays(), x_val=new["x_test"], y_val=new["y_test"])
    data = load(path)
    part = split(data, 0.5, seed=0)
    assert torch.equal(part.x_train, data.x_train) and torch.equal(part.y_train, data.y_train)
    assert np.array_equal(part.x_test.numpy(), new["x_test"])
    assert np.array_equal(part.y_test.numpy(), new["y_test"])


def test_images_given_to_decide_must_fit(tmp_path: Path) -> None:
    wider = np.zeros((2, 1, 9, 9), np.float32)
    for more in ({"x_val": wider}, {"x_val": wider, "y_val": np.zeros(2, np.int64)}):
        with pytest.raises(CompressError, match="x_val"):
            load(written(tmp_path, "d.npz", **arrays(), **more))


@pytest.mark.parametrize("fraction, sentence", [(0.0, "between 0 and 1"), (1.0, "between 0 and 1"),
                                                (0.01, "too few")])
def test_a_split_without_images_is_refused(fraction: float, sentence: str) -> None:
    data = Data(torch.zeros(4, 1, 1, 1), torch.zeros(4, dtype=torch.int64),
                torch.zeros(1, 1, 1, 1), torch.zeros(1, dtype=torch.int64))
    with pytest.raises(CompressError, match=sentence):
        split(data, fraction, seed=0)


def test_batches_are_every_image_once() -> None:
    x = torch.arange(10, dtype=torch.float32).view(10, 1, 1, 1)
    data = Data(x, torch.arange(10), x, torch.arange(10))
    parts = list(batches(data, 4, torch.Generator().manual_seed(0)))
    assert [len(part) for part, _ in parts] == [4, 4, 2]
    assert sorted(torch.cat([y for _, y in parts]).tolist()) == list(range(10))
    assert all(torch.equal(part.ravel().long(), y) for part, y in parts)


def test_no_image_is_left_alone_in_a_batch() -> None:
    """Batch norm needs two; of single images, asked for, there are as many."""
    x = torch.arange(9, dtype=torch.float32).view(9, 1, 1, 1)
    data = Data(x, torch.arange(9), x, torch.arange(9))
    for size, sizes in ((4, [4, 5]), (8, [9]), (9, [9]), (20, [9]), (1, [1] * 9)):
        parts = list(batches(data, size, torch.Generator().manual_seed(0)))
        assert [len(part) for part, _ in parts] == sizes
        assert sorted(torch.cat([y for _, y in parts]).tolist()) == list(range(9))


def test_accuracy_is_measured_in_inference_mode_and_leaves_the_mode() -> None:
    net = nn.Sequential(nn.Dropout(0.9), nn.Flatten()).train()
    x = torch.eye(5).view(5, 5, 1, 1)
    assert accuracy(net, x, torch.arange(5)) == 1.0
    assert accuracy(net, x, torch.tensor([0, 1, 2, 0, 0])) == 0.6
    assert net.training and logits(net, x).shape == (5, 5)
