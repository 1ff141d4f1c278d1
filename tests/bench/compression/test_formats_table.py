"""The table of formats on small layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kcnn.arch import stream
from kcnn.compress.formats import FORMATS
from scripts import script
from trained import needs_data

study = script("bench/compression/formats_table")
sizes = study.sizes


def weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: (rng.normal(size=shape) * (rng.random(shape) < 0.2)).astype(np.float32)
            for name, shape in (("conv1", (8, 4, 3, 3)), ("fc6", (40, 60, 1, 1)))}


@pytest.mark.parametrize("code, bits", [("integers", (8, 8)), ("deep", (6, 5)), ("few", (4, 4))])
def test_codings_have_the_bits_of_their_names(code: str, bits: tuple[int, int]) -> None:
    found = {name: getattr(study, code)(name, weight) for name, weight in weights().items()}
    assert tuple(coded.bits for coded in found.values()) == bits
    assert all(np.abs(coded.dense() - weights()[name]).max() < 0.5
               for name, coded in found.items())


def test_rows_survive_as_parts(tmp_path: Path) -> None:
    parts = study.Parts("formats", fresh=False, folder=tmp_path)
    rows = study.rows_of(weights(), study.integers, "small", ("none",), parts)
    direct = sizes.table({name: study.integers(name, weight)
                          for name, weight in weights().items()}, ["none"])
    again = study.Parts("formats", fresh=False, folder=tmp_path)
    assert rows == direct == study.rows_of(weights(), None, "small", ("none",), again)


def test_the_total_has_a_row_a_format_and_the_best_of_each_layer(tmp_path: Path) -> None:
    parts = study.Parts("formats", fresh=False, folder=tmp_path)
    rows = study.rows_of(weights(), study.integers, "small", ("none",), parts)
    table = study.in_total("Small", rows, ("none",))
    assert [row[0] for row in table.rows] == [*FORMATS, "smallest of each layer"]
    assert table.rows[-1][1] <= min(row[1] for row in table.rows)
    floats = 4 * (8 * 36 + 2400)
    assert table.rows[0][2] == pytest.approx(floats / table.rows[0][1])
    layers = study.by_layer("Small", rows, "none")
    assert [row[0] for row in layers.rows] == ["conv1", "fc6"]
    assert layers.markdown() and table.markdown()


def test_kept_networks_have_the_clusters_they_were_trained_for() -> None:
    for network, data, count in study.SMALL.values():
        for name, weight in study.kept(network, data).items():
            coded = study.magnitudes(name, weight, count)
            np.testing.assert_allclose(coded.dense(), weight, rtol=1e-5)
            assert coded.nonzero == np.count_nonzero(weight)
            assert len(np.unique(np.abs(coded.table()[1:]))) <= count


def test_streams_are_counted_as_they_are_read() -> None:
    coded = study.magnitudes("conv", weights()["fc6"], 3)
    (section,) = FORMATS["taps"].encode(coded)
    data = section.numbers.astype(np.uint8).tobytes()
    channels, end = stream.decode_stream(data, len(coded.codes), "test")
    assert study.clusters(coded) == sum(len(channel.clusters) for channel in channels)
    framing = len(channels) * (stream.CHANNEL_HEAD + 1)
    longs = end - framing - 2 * study.clusters(coded) - coded.nonzero
    assert 0 <= longs <= study.long_bytes(coded, len(data)) <= longs + stream.SLACK + stream.UNIT
    assert np.array_equal(coded.dense() != 0, weights()["fc6"] != 0)


def networks_found(folder: Path) -> list[Any]:
    parts = study.Parts("formats", fresh=False, folder=folder)
    coding = "small, 16 magnitudes"
    rows = study.rows_of(weights(), study.magnitudes, coding, ("none", "huffman"), parts)
    return [study.Network(coding, rows, [study.in_total(coding, rows, ("none", "huffman"))])]


def test_the_summary_shows_the_smallest_format_beside_what_is_published(tmp_path: Path) -> None:
    found = networks_found(tmp_path)
    (row, *published) = study.summary(found).rows
    whole = sizes.total(found[0].rows)
    assert row[3] == min(size for (_, coder), size in whole.files.items() if coder == "none")
    assert row[6] == min(size for (_, coder), size in whole.files.items() if coder == "huffman")
    assert row[4] == pytest.approx(whole.float_bytes / row[3])
    assert {line[4] for line in published} == {28, 27, 33}
    study.plot(found).canvas.draw()


@needs_data
def test_streams_of_squeezenet_add_up() -> None:
    every = study.networks.squeezenet_weights()
    cells = [study.streams_of(name, weight) for name, weight in list(every.items())[:4]]
    (*rows, total) = study.streams_table(cells).rows
    assert total[1] == sum(row[1] for row in rows) == sum(
        np.count_nonzero(weight) for weight in list(every.values())[:4])
    assert total[5] == sum(row[5] for row in rows) and total[6] == total[5] / total[1]
    assert all(row[9] < row[5] for row in rows)
