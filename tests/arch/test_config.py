"""Every rule of a configuration has a sentence, and derived sizes are what they say."""

import dataclasses

import pytest
from kcnn.arch.config import Config, bits_for, presets
from kcnn.arch.errors import ConfigError

TINY = Config.preset("tiny")

BROKEN = [
    ({"lanes": 6}, "lanes must be a power of two from 4 to 128, found 6"),
    ({"lanes": 2}, "lanes must be a power of two from 4 to 128, found 2"),
    ({"lanes": 256}, "lanes must be a power of two from 4 to 128, found 256"),
    ({"share": 3}, "share must be 1, 2, 4, 8 or 16 and at most lanes, found 3"),
    ({"share": 8}, "share must be 1, 2, 4, 8 or 16 and at most lanes, found 8"),
    ({"drain": 3}, "drain must be 1, 2 or 4, found 3"),
    ({"drain": 4}, "drain x share must not exceed lanes, found 4 x 2"),
    ({"code_bits": 3}, "code_bits must be 4 to 8, found 3"),
    ({"code_bits": 9}, "code_bits must be 4 to 8, found 9"),
    ({"memory_codes": 8}, "memory_codes must be a power of two, at least four words of lanes "
                          "and at most 1048576, found 8"),
    ({"memory_codes": 3000}, "found 3000"),
    ({"memory_codes": 1 << 21}, "found 2097152"),
    ({"tap_slots": 8}, "tap_slots must be a power of two from 16 to 32768, found 8"),
    ({"base_entries": 100}, "base_entries must be a power of two from 16 to 16384, found 100"),
    ({"port_bits": 48}, "port_bits must be 32, 64, 128, 256 or 512, found 48"),
    ({"port_bits": 64}, "two words of codes (4 bytes) must be whole beats of 64 bits"),
    ({"burst": 8}, "burst must be a power of two, at most 256 beats, at least 64 bytes and whole "
                   "rows of 1 beats, found 8"),
    ({"burst": 512}, "found 512"),
    ({"cores": 2}, "cores must be 1 in this version, found 2"),
    ({"slices": 52}, "slices must be 1 in this version, found 52"),
    ({"outstanding": 4}, "outstanding must be 1 in this version, found 4"),
    ({"skip": 1}, "skip must be 0 in this version, found 1"),
    ({"memory_banks": 4}, "memory_banks must be 1 in this version, found 4"),
    ({"fc_lanes": 8}, "fc_lanes must be 0 in this version, found 8"),
    ({"table_pairs": 4}, "table_pairs must be 2, found 4"),
    ({"offset_entries": 64}, "offset_entries must be 32, found 64"),
    ({"value_bits": 4}, "value_bits must exceed code_bits, found 4"),
    ({"value_bits": 13}, "value_bits must be at most 12, found 13"),
    ({"factor_bits": 13}, "factor_bits must be 2 to 12, found 13"),
    ({"sum_bits": 19}, "sum_bits must be value_bits to 18, found 19"),
    ({"total_bits": 19}, "total_bits must be 20 to 32, found 19"),
    ({"lanes": 4.0}, "lanes must be an integer, found 4.0"),
    ({"lanes": True}, "lanes must be an integer, found True"),
    ({"drain": 0}, "drain must be positive, found 0"),
    ({"fc_lanes": -1}, "fc_lanes must be positive, found -1"),
]


@pytest.mark.parametrize("change, sentence", BROKEN)
def test_each_rule_has_its_sentence(change, sentence):
    with pytest.raises(ConfigError) as caught:
        dataclasses.replace(TINY, **change)
    assert str(caught.value).startswith("configuration 'tiny': ")
    assert sentence in str(caught.value)


def test_presets_are_those_of_the_design():
    assert presets() == ["small", "tiny"]
    small = Config.preset("small")
    assert (TINY.lanes, TINY.share, TINY.drain, TINY.code_bits) == (4, 2, 1, 4)
    assert (TINY.memory_codes, TINY.tap_slots, TINY.base_entries) == (1 << 14, 1 << 10, 256)
    assert (small.lanes, small.share, small.drain, small.code_bits) == (16, 4, 2, 5)
    assert (small.memory_codes, small.tap_slots, small.base_entries) == (1 << 16, 1 << 12, 1 << 10)


def test_derived_sizes():
    small = Config.preset("small")
    assert TINY.row_codes == 8 and TINY.row_bytes == 4 and TINY.rows == 2048
    assert TINY.codes_per_byte == 2 and TINY.beats_per_row == 1 and TINY.position_bits == 13
    assert small.row_codes == 32 and small.row_bytes == 32 and small.rows == 2048
    assert small.codes_per_byte == 1 and small.beats_per_row == 4 and small.address_bits == 16
    assert small.multipliers == 4 and small.drain_steps == 8 and small.word_bits == 80


def test_bits_for_counts():
    assert [bits_for(n) for n in (1, 2, 3, 4, 5, 256, 257)] == [1, 1, 2, 2, 3, 8, 9]


def test_json_round_trip_and_hash():
    for name in presets():
        config = Config.preset(name)
        assert Config.from_json(config.to_json()) == config
        assert dataclasses.replace(config, name="other").hash == config.hash
        assert dataclasses.replace(config, latency=config.latency + 1).hash != config.hash


@pytest.mark.parametrize("text, sentence", [
    ("nonsense", "here: not JSON"),
    ("[1]", "here: not a table of fields"),
    ('{"lane": 4}', "here: unknown field 'lane'; known fields are base_entries, burst"),
    ('{"lanes": 4}', "here: field 'base_entries' is missing"),
])
def test_bad_json_is_refused(text, sentence):
    with pytest.raises(ConfigError, match="here: ") as caught:
        Config.from_json(text, "here")
    assert sentence in str(caught.value)


def test_a_name_must_be_text():
    with pytest.raises(ConfigError, match="here: name must be text, found 3"):
        Config.from_json(TINY.to_json().replace('"tiny"', "3"), "here")


def test_load_takes_presets_and_paths(tmp_path):
    fields = "\n".join(f"{f.name} = {getattr(TINY, f.name)}" for f in dataclasses.fields(TINY)
                       if f.name != "name")
    path = tmp_path / "mine.toml"
    path.write_text(fields)
    mine = Config.load(str(path))
    assert mine.name == "mine" and mine.hash == TINY.hash
    assert Config.load("small") == Config.preset("small")


def test_load_says_what_is_wrong(tmp_path):
    with pytest.raises(ConfigError, match="no configuration 'huge': presets are small, tiny; or"):
        Config.load("huge")
    with pytest.raises(ConfigError, match=r"gone\.toml: cannot be read \(No such file"):
        Config.load(str(tmp_path / "gone.toml"))
    bad = tmp_path / "bad.toml"
    bad.write_text("lanes = = 4")
    with pytest.raises(ConfigError, match=r"bad\.toml: not TOML"):
        Config.load(str(bad))


@pytest.mark.parametrize("changes, sentence", [
    ({"latency": (1 << 16) + 1}, "latency must be at most 65536, found 65537"),
    ({"latency": 1 << 70}, "latency has more than 32 bits: 1180591620717411303424"),
    ({"lanes": 1 << 300}, "lanes has more than 32 bits: an integer of 301 bits"),
    ({"name": "\x1b[2J"}, r"configuration '\x1b[2J': its name must be 1 to 255 printable"),
    ({"name": ""}, "its name must be 1 to 255 printable characters"),
])
def test_every_number_and_the_name_are_bounded(changes, sentence):
    with pytest.raises(ConfigError) as caught:
        dataclasses.replace(Config.preset("tiny"), **changes)
    assert sentence in str(caught.value) and str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["a = " + "[" * 100_000, "latency = " + "9" * 5000, "x" * 70_000,
                                  "name = \"\uffff\"\n\x00"])
def test_files_that_are_no_machine(tmp_path, text):
    path = tmp_path / "m.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="m.toml: (not TOML|holds more than 65536 bytes)"):
        Config.load(str(path))
