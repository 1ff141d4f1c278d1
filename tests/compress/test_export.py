"""Networks as .pt2 files: the same bytes, nothing of this computer, any number of images."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from kcnn.compress.errors import CompressError
from kcnn.compress.export import exported_bytes
from networks import randomise
from slim_networks import Residual, chain, images
from torch import Tensor, nn


def loaded(data: bytes) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")         # torch warns of its own
        return torch.export.load(io.BytesIO(data)).module()


@pytest.mark.parametrize("make", [chain, Residual])
def test_a_file_computes_the_same_for_any_number_of_images(make: type[nn.Module]) -> None:
    module = randomise(make(), 0)
    found = loaded(exported_bytes(module, images(1)))
    for count in (1, 2, 7):
        with torch.no_grad():
            torch.testing.assert_close(found(images(count)), module(images(count)))


def test_the_same_network_has_the_same_bytes_whatever_image_it_was_shown() -> None:
    one, two = randomise(chain(), 0), randomise(chain(), 0)
    assert exported_bytes(one, images(1)) == exported_bytes(two, images(3)[1:2])
    with torch.no_grad():
        two.conv1.weight[0, 0, 0, 0] += 1
    assert exported_bytes(one, images(1)) != exported_bytes(two, images(1))


def test_no_place_of_this_computer_is_in_a_file() -> None:
    data = exported_bytes(randomise(Residual(), 0), images(1))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        text = b"\n".join(archive.read(name) for name in archive.namelist())
    for place in ("slim_networks.py", str(Path(torch.__file__).parent), str(Path.cwd())):
        assert place.encode() not in text


def test_zeros_and_equal_weights_stay_so() -> None:
    module = chain(norm=False)
    with torch.no_grad():
        module.conv1.weight.copy_(module.conv1.weight.sign() * 0.3)
        module.conv1.weight[:, 0, 1] = 0
    weight = dict(loaded(exported_bytes(module, images(1))).named_parameters())["conv1.weight"]
    assert torch.equal(weight, module.conv1.weight)


def test_what_cannot_be_exported_is_told() -> None:
    class Branches(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(CompressError, match="must run on its images and not branch on values") as e:
        exported_bytes(Branches(), images(1))
    assert "\n" not in str(e.value)
