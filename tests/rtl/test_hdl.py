"""Benches, files and cache of the HDL engines, on a small hand-written machine."""

import time
from pathlib import Path

import numpy as np
import pytest
from kcnn.arch import isa
from kcnn.arch.config import Config
from kcnn.arch.engine import MemoryModel
from kcnn.arch.program import Program
from kcnn.rtl import benchfiles, hdl, toolchain
from tools import need

HERE = Path(__file__).parent
TINY = Config.preset("tiny")
WORDS = 32
MODELS = [MemoryModel.fixed(0), MemoryModel.fixed(8), MemoryModel.random(1),
          MemoryModel.random(2, 3)]


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(params=hdl.ENGINES)
def engine(request, monkeypatch, cache):
    """An engine whose converted machine is the dummy."""
    need(*toolchain.TOOLS[request.param].programs)
    monkeypatch.setattr(toolchain.cache, "place", lambda: cache)
    monkeypatch.setattr(hdl, "converted", lambda config, language: (
        HERE / {"verilog": "dummy.v", "vhdl": "dummy.vhd"}[language],))
    monkeypatch.setattr(hdl, "tensors_from", lambda program, writes, ends, memory: {})
    return request.param


def program():
    """Instructions whose marks the dummy makes: one LOAD, one STORE."""
    instructions = (isa.Load(address=0, row=0, rows=4), isa.Store(address=4, row=0, rows=4),
                    isa.End())
    return Program(TINY, instructions, b"", b"", (), (), (), (), 4 * WORDS)


def memory_of(words):
    memory = np.zeros(4 * WORDS, np.uint8)
    memory[:4 * len(words)] = np.array(words, "<u4").view(np.uint8)
    return memory


def beats(model, command, first, count):
    """Cycles of a burst's beats by the protocol: its command is visible in cycle `command`."""
    cycle, out = command, []
    for j in range(count):
        cycle += 1 + model.wait(first + j, j == 0)
        out.append(cycle)
    return out


@pytest.mark.parametrize("model", MODELS, ids=["0", "8", "random1", "random2"])
def test_bench_follows_the_port_protocol(engine, model):
    words = [0x12345678, 0x9ABCDEF0, 0x0F1E2D3C, 0xFFFFFFFF]
    result = hdl.simulate(program(), memory_of(words), model, engine)
    reads = beats(model, 1, 0, 4)
    stores = beats(model, reads[-1] + 1, 4, 4)
    assert result.cycles == stores[-1] + 1
    assert result.starts.tolist() == [1, reads[-1] + 1, -1]
    assert result.ends.tolist() == [reads[-1] + 1, stores[-1] + 1, -1]
    after = result.memory.view("<u4")
    assert after[:4].tolist() == words
    assert after[16:20].tolist() == [w ^ 0xFFFFFFFF for w in words]
    assert not after[4:16].any() and not after[20:].any()


def test_writes_are_traced_cell_by_cell(engine):
    words = [0x12345678, 0x1ABCDEF1, 0x00000000, 0x7654325A]
    writes = hdl.simulate(program(), memory_of(words), MODELS[0], engine).writes
    assert writes.cycle.tolist() == [3, 4, 5, 6]
    assert writes.row.tolist() == [0, 1, 2, 3]
    for word, mask, codes in zip(words, writes.mask, writes.codes, strict=True):
        assert mask.tolist() == [bool(word >> c & 1) for c in range(8)]
        assert codes.tolist() == [(word >> 4 * c & 15) * (word >> c & 1) for c in range(8)]


def test_a_write_of_two_rows_becomes_two(engine):  # bit 31: the odd word is one row further
    words = [0x8765430F, 0x876543F0, 0x876543FF, 0x12345611]
    writes = hdl.simulate(program(), memory_of(words), MODELS[0], engine).writes
    assert writes.cycle.tolist() == [3, 4, 5, 5, 6]
    assert writes.row.tolist() == [0, 2, 2, 3, 3]
    assert writes.codes.tolist() == [[15, 0, 3, 4, 0, 0, 0, 0], [0, 0, 0, 0, 5, 6, 7, 8],
                                     [15, 15, 3, 4, 0, 0, 0, 0], [0, 0, 0, 0, 5, 6, 7, 8],
                                     [1, 0, 0, 0, 4, 0, 0, 0]]
    assert writes.mask.sum(axis=1).tolist() == [4, 4, 4, 4, 2]


@pytest.mark.parametrize("first, sentence", [
    (0xFFFFFFFF, "the machine hangs: nothing happened from cycle"),
    (0xFFFFFFFE, "asked for external memory at byte 2147483648"),
    (0xFFFFFFFD, "while another one was running")])
def test_misbehaviour_is_named(engine, first, sentence, tmp_path):
    vcd = tmp_path / "a.vcd" if engine == "ghdl" else None
    with pytest.raises(hdl.EngineError, match=sentence):
        hdl.simulate(program(), memory_of([first, 1, 2, 3]), MODELS[0], engine, vcd)
    assert vcd is None or "$enddefinitions" in vcd.read_text()


def test_waveforms_are_written(engine, tmp_path):
    vcd = tmp_path / "a.vcd"
    hdl.simulate(program(), memory_of([1, 2, 3, 4]), MODELS[0], engine, vcd)
    assert "$enddefinitions" in vcd.read_text()
    assert list(tmp_path.iterdir()) == [vcd]


def test_an_early_mark_is_missed(engine):
    longer = Program(TINY, (isa.Fill(row=0, rows=1, code=0), *program().instructions),
                     b"", b"", (), (), (), (), 4 * WORDS)
    with pytest.raises(hdl.EngineError, match="COMPUTE unit took 0 instructions of its 1"):
        hdl.simulate(longer, memory_of([1, 2, 3, 4]), MODELS[0], engine)


def test_simulators_are_built_once(engine, monkeypatch):
    hdl.simulate(program(), memory_of([1, 2, 3, 4]), MODELS[0], engine)

    def refuse(*_):
        raise AssertionError("built again")

    monkeypatch.setattr(toolchain, "_run_tool", refuse)
    hdl.simulate(program(), memory_of([1, 2, 3, 4]), MODELS[1], engine)


@pytest.mark.parametrize("engine_name", hdl.ENGINES)
def test_a_missing_tool_is_named(engine_name, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(toolchain.ToolError, match="needs .* 'apt-get install "):
        hdl.simulate(program(), memory_of([1]), MODELS[0], engine_name)


def test_a_failing_tool_is_named(tmp_path, monkeypatch, cache):
    need("iverilog")
    monkeypatch.setattr(toolchain.cache, "place", lambda: cache)
    bad = tmp_path / "machine.v"
    bad.write_text("module machine; wire\n")
    with pytest.raises(toolchain.ToolError, match="engine icarus: iverilog .* failed: "):
        toolchain.build("icarus", toolchain.Machine((bad,), ()))
    assert not [p for p in cache.iterdir() if p.name.startswith(".")]


def test_undefined_values_are_refused(tmp_path):
    file = tmp_path / "writes.hex"
    file.write_text("00000010 7ff 7ff 01 00000005\n00000011 001 001 03 000000x5\n")
    with pytest.raises(hdl.EngineError, match="cycle 17 is undefined"):
        benchfiles.read_writes(file, TINY)
    file = tmp_path / "memory.hex"
    file.write_text("00000010\n0000XX00\n")
    with pytest.raises(hdl.EngineError, match="at byte 4 of"):
        benchfiles.read_memory(file, 8, 4)


@pytest.mark.parametrize("bits", range(4, 9))
def test_codes_of_any_width_are_cut_out(tmp_path, bits):
    config = Config("any", 16, 4, 1, bits, 1 << 14, 64, 64, 64)
    rng = np.random.default_rng(bits)
    mask, codes = rng.integers(0, 2, (50, 32)), rng.integers(0, 1 << bits, (50, 32))
    lines = []
    for i in range(50):
        m = sum(int(b) << c for c, b in enumerate(mask[i]))
        v = sum(int(x) << c * bits for c, x in enumerate(codes[i]))
        lines.append(f"{i * 77:08x} {i:03X} {i:03x} {m:08x} {v:0{8 * bits}x}\n")
    (tmp_path / "writes.hex").write_text("".join(lines))
    writes = benchfiles.read_writes(tmp_path / "writes.hex", config)
    assert writes.cycle.tolist() == [77 * i for i in range(50)]
    assert writes.row.tolist() == list(range(50))
    assert (writes.mask == mask).all() and (writes.codes == codes).all()


def test_memory_files_round_trip(tmp_path):
    data = np.random.default_rng(0).integers(0, 256, 1001).astype(np.uint8)
    for width in (4, 8, 64):
        lines = benchfiles.write_memory(tmp_path / "m", data, width)
        assert lines == -(-1001 // width)
        assert (benchfiles.read_memory(tmp_path / "m", 1001, width) == data).all()


def test_long_traces_are_read_in_seconds(tmp_path):
    line = b"00000010 7ff 7ff 01 00000005\n"
    (tmp_path / "writes.hex").write_bytes(line * 1_000_000)
    began = time.perf_counter()
    writes = benchfiles.read_writes(tmp_path / "writes.hex", TINY)
    assert time.perf_counter() - began < 10
    assert len(writes.cycle) == 1_000_000 and writes.codes[-1, 0] == 5
