"""Metadata: every key has a rule, and nothing else is read or made."""

import dataclasses
import json

import pytest
from kcnn.arch import meta, records
from kcnn.arch.errors import FormatError
from kcnn.arch.meta import Meta

LEGAL = {
    "source": "net.pt2", "kcnn": "0.1.0", "clusters": 16, "seed": -3, "float32_bytes": 1 << 40,
    "output_dims": {"output": 2, "maps": 4}, "nodes": ("x", "", "conv"),
    "exponents": {"conv": (0, -3, 60)},
    "preprocess": {"order": (1, 0), "scale": (0.5, 2.0), "offset": (-1.0, 0.0), "channels": 2,
                   "channels_last": True},
    "likeness": {"low": -1.0, "high": 2.5, "mean": (0.0, 1.0), "spread": (0.1, 0.2)},
    "fidelity": {"calibration": {"images": 3, "outputs": ({
        "name": "output", "sqnr": 20.5, "varying": None, "typical": 19.0, "equal": False,
        "agreement": 3},)}, "held_back": None,
        "worst": {"layer": "conv", "step": "fixed point"}}}
AFFINE, LIKENESS, FIDELITY = LEGAL["preprocess"], LEGAL["likeness"], LEGAL["fidelity"]
ILLEGAL = [
    ("source", 3), ("source", ""), ("source", "\x1b[2J"), ("source", "x" * 256), ("kcnn", ["0.1"]),
    ("clusters", 0), ("clusters", 1.0), ("clusters", True), ("seed", 1 << 63), ("seed", "0"),
    ("float32_bytes", -1), ("float32_bytes", [1]), ("float32_bytes", {}),
    ("output_dims", {"output": 5}), ("output_dims", {"output": "2"}), ("output_dims", [2]),
    ("output_dims", {"\u202eevil": 2}), ("output_dims", {str(i): 1 for i in range(65537)}),
    ("nodes", "conv"), ("nodes", [3]), ("nodes", ["a\nb"]), ("nodes", [["conv"]]),
    ("nodes", ["x"] * 65537), ("nodes", {"x": 1}),
    ("exponents", {"conv": [61]}), ("exponents", {"conv": []}), ("exponents", {"conv": [0.5]}),
    ("exponents", {"conv": 1}), ("exponents", {"": [1]}), ("exponents", [[1]]),
    ("preprocess", "another"), ("preprocess", 3), ("preprocess", AFFINE | {"order": [-1, 0]}),
    ("preprocess", AFFINE | {"scale": [1.0]}), ("preprocess", AFFINE | {"channels": 0}),
    ("preprocess", AFFINE | {"channels_last": 1}), ("preprocess", AFFINE | {"offset": [None, 0.0]}),
    ("likeness", LIKENESS | {"low": float("nan")}), ("likeness", LIKENESS | {"spread": [1.0]}),
    ("likeness", LIKENESS | {"spread": [-1.0, 1.0]}), ("likeness", [0.0]),
    ("fidelity", [20.5]),
    ("fidelity", FIDELITY | {"held_back": {}}), ("fidelity", FIDELITY | {"worst": "conv"}),
    ("fidelity", FIDELITY | {"calibration": {"images": 0, "outputs": []}}),
    ("fidelity", FIDELITY | {"calibration": {"images": 3, "outputs": [{"name": "y"}]}})]


def test_every_key_has_a_legal_value_here():
    assert set(LEGAL) == {field.name for field in dataclasses.fields(Meta)}


def test_json_and_back():
    full = Meta(**LEGAL)
    text = records.canonical(full.to_plain())
    assert meta.from_plain(json.loads(text), "here") == full
    assert json.loads(text)["nodes"] == ["x", "", "conv"]


def test_what_is_not_known_is_not_written():
    assert Meta().to_plain() == {} and meta.from_plain({}, "here") == Meta()
    assert Meta(seed=0).to_plain() == {"seed": 0}


def test_lists_become_tuples():
    assert Meta(nodes=["a", "b"]) == Meta(nodes=("a", "b"))


@pytest.mark.parametrize("key, value", ILLEGAL)
def test_values_that_break_their_rule(key, value):
    with pytest.raises(FormatError) as caught:
        meta.from_plain({key: value}, "here")
    said = str(caught.value)
    assert said.startswith(f"here: metadata: {key} must be ") and said.isprintable()
    assert said.endswith("; recompile the network") and len(said) < 400


def test_the_whole_sentence():
    with pytest.raises(FormatError) as caught:
        Meta(float32_bytes=-1)
    assert str(caught.value) == ("metadata: float32_bytes must be an integer from 0 to "
                                 "9223372036854775807, found -1; recompile the network")


def test_unknown_keys_are_refused():
    with pytest.raises(FormatError) as caught:
        meta.from_plain({"\x1b[31m": 1}, "here")
    assert str(caught.value) == (r"here: metadata has no key '\x1b[31m'; use the kcnn that wrote "
                                 "it, or recompile the network")


@pytest.mark.parametrize("rule, legal, illegal", [
    (meta.number(0), [0.0, 1e300], [1, -1.0, float("nan"), float("inf"), "1.0", None, True]),
    (meta.one_of("a", "b"), ["a"], ["c", None, ("a",)]),
    (meta.optional(meta.integer(0, 1)), [None, 0], [2, "0"]),
    (meta.several(meta.integer(0, 1), 1, 2), [(0,), (1, 0)], [(), (0, 0, 0), (2,), [0], "0"]),
    (meta.either(meta.TRUTH, meta.one_of("a")), [True, False, "a"], [0, "b", None]),
    (meta.record(x=meta.NAME, y=meta.number()), [{"x": "a", "y": 1.5}],
     [{"x": "a"}, {"x": "a", "y": 1.5, "z": 1}, {"x": "", "y": 1.5}, ("x", "y")]),
])
def test_rules(rule, legal, illegal):
    assert all(map(rule.holds, legal)) and not any(map(rule.holds, illegal))
    assert rule.wanted.isprintable()
