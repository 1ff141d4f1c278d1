"""The stream fetcher against the naive one, with a consumer that frees the buffers late."""

import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kcnn.arch import stream
from kcnn.arch.engine import MemoryModel
from kcnn.arch.errors import FormatError
from kcnn.arch.isa import Run
from kcnn.tlm import stream_fetch
from kcnn.tlm.channel import own_signals, simulate
from kcnn.tlm.port import Port
from kcnn.tlm.stream_fetch import StreamFetch
from machine_programs import CONFIGS
from naive_blocks import Fetch
from naive_blocks import Port as NaivePort

FIELDS = {f.name: 0 for f in Run.FIELDS} | {
    name: 1 for name in ("stream_units", "pitch", "image_rows", "images", "height", "width",
                         "split", "digits", "channels")}


def streams(rng, config, count):
    """External memory with `count` streams, and their RUNs."""
    data, runs = b"", []
    for _ in range(count):
        records = []
        for _ in range(rng.integers(1, 8)):
            taps = int(rng.integers(0, config.tap_slots + 1) * (rng.random() < 0.9))
            positions = np.sort(rng.choice(900, taps, replace=False))
            cut = np.sort(rng.integers(0, taps + 1, 3))
            parts = [p for p in np.split(positions, cut) if len(p)]
            records.append(stream.ChannelStream(1, 2, tuple(
                stream.Cluster(3, p, rng.random(len(p)) < 0.5) for p in parts)))
        code = stream.encode_stream(records)
        runs.append(Run(**FIELDS | {"stream": len(data) // 16, "channels": len(records),
                                    "stream_units": len(code) // 16, "kernel_bits": 5}))
        data += code
    return np.frombuffer(data, np.uint8), runs


def clocked(config, model, external, runs, delays):
    """Cycle in which each channel is full, in which its last slot is presented, and the end."""
    machine = types.SimpleNamespace(config=config, model=model, external=external, later=[])
    machine.port, machine.fetch = NaivePort(machine), None
    fetch, queue = Fetch(machine), list(runs)
    full, presented, number, t, idle = [], [], 0, 0, 0
    fetch.mailbox = queue.pop(0)
    while fetch.run is not None or fetch.mailbox is not None or number < len(delays):
        buffer = number % 2
        if number < len(delays) and fetch.full[buffer]:
            if len(full) == number:
                full.append(t)
            if t == full[-1] + delays[number]:
                presented.append(t)
                number += 1
                machine.later.append(lambda b=buffer: fetch.full.__setitem__(b, False))
        taken = fetch.mailbox is not None and fetch.run is None
        fetch.step(t)
        machine.port.step(t)
        fetch.clock()
        machine.port.clock()
        for change in machine.later:
            change()
        machine.later.clear()
        if taken and queue:
            fetch.mailbox = queue.pop(0)
        t += 1
        idle = t + 1 if fetch.run is not None else idle
    return full, presented, idle


def transactions(config, model, external, runs, delays):
    """The same of the TLM's block."""
    full, presented, idle = [], [], []
    with own_signals():
        port = Port(model)
        fetch = StreamFetch(config, port, external)

        def giver():
            for run in runs:
                free = yield from fetch.mailbox.place()
                fetch.give(run, free)
            idle.append((yield from fetch.quiet()))

        def consumer():
            before = -1
            for wait in delays:
                _, since = yield from fetch.cache.first()
                full.append(max(since, before + 1))
                before = full[-1] + wait
                fetch.cache.take(before + 1)
                presented.append(before)

        simulate([port.arbiter(), fetch.run(), fetch.parser(), giver(), consumer()])
    return full, presented, idle[0]


@settings(max_examples=25)
@given(st.sampled_from(["m1", "m2d2ab5", "p8m4d2ab6"]), st.integers(0, 1 << 30),
       st.sampled_from([1, 20, 400]))
def test_full_buffers_and_credits(name, seed, slow):
    rng, config = np.random.default_rng(seed), CONFIGS[name]
    external, runs = streams(rng, config, 3)
    delays = rng.integers(0, slow, sum(run.channels for run in runs)).tolist()
    model = MemoryModel.random(seed % 7) if seed % 2 else MemoryModel.fixed(seed % 5)
    expected = clocked(config, model, external, runs, delays)
    found = transactions(config, model, external, runs, delays)
    assert found == expected


def test_streams_that_runs_share_are_parsed_once(monkeypatch):
    config, parsed = CONFIGS["m1"], []
    real = stream_fetch.parse
    monkeypatch.setattr(stream_fetch, "parse", lambda *what: parsed.append(what) or real(*what))
    external, runs = streams(np.random.default_rng(3), config, 2)
    external = external.copy()
    fetch = StreamFetch(config, None, external)
    first, second = (fetch._stream(run) for run in runs)
    assert fetch._stream(runs[0]) is first and fetch._stream(runs[1]) is second
    assert len(parsed) == 2
    monkeypatch.setattr(stream_fetch, "KEPT", 0)           # the last one stays
    assert fetch._stream(runs[0]) is first and fetch._stream(runs[1]) is not second
    assert len(parsed) == 3
    external[16 * runs[1].stream] ^= 1                     # a scale
    assert fetch._stream(runs[1]).parsed.scale[0] == second.parsed.scale[0] ^ 1


def broken(change, config=CONFIGS["m1"], taps=4):
    record = stream.ChannelStream(1, 2, (
        stream.Cluster(3, np.arange(taps), np.zeros(taps, bool)),))
    data = change(stream.encode_stream([record]))
    run = Run(**FIELDS | {"stream_units": -(-len(data) // 16)})
    transactions(config, MemoryModel.fixed(0), np.frombuffer(data, np.uint8), [run], [0])


def test_a_stream_that_breaks_a_rule_is_refused():
    with pytest.raises(FormatError, match="channel 0 has 65 taps, the configuration holds 64"):
        broken(bytes, taps=65)
    with pytest.raises(FormatError, match="names base entry 100, the configuration has 64"):
        broken(lambda data: data[:8] + b"\x64" + data[9:], taps=1)
    with pytest.raises(FormatError, match="no bytes follow the last END"):
        broken(lambda data: data[:13], taps=4)
