"""From a module to a compiled network."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from kcnn import api
from kcnn.arch import kbin
from kcnn.arch.config import Config
from kcnn.arch.preprocess import Affine
from kcnn.compiler.stages import Stage


def bytes_of(net):
    return kbin.save(net.program)


def test_a_module_an_export_and_a_file_give_the_same_program(work, tmp_path):
    x = torch.from_numpy(work.ready)
    exported = torch.export.export(work.module, (x[:1],))
    torch.export.save(exported, tmp_path / "net.pt2")
    options = {"clusters": 4, "min_sqnr": None}
    nets = [api.compile(model, x, "tiny", **options)
            for model in (work.module, exported, tmp_path / "net.pt2")]
    assert [net.program.meta.source for net in nets] == ["Sequential", "ExportedProgram", "net.pt2"]
    assert len({(net.program.streams, net.program.tables) for net in nets}) == 1
    again = api.compile(work.module, work.ready, Config.preset("tiny"), **options)
    assert bytes_of(again) == bytes_of(nets[0])


def test_a_preprocess_is_kept(work):
    assert isinstance(work.net.kept, Affine) and work.net.program.meta.preprocess is not None
    bare = api.compile(work.module, work.ready, "tiny", min_sqnr=None)
    assert bare.kept is None and bare.program.meta.preprocess is None


def test_stages_can_be_watched_and_stopped(work):
    seen = []
    net = api.compile(work.module, work.ready, "tiny", clusters=4, min_sqnr=None,
                      watch=lambda stage, form: seen.append((stage, form)))
    assert [stage for stage, _ in seen] == list(Stage)
    assert dict(seen)[Stage.PLAN] is net.plan
    first = next(iter(api.stages(work.module, work.ready, "tiny")))
    assert first[0] == Stage.TRACE and str(first[1]) == str(seen[0][1])


def test_early_stages_need_no_images_but_a_model_that_says_what_it_takes(work):
    exported = torch.export.export(work.module, (torch.from_numpy(work.ready[:1]),))
    stages = api.stages(exported, None, "tiny")
    assert [next(stages)[0] for _ in range(2)] == [Stage.TRACE, Stage.CANONICALISE]
    with pytest.raises(api.KcnnError, match="no calibration images"):
        next(stages)
    with pytest.raises(api.KcnnError, match="a module alone does not say what it takes"):
        api.stages(work.module, None, "tiny")


def test_a_plan_shows_itself(work):
    rows = list(ElementTree.fromstring(work.net.plan._repr_html_()).iter("tr"))
    assert len(rows) == 1 + len(work.net.plan.steps)
    assert [cell.text for cell in rows[0]][:3] == ["step", "what", "of"]
    assert [cell.text for cell in rows[1]][:3] == ["0", "LOAD", "input"]


def test_losses_of_every_step_are_told(work):
    found = work.net.explain()
    assert [row["name"] for row in found.to_json()] == ["0", "3"]
    assert len(str(found).splitlines()) == 4


def test_a_poor_network_is_told(work):
    with pytest.warns(api.KcnnWarning, match="less than min_sqnr 90, and most is lost in"):
        api.compile(work.module, work.ready, "tiny", min_sqnr=90)
    assert work.net.warnings() == [] and len(work.net.warnings(90)) == 1


@pytest.mark.parametrize("images, config, said", [
    (lambda x: np.zeros_like(x), "tiny", "calibration: all values are 0.0; give typical images"),
    (lambda x: x.astype(np.uint8), "tiny", "calibration: the array is uint8, not float32"),
    (lambda x: x, "medium", "no configuration 'medium'"),
    (lambda x: x[:, :2], "tiny", "cannot export the network")])
def test_what_cannot_be_compiled_is_refused(work, images, config, said):
    with pytest.raises(api.KcnnError, match=said):
        api.compile(work.module, images(work.ready), config)
