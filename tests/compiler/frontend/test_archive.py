"""Files that run code when torch loads them, and that none does here."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import pickle
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from kcnn.compiler.errors import CompileError
from kcnn.compiler.frontend.archive import MODEL, OLD_MODEL
from kcnn.compiler.frontend.model import load_model
from kcnn.compiler.frontend.quiet import quiet
from kcnn.compiler.frontend.trace import trace
from torch import nn
from torch._export.serde.serialize import serialize
from torch.export import Dim, ExportedProgram, export

Change = Callable[[dict[str, bytes]], None]
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"


class Evil:
    """Its pickle makes the file `seen`."""

    def __reduce__(self) -> tuple:
        return exec, ("from pathlib import Path; Path('seen').touch()",)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()).eval()


def exported(module: nn.Module | None = None, **options: Any) -> ExportedProgram:
    return export(module or network(), (torch.ones(2, 1, 5, 5),), **options)


@functools.cache
def saved_once(dynamic: bool) -> dict[str, bytes]:
    dims = {0: Dim("n", min=1, max=8)} if dynamic else {}
    buffer = io.BytesIO()
    with quiet():
        torch.export.save(exported(dynamic_shapes=(dims,)), buffer)
    with zipfile.ZipFile(buffer) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def saved(dynamic: bool = False) -> dict[str, bytes]:
    """The members of a file of torch.export.save, without their folder."""
    return dict(saved_once(dynamic))


@functools.cache
def old() -> dict[str, bytes]:
    """The members of a file as torch wrote it before 2.8."""
    parts = serialize(exported())
    return {"version": b"8.8", OLD_MODEL: parts.exported_program,
            "serialized_state_dict.pt": parts.state_dict,
            "serialized_constants.pt": parts.constants,
            "serialized_example_inputs.pt": parts.example_inputs}


def write(members: dict[str, bytes], path: str = "net.pt2", folder: str = "net/") -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in members.items():
            archive.writestr(folder + name, value)
    return path


def tensors(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "imported.py").write_text("from pathlib import Path\nPath('seen').touch()\n")
    monkeypatch.delitem(sys.modules, "imported", raising=False)
    # torch warns in words that are no concern of these tests
    monkeypatch.setattr("warnings.showwarning", lambda *_, **__: None)


# ---- changes that make a file run code ---------------------------------------------------------
def pickled(config: str, member: str, make: Callable[[], bytes]) -> Change:
    def change(members: dict[str, bytes]) -> None:
        table = json.loads(members[config])
        entry = {"path_name": member.rpartition("/")[2], "is_param": False, "use_pickle": True,
                 "tensor_meta": None}
        members[config] = json.dumps({"config": {**table["config"], "other": entry}}).encode()
        members[member] = make()
    return change


def replaced(member: str, old: str, new: str, count: int = -1) -> Change:
    def change(members: dict[str, bytes]) -> None:
        text = members[member].decode()
        assert old in text
        members[member] = text.replace(old, new, count).encode()
    return change


def guarded(members: dict[str, bytes]) -> None:
    model = json.loads(members[MODEL])
    model["guards_code"] = ["__import__('pathlib').Path('seen').touch() or True"]
    members[MODEL] = json.dumps(model).encode()


def added(member: str, make: Callable[[], bytes]) -> Change:
    return lambda members: members.update({member: make()})


def tree(kind: str, context: object) -> Change:
    return replaced(MODEL, r'{\"type\": \"builtins.dict\", \"context\": \"[]\"',
                    json.dumps(json.dumps({"type": kind, "context": context}))[1:-2])


SIZE = "__import__('pathlib').Path('seen').touch() or 2"
ENUM = [{"__enum__": True, "fqn": "imported:A", "name": "B"}]
FACTORY = {"default_factory_module": "imported", "default_factory_name": "Path", "dict_context": []}

ATTACKS: dict[str, tuple[Change, str]] = {
    "an opaque constant": (
        pickled(CONSTANTS, "data/constants/opaque_obj_0", lambda: pickle.dumps(Evil())),
        r"it holds the member 'data/constants/opaque_obj_0', which can run code and no plain"),
    "a pickled constant": (
        pickled(CONSTANTS, "data/constants/tensor_9", lambda: tensors(Evil())),
        r"its member data/constants/tensor_9 \(other\) is a pickled object, and those can run"),
    "a pickled weight": (
        pickled(WEIGHTS, "data/weights/weight_99", lambda: tensors(Evil())),
        r"its member data/weights/weight_99 \(other\) is a pickled object"),
    "weights of an older layout": (
        added("data/weights/model.pt", lambda: tensors({"x": Evil()})),
        r"its member data/weights/model.pt is a pickle that calls '.* exec', and that can run"),
    "constants of an older layout": (
        added("data/constants/model.pt", lambda: tensors({"x": Evil()})),
        r"its member data/constants/model.pt is a pickle that calls '.* exec', and that can run"),
    "a size": (
        replaced(MODEL, "Symbol('s77', positive=True, integer=True)", SIZE, 1),
        rf"models/model.json evaluates {re.escape(repr(SIZE))}, which is no size"),
    "an enum in the arguments": (
        tree("builtins.dict", json.dumps(ENUM)),
        r"models/model.json packs its inputs or outputs in '.*'"),
    "a factory in the arguments": (
        tree("collections.defaultdict", FACTORY), r"models/model.json packs its inputs or outputs"),
}


def attacked(name: str) -> str:
    members = saved(dynamic=True)
    members[MODEL] = re.sub(rb"Symbol\('s\d+'", b"Symbol('s77'", members[MODEL])
    ATTACKS[name][0](members)
    return write(members)


@pytest.mark.parametrize("name", ATTACKS)
def test_what_runs_code_in_torch_is_refused_by_name(name: str) -> None:
    path = attacked(name)
    with pytest.raises(CompileError, match=rf"^model net.pt2: {ATTACKS[name][1]}.*; if you trust "
                                           "who made the file, go on with --trust$"):
        load_model(path)
    assert not Path("seen").exists()


@pytest.mark.parametrize("name", ATTACKS)
def test_these_files_run_code_in_torch(name: str) -> None:
    """So the tests above are of real attacks; with trust they go on."""
    run_code(attacked(name))


def run_code(path: str) -> None:
    """Trust the file, which runs its code; after that most are no exports."""
    with contextlib.suppress(CompileError):
        load_model(path, trust=True)
    assert Path("seen").exists()


# ---- what is left out --------------------------------------------------------------------------
def unheard(change: Change) -> str:
    members = saved()
    change(members)
    return write(members)


@pytest.mark.parametrize("change", [added("data/sample_inputs/model.pt", lambda: tensors(Evil())),
                                    guarded])
def test_sample_inputs_and_guards_are_never_run(change: Change) -> None:
    program = load_model(unheard(change)).module
    assert isinstance(program, ExportedProgram)
    x = torch.ones(2, 1, 5, 5)
    program.module()(x)
    assert not Path("seen").exists()
    with quiet(), contextlib.suppress(Exception):
        torch.export.load("net.pt2").module()(x)
    assert Path("seen").exists()


# ---- operations --------------------------------------------------------------------------------
@pytest.mark.parametrize("target", [
    "torch.os.system", "torch.hub.load", "torch.ops.aten.save.default", "torch.ops.load_library",
    "torch.ops.aten.from_file.default", "torch.ops.higher_order.aoti_call_delegate", "os.system",
    "torch.ops.aten.relu.default.__class__", "torch.ops.aten._index_put_impl_.default",
    "torch.ops.aten._sparse_coo_tensor_unsafe.default", "torch.ops.aten._unsafe_index.Tensor",
])
def test_operations_that_do_more_than_compute_are_refused(target: str) -> None:
    path = unheard(replaced(MODEL, "torch.ops.aten.relu.default", target))
    with pytest.raises(CompileError, match=rf"models/model.json calls '{target}', which does more "
                                           "than compute; if you trust"):
        load_model(path)


# ---- the layout before torch 2.8 -----------------------------------------------------------------
def of_torch_2_8() -> dict[str, bytes]:
    """The members of a file whose weights and constants are pickled, as torch 2.8 wrote them."""
    members = {name: value for name, value in saved().items() if name not in (WEIGHTS, CONSTANTS)}
    return {**members, "data/weights/model.pt": old()["serialized_state_dict.pt"],
            "data/constants/model.pt": old()["serialized_constants.pt"]}


@pytest.mark.parametrize(("members", "folder"), [(old, ""), (of_torch_2_8, "net/")])
def test_files_of_older_torch_are_read(members: Callable, folder: str) -> None:
    module = network()
    found = load_model(write(members(), folder=folder)).module
    assert torch.equal(found.module()(torch.ones(2, 1, 5, 5)), module(torch.ones(2, 1, 5, 5)))


@pytest.mark.parametrize("member", ["serialized_state_dict.pt", "serialized_constants.pt"])
def test_pickles_of_older_torch_may_hold_tensors_only(member: str) -> None:
    path = write({**old(), member: tensors({"x": Evil()})}, folder="")
    with pytest.raises(CompileError, match=rf"its member {member} is a pickle that calls '.*', and "
                                           "that can run code; if you trust who"):
        load_model(path)
    assert not Path("seen").exists()
    run_code(path)


@pytest.mark.parametrize("data", [
    pickle.dumps(Evil(), protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)])
def test_a_pickle_that_calls_is_refused_in_every_protocol(data: bytes) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", data)
    path = write({**old(), "serialized_state_dict.pt": buffer.getvalue()}, folder="")
    with pytest.raises(CompileError, match=r"is a pickle that calls '(STACK_GLOBAL|\w+ exec)'"):
        load_model(path)


# ---- archives ------------------------------------------------------------------------------------
def test_what_torch_reads_is_what_was_looked_at() -> None:
    """Two members of a name: readers differ in which they take."""
    members = saved()
    write(members)
    with zipfile.ZipFile("net.pt2", "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(f"net/{MODEL}", members[MODEL])
    with pytest.raises(CompileError, match="holds two members net/models/model.json; write it"):
        load_model("net.pt2")


def test_compressed_members_are_refused_before_they_are_read() -> None:
    with zipfile.ZipFile("net.pt2", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/models/model.json", bytes(1 << 24))
    with pytest.raises(CompileError, match="holds the member net/models/model.json compressed;"):
        load_model("net.pt2")


@pytest.mark.parametrize(("name", "value", "sentence"), [
    ("data/aotinductor/model/a.so", b"", "'data/aotinductor/model/a.so', which can run code"),
    ("models/other.json", b"{}", "it holds the member 'models/other.json'"),
    ("../../models/model.json", b"{}", "it holds the member '../../models/model.json'"),
    (MODEL, b"[]", "its member models/model.json is no model; write it again"),
    (MODEL, b"{", "it holds no models/model.json that can be read"),
    (MODEL, b"[" * 100000, "it holds no models/model.json that can be read"),
    (MODEL, b"{}", "torch.export cannot load it.*; write it with torch.export.save of torch 2"),
    (WEIGHTS, b"[]", f"its member {WEIGHTS} is no table of tensors; write it again"),
    (WEIGHTS, b'{"config": {"x": {}}}', f"its member {WEIGHTS} is no table of tensors"),
    ("data/weights/weight_0", b"", "it holds no values of 0.weight; export the network with its"),
])
def test_odd_members_get_a_sentence(name: str, value: bytes, sentence: str) -> None:
    with pytest.raises(CompileError, match=f"^model net.pt2: .*{sentence}"):
        load_model(unheard(added(name, lambda: value)))


@pytest.mark.parametrize(("said", "true"), [
    ('"as_int": 2}, {"as_int": 1}, {"as_int": 3}', '"as_int": 2}, {"as_int": 1}, {"as_int": 5}'),
    ('{"as_int": 2}, {"as_int": 2}, {"as_int": 3}', '{"as_int": 2}, {"as_int": 4}, {"as_int": 3}'),
    ('"as_tensor": {"name": "p_0_bias"}', '"as_tensor": {"name": "p_0_weight"}'),
])
def test_a_file_that_contradicts_itself_is_refused(said: str, true: str) -> None:
    """In the shape of a weight, of a result, in what an operation reads."""
    with pytest.raises(CompileError, match=r"^model net.pt2: (the file contradicts itself \(.*\)|"
                                           r"torch.export cannot load it.*); write it "):
        load_model(unheard(replaced(MODEL, said, true)))


# ---- plain exports -------------------------------------------------------------------------------
class Rich(nn.Module):
    """Shared weights, buffers that are saved and that are not, constants, a part without gradient,
    an operation in place, a dictionary of outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 3)
        self.b.weight = self.a.weight
        self.register_buffer("kept", torch.ones(2, 1, 1))
        self.register_buffer("made", torch.ones(1).expand(2, 3, 3), persistent=False)
        self.constant = torch.full((2, 1, 1), 2.0)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            y = self.a(x)
        y = y * self.kept + self.made + self.constant + torch.tensor([2.0])
        return {"y": y.relu_(), "z": self.b(x)}


@pytest.mark.parametrize(("module", "dtype", "dynamic"), [
    (Rich, torch.float32, {0: "n"}), (Rich, torch.float16, {}), (network, torch.float64, {0: "n"}),
    (network, torch.float32, {0: "n", 2: "h", 3: "w"}),
])
def test_plain_exports_are_taken_as_they_are(module: Callable[[], nn.Module], dtype: torch.dtype,
                                             dynamic: dict[int, str]) -> None:
    torch.manual_seed(0)
    net, x = module().to(dtype).eval(), torch.randn(2, 1, 5, 5).to(dtype)
    dims = {axis: Dim(name, min=4 if axis else 1, max=64) for axis, name in dynamic.items()}
    with quiet():
        program = export(net, (x,), dynamic_shapes=(dims,))
    with Path("net.pt2").open("wb") as file, quiet():
        torch.export.save(program, file, extra_files={"note.txt": "mine"})
    found = load_model("net.pt2").module
    assert isinstance(found, ExportedProgram)
    wanted = net(x)
    with quiet():
        made = found.module()(x)
    for a, b in zip(*(y.values() if isinstance(y, dict) else [y] for y in (wanted, made)),
                    strict=True):
        assert torch.equal(a, b)


def test_an_export_from_another_device_is_on_the_cpu() -> None:
    device = '"device": {"type": "cpu", "index": null}'
    members = saved()
    for name in (MODEL, WEIGHTS):
        replaced(name, device, device.replace("cpu", "cuda").replace("null", "0"))(members)
    graph = trace(load_model(write(members)).module, ())
    assert [node.name for node in graph] == ["input", "0", "1", "2", "output"]
