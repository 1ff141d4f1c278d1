"""A `.pt2` file looked at before torch opens it, so that nothing in it runs.

torch.export.load unpickles what the file asks it to, evaluates its size expressions, runs its
guards and imports what its trees of arguments name. A plain export needs none of that: its weights
are bytes, the rest is JSON. What torch gets to read is a new archive of the members that were
looked at; the sample inputs, the one pickle of a plain export, are left out.
"""

from __future__ import annotations

import ast
import io
import json
import math
import pickletools
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from ..errors import CompileError

Members = dict[str, bytes]

TRUST = "if you trust who made the file, go on with --trust"
AGAIN = "write it again with torch.export.save"

MODEL = "models/model.json"
SAMPLES = "data/sample_inputs/model.pt"
TENSORS = {"data/weights/": "data/weights/model_weights_config.json",
           "data/constants/": "data/constants/model_constants_config.json"}
KNOWN = re.compile(r"data/(weights/(weight_\d+|model_weights_config\.json|model\.pt)"
                   r"|constants/(tensor_\d+|model_constants_config\.json|model\.pt))"
                   r"|models/model\.json"
                   r"|archive_format|archive_version|byteorder|(\.data/)?version"
                   r"|\.format_version|\.storage_alignment|\.data/serialization_id")
EXTRA = "extra/"                  # the user's notes

# the layout before torch 2.8
OLD_MODEL = "serialized_exported_program.json"
OLD_SAMPLES = "serialized_example_inputs.pt"
OLD_PICKLES = ("serialized_state_dict.pt", "serialized_constants.pt")
OLD_EXTRA = "extra_files/"

# operations that only compute, or hold a graph that is looked at too; two of torch's own write
# files, some believe what they are told of memory
TARGET = re.compile(r"torch\.ops\.aten\.(?!(save|from_file|\w*unsafe(?!_view)\w*|_index_put_impl\w*"
                    r"|\w*sparse\w*)\.)\w+\.\w+|torch\.sym_\w+|_operator\.\w+|math\.\w+"
                    r"|torch\.ops\.higher_order\.(cond|map_impl|while_loop|scan"
                    r"|wrap_with_set_grad_enabled|wrap_with_autocast)")
TREES = (None, "builtins.tuple", "builtins.list", "builtins.dict")
SIZE_CALLS = {"Symbol", "Integer", "Float", "Rational", "Add", "Mul", "Max", "Min", "Mod",
              "FloorDiv", "CeilDiv", "CleanDiv", "PythonMod", "ModularIndexing", "IntTrueDiv",
              "Where", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "And", "Or", "Not"}
SIZE_NODES = (ast.Expression, ast.Call, ast.keyword, ast.Name, ast.Constant, ast.BinOp, ast.UnaryOp,
              ast.Load, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.USub)
SYMBOL = re.compile(r"[a-z]+\d+")

PICKLED = re.compile(r"torch (\w+Storage|Size|device|(b?float|u?int|complex)\d+|bool)"
                     r"|torch\.storage (Untyped|Typed)Storage|collections OrderedDict"
                     r"|torch\._utils _rebuild_(tensor_v2|parameter)")
CALLING = ("STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4")


def harmless(data: bytes, where: str) -> bytes:
    """The export of a `.pt2` file's bytes as an archive that torch reads without running anything.

    Guards and sample inputs are left out, tensors of other devices are on the CPU. Raises
    CompileError, which begins with `where`, for what no plain export holds.
    """
    return _Archive(where).harmless(data)


class _Archive:
    """One file; `where` begins its sentences."""

    def __init__(self, where: str) -> None:
        self.where = where

    def harmless(self, data: bytes) -> bytes:
        members = self._members(data)
        if OLD_MODEL in members:
            return _packed(self._old(members))
        return _packed(self._new(_rootless(members)))

    def refuse(self, what: str, remedy: str = TRUST) -> CompileError:
        return CompileError(f"{self.where}: {what}; {remedy}")

    def _members(self, data: bytes, inside: str = "") -> Members:
        """Every member of an archive; inside: the member of the file that it is, if any."""
        what = f"its member {inside}" if inside else "it"
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                entries = archive.infolist()
                names = [entry.filename for entry in entries]
                twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
                if twice:
                    raise self.refuse(f"{what} holds two members {twice}", AGAIN)
                packed = next((e.filename for e in entries
                               if e.compress_type != zipfile.ZIP_STORED), None)
                if packed:
                    raise self.refuse(f"{what} holds the member {packed} compressed", AGAIN)
                if sum(entry.file_size for entry in entries) > len(data):
                    raise self.refuse(f"{what} holds members that overlap", AGAIN)
                return {entry.filename: archive.read(entry) for entry in entries}
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, EOFError,
                ValueError) as error:
            raise self.refuse(f"{what} is no archive of torch.export.save ({error})",
                              AGAIN) from None

    # ---- layouts ---------------------------------------------------------------------------
    def _new(self, members: Members) -> Members:
        if MODEL not in members:
            raise self.refuse(f"it holds no {MODEL}", AGAIN)
        members = {name: value for name, value in members.items() if not name.startswith(EXTRA)}
        out = {name: value for name, value in members.items() if name != SAMPLES}
        odd = next((name for name in out if not KNOWN.fullmatch(name)), None)
        if odd:
            raise self.refuse(f"it holds the member {odd!r}, which can run code and no plain "
                              "export has")
        for folder, config in TENSORS.items():
            if f"{folder}model.pt" in out:         # as torch 2.8 has them
                out[f"{folder}model.pt"] = self._pickle(out[f"{folder}model.pt"],
                                                        f"{folder}model.pt")
            else:
                out[config] = self._tensors(out, folder, config)
        out[MODEL] = self._model(out, MODEL)
        return {f"model/{name}": value for name, value in (out | {SAMPLES: b""}).items()}

    def _old(self, members: Members) -> Members:
        out = {"version": members.get("version", b""), OLD_SAMPLES: b"",
               OLD_MODEL: self._model(members, OLD_MODEL)}
        odd = next((name for name in members if name not in (*out, *OLD_PICKLES)
                    and not name.startswith(OLD_EXTRA)), None)
        if odd:
            raise self.refuse(f"it holds the member {odd!r}, which no plain export has")
        for name in OLD_PICKLES:
            out[name] = self._pickle(members.get(name, b""), name)
        return out

    # ---- tensors ---------------------------------------------------------------------------
    def _tensors(self, members: Members, folder: str, name: str) -> bytes:
        """The table that says where each tensor's bytes are."""
        table = self._json(members, name)
        try:
            for path, entry in table["config"].items():
                self._tensor(members, path, folder + entry["path_name"], entry)
        except (KeyError, TypeError, AttributeError, ValueError):
            raise self.refuse(f"its member {name} is no table of tensors", AGAIN) from None
        return json.dumps(_on_cpu(table)).encode()

    def _tensor(self, members: Members, path: str, member: str, entry: Any) -> None:
        if entry["use_pickle"] is not False or not KNOWN.fullmatch(member):
            raise self.refuse(f"its member {member} ({path}) is a pickled object, and those can "
                              "run code")
        count = math.prod(size["as_int"] for size in entry["tensor_meta"]["sizes"])
        if count > 0 and not members[member]:
            raise self.refuse(f"it holds no values of {path}",
                              "export the network with its weights loaded")

    def _pickle(self, data: bytes, member: str) -> bytes:
        """A file of torch.save that holds tensors only."""
        if not data:
            return data
        parts = self._members(data, member)
        for name, value in parts.items():
            if name.rpartition("/")[2].endswith(".pkl"):
                self._opcodes(value, member)
        return _packed(parts)

    def _opcodes(self, data: bytes, member: str) -> None:
        """Read a pickle without running it: it names what it would call."""
        try:
            for opcode, argument, _ in pickletools.genops(data):
                called = str(argument) if opcode.name == "GLOBAL" else opcode.name
                if called in CALLING or opcode.name == "GLOBAL" and not PICKLED.fullmatch(called):
                    raise self.refuse(f"its member {member} is a pickle that calls {called!r}, and "
                                      "that can run code")
        except (ValueError, UnicodeError, IndexError):
            raise self.refuse(f"its member {member} is no pickle of tensors", AGAIN) from None

    # ---- the model -------------------------------------------------------------------------
    def _json(self, members: Members, name: str) -> Any:
        try:
            return json.loads(members[name])
        except (KeyError, ValueError, RecursionError):
            raise self.refuse(f"it holds no {name} that can be read", AGAIN) from None

    def _model(self, members: Members, name: str) -> bytes:
        model = self._json(members, name)
        if not isinstance(model, dict):
            raise self.refuse(f"its member {name} is no model", AGAIN)
        model = {key: value for key, value in model.items() if key != "guards_code"}
        for key, value in _walk(model):
            if key in ("target", "as_operator") and not TARGET.fullmatch(str(value)):
                raise self.refuse(f"{name} calls {value!r}, which does more than compute")
            if key == "expr_str" and not _is_size(value):
                raise self.refuse(f"{name} evaluates {value!r}, which is no size")
            if key in ("in_spec", "out_spec") and not _is_tree(value):
                raise self.refuse(f"{name} packs its inputs or outputs in {value!r}, not in "
                                  "tuples, lists and dictionaries")
        return json.dumps(_on_cpu(model)).encode()


# ---- JSON ----------------------------------------------------------------------------------
def _walk(value: Any) -> Iterator[tuple[str, Any]]:
    """Every (key, value) of every dictionary, however deep."""
    ahead = [value]
    while ahead:
        found = ahead.pop()
        if isinstance(found, dict):
            yield from found.items()
            ahead += found.values()
        elif isinstance(found, list):
            ahead += found


def _on_cpu(value: Any) -> Any:
    """The same, with every device the CPU."""
    if isinstance(value, list):
        return [_on_cpu(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"type", "index"}:
        return {"type": "cpu", "index": None}
    return {key: _on_cpu(item) for key, item in value.items()}


def _is_size(text: Any) -> bool:
    """A sum, product or comparison of numbers and symbols."""
    try:
        parts = list(ast.walk(ast.parse(str(text), mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return len(parts) < 1000 and all(map(_is_size_part, parts))


def _is_size_part(part: ast.AST) -> bool:
    if isinstance(part, ast.Call):
        return isinstance(part.func, ast.Name)
    if isinstance(part, ast.Name):
        return part.id in SIZE_CALLS or bool(SYMBOL.fullmatch(part.id))
    if isinstance(part, ast.Constant):
        return not isinstance(part.value, str) or bool(SYMBOL.fullmatch(part.value))
    return isinstance(part, SIZE_NODES)


def _is_tree(text: Any) -> bool:
    """Tuples, lists and dictionaries of names, of which torch imports nothing."""
    try:
        _, tree = json.loads(text)
        return all(_is_tree_part(key, value) for key, value in _walk(tree))
    except (TypeError, ValueError, RecursionError):
        return False


def _is_tree_part(key: str, value: Any) -> bool:
    if key == "type":
        return value in TREES
    if key != "context" or value is None:
        return True
    names = json.loads(value)
    return names is None or isinstance(names, list) and all(
        isinstance(name, str | int) for name in names)


# ---- archives ------------------------------------------------------------------------------
def _rootless(members: Members) -> Members:
    """Names without the folder that torch puts everything in."""
    return {name.partition("/")[2] or name: value for name, value in members.items()}


def _packed(members: Members) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, value in members.items():
            archive.writestr(name, value)
    return out.getvalue()
