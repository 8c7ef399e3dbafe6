"""Recordings: events, currents and energies of a run, and the file that survives a kill."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import soen_event as se
from soen_event import recording as module
from soen_event.engine import state as engine_state
from soen_event.engine.compiled import new_log
from soen_event.engine.events import T_KAPPA, T_THETA, TRACE_COLUMNS, touch
from soen_event.engine.jit import compile_function
from soen_event.errors import InputError
from soen_event.physics.loop import HELD, RUN
from soen_event.recording import TABLES, FileSink, MemorySink, Recording, phase_in_turn

quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NO_JIT = bool(int(os.environ.get("NUMBA_DISABLE_JIT", "0")))
HEADER = {
    "loop_ids": ["d1", "d2", "n1.soma"],
    "detector_ids": ["s1", "s2"],
    "neuron_ids": ["n1"],
    "site_ids": ["s1", "s2"],
    "seed": 7,
    "duration_ns": 100.0,
}
OWNERS = {"spikes": 1, "fluxons": 3, "photons": 2, "trace": 3, "writes": 2}


# ---------------------------------------------------------------------------------------------- what is recorded


def chain():
    """Two synapses, two dendrites with external drives through one arm, and a neuron that sends light back."""
    with se.Network() as net:
        se.Synapse("s1", "d1", tau_fall=30.0)
        se.Synapse("s2", "d2", tau_fall=20.0, dead_time=2.0)
        se.Dendrite("d1", ib=1.8, beta_over_2pi=100, tau=100.0)
        se.Dendrite("d2", ib=1.7, beta_over_2pi=60, tau=60.0, phi_offset=0.02)
        se.Neuron(
            "n1",
            soma=se.Soma(ib=1.8, beta_over_2pi=80, tau=50.0, threshold=0.15, after_spike="purge", t_ref=6.0),
            refractory=se.Refractory(),
            transmitter=se.Transmitter(latency=3.0),
        )
        se.Coupling("d1", "d2", J=0.3)
        se.Coupling("d1", "n1", J=0.45)
        se.Coupling("d2", "n1", J=0.3)
        se.Waveguide("n1", "s2", delay=1.5)
        se.Drive("d2", points=[(0.0, 0.0), (40.0, 0.1), (60.0, 0.0)])
        se.Drive("d1", pulses=[se.Pulse(t0=50.0, phi_peak=0.2, tau_rise=1.0, tau_fall=10.0)])
    return net


PHOTONS = {"s1": [3.0, 3.01, 31.0, 44.5], "s2": [12.0, 13.0, 48.0]}
EVERYTHING = ("spikes", "fluxons", "photons", "currents")


@pytest.fixture(scope="module")
def recording():
    rec = se.simulate(chain(), PHOTONS, 90.0, record=EVERYTHING, seed=3)
    assert len(rec.spikes["n1"]) >= 2
    assert min(rec.fluxon_count.values()) > 0
    return rec


@st.composite
def event_rows(draw, table):
    count = draw(st.integers(0, 40))
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    rows = {}
    for name, (kind, shape) in TABLES[table].items():
        if name == "time_fs":
            rows[name] = np.sort(random.integers(0, 10**8, count))
        elif kind.kind == "f":
            rows[name] = random.normal(size=(count, *shape))
        else:
            rows[name] = random.integers(0, OWNERS.get(table, 1) if name != "fate" else 4, count)
    return table, rows


batches = st.lists(
    st.lists(st.sampled_from(sorted(TABLES)).flatmap(event_rows), max_size=6).map(tuple), min_size=1, max_size=4
)


def progress_at(step):
    return {
        "now_fs": step * 1_000_000,
        "counts": {"events": step},
        "fluxons": [step, 2 * step, 0],
        "slip_loss": [0.1 * step, 0.2, 0.0],
        "leak_loss": [0.0, 0.1, 0.0],
        "purge_loss": [0.0, 0.0, 0.3],
        "q_end": [0.25, 0.5, 0.0],
    }


def same_tables(rec, tables):
    return rec.same_events(Recording(None, tables, HEADER, {}))


# ---------------------------------------------------------------------------------------------- files


@quick
@given(batches, st.integers(1, 50), st.sampled_from([None, "gzip", "lzf"]))
def test_every_commit_is_there_whatever_happens_next(tmp_path, batches, chunk, compression):
    """A copy of the file made between two writes is what a kill at that moment leaves."""
    path, copy = tmp_path / "run.h5", tmp_path / "copy.h5"
    memory = MemorySink()
    with FileSink(path, HEADER, overwrite=True, chunk=chunk, compression=compression) as sink:
        committed = memory.tables()
        for step, batch in enumerate(batches, 1):
            for table, rows in batch:
                sink.append(table, rows)
                memory.append(table, rows)
                shutil.copy(path, copy)
                assert same_tables(Recording.load(copy), committed)
            sink.commit(progress_at(step))
            committed = memory.tables()
            for place in (copy, path):  # the file itself is still written
                shutil.copy(path, copy)
                rec = Recording.load(place)
                assert same_tables(rec, committed)
                assert rec.end == float(step)
                assert rec.fluxon_count["d2"] == 2 * step
                assert not rec.complete
                assert rec.status.startswith(f"the run was interrupted at t = {step} ns of 100 ns")
        sink.close(progress_at(100))
    rec = Recording.load(path)
    assert same_tables(rec, committed)
    assert rec.complete and rec.status == "the run is complete: 100 ns"
    assert rec.event_counts == {"events": 100}
    # A plain HDF5 reader sees all rows too.
    with h5py.File(path, "r") as file:
        for table, columns in committed.items():
            for name, column in columns.items():
                assert np.array_equal(file[f"tables/{table}/{name}"][()], column)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy.h5", "run.h5"]


@quick
@given(batches)
def test_save_and_load_give_the_same_recording(tmp_path, batches):
    memory = MemorySink()
    for batch in batches:
        for table, rows in batch:
            memory.append(table, rows)
    rec = Recording(None, memory.tables(), HEADER, progress_at(4))
    rec.save(tmp_path / "run.h5", overwrite=True)
    back = Recording.load(tmp_path / "run.h5")
    assert back.same_events(rec)
    assert back.provenance == rec.provenance
    assert back.status == rec.status == "the run was held at t = 4 ns of 100 ns; call Simulation.run to go on"
    back.save(tmp_path / "again.h5", overwrite=True)
    again = Recording.load(tmp_path / "again.h5")
    assert again.same_events(rec) and again.provenance == rec.provenance


def some_rows(count, start=0):
    """Rows start ... start + count of a sequence of events that anyone can make again."""
    k = np.arange(start, start + count)
    return {
        "spikes": {"time_fs": 1000 * k, "neuron": 0 * k},
        "fluxons": {"time_fs": 1000 * k + 1, "loop": k % 3},
        "photons": {"time_fs": 1000 * k + 2, "detector": k % 2, "fate": k % 4},
        "trace": {
            "time_fs": 1000 * k + 3,
            "loop": k % 3,
            "mode": k % 4,
            "values": np.sqrt(k[:, None] + np.arange(TRACE_COLUMNS)),
        },
        "amplitudes": {"value": 1.0 / (1.0 + k)},
        "writes": {"time_fs": 1000 * k + 4, "site": k % 2, "value": np.cos(k)},
    }


def interrupted_file(path, chunk=16):
    """A file whose writer committed 3 x 30 rows of every table and stopped; and the tables of the last two commits."""
    sink = FileSink(path, HEADER, overwrite=True, chunk=chunk)
    memory, states = MemorySink(), []
    for step in range(3):
        for table, rows in some_rows(30, 30 * step).items():
            sink.append(table, rows)
            memory.append(table, rows)
        sink.commit(progress_at(step + 1))
        states.append(memory.tables())
    bytes_then = path.read_bytes()
    sink.close()
    return bytes_then, states[-2:]


def test_a_torn_commit_leaves_the_one_before(tmp_path):
    before, now = interrupted_file(tmp_path / "whole.h5")[1]
    torn = tmp_path / "torn.h5"
    for keep in (0, 3, 40, 60, 200):  # bytes of the newest slot that were still written
        shutil.copy(tmp_path / "whole.h5", torn)
        assert same_tables(Recording.load(torn), now)
        with h5py.File(torn, "r+") as file:
            slots = [file[f"commit/{k}"] for k in (0, 1)]
            newest = max(slots, key=lambda slot: module._unpacked(slot[()].tobytes())[0])
            newest[keep:] = 255
        rec = Recording.load(torn)
        assert same_tables(rec, before)
        assert rec.end == 2.0
        # Both slots gone: an error that says so.
        with h5py.File(torn, "r+") as file:
            for k in (0, 1):
                file[f"commit/{k}"][50:] = 0
        with pytest.raises(InputError, match="neither of its commit slots is whole"):
            Recording.load(torn)


def chunks_of(path):
    """Where the chunks of all tables lie in a file: {(table, column, first row): (offset, size)}."""
    found = {}
    with h5py.File(path, "r", swmr=True) as file:
        for table, columns in TABLES.items():
            for name in columns:
                stored = file[f"tables/{table}/{name}"].id
                for k in range(stored.get_num_chunks()):
                    chunk = stored.get_chunk_info(k)
                    found[table, name, chunk.chunk_offset[0]] = chunk.byte_offset, chunk.size
    return found


@quick
@given(st.lists(st.integers(1, 40), min_size=2, max_size=8), st.integers(4, 30))
def test_no_chunk_is_written_twice(tmp_path, counts, chunk):
    """So no write can tear rows that were there before it, at whatever byte a kill stops it."""
    path = tmp_path / "run.h5"
    rows, known, bytes_then = 0, {}, b""
    with FileSink(path, HEADER, overwrite=True, chunk=chunk) as sink:
        for count in counts:
            for table, columns in some_rows(count, rows).items():
                sink.append(table, columns)
            rows += count
            sink.commit({"now_fs": rows})
            bytes_now = path.read_bytes()
            for offset, size in known.values():
                assert bytes_now[offset : offset + size] == bytes_then[offset : offset + size]
            shutil.copy(path, tmp_path / "copy.h5")
            later = chunks_of(tmp_path / "copy.h5")
            assert known.items() <= later.items()
            assert len(later) == sum(map(len, TABLES.values())) * (rows // chunk)
            known, bytes_then = later, bytes_now


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_never_loads_as_something_else(tmp_path, data):
    paths = {name: tmp_path / name for name in ("killed.h5", "closed.h5")}
    if not paths["killed.h5"].exists():
        paths["killed.h5"].write_bytes(interrupted_file(paths["closed.h5"])[0])
    path = paths[data.draw(st.sampled_from(sorted(paths)))]
    whole = bytearray(path.read_bytes())
    truth = Recording.load(path)
    if data.draw(st.booleans()):
        for _ in range(data.draw(st.integers(1, 4))):
            whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del whole[data.draw(st.integers(0, len(whole) - 1)) :]
    hurt = tmp_path / "hurt.h5"
    hurt.write_bytes(whole)
    rec = loaded_or_refused(hurt)
    if rec is not None:  # nothing that counts was hit, or the commit before holds
        assert rec.provenance == truth.provenance
        assert rec.end in (truth.end, truth.end - 1.0)
        for table in TABLES:
            for name, (kind, shape) in TABLES[table].items():
                mine, theirs = rec.table(table)[name], truth.table(table)[name]
                assert mine.dtype == kind and mine.shape[1:] == shape
                assert len(mine) == 30 * rec.end and np.array_equal(mine, theirs[: len(mine)])


def loaded_or_refused(path):
    """The recording, or None if it is refused as it should be."""
    try:
        return Recording.load(path)
    except InputError as trouble:
        (fault,) = trouble.faults
    assert fault.startswith(f"{path}: ") and ";" in fault
    return None


def test_a_file_that_was_cut_off_is_read_or_refused_at_once(tmp_path):
    """HDF5 reads its heap of texts for ever if that is zeros; so there is none."""
    path, cut = tmp_path / "killed.h5", tmp_path / "cut.h5"
    path.write_bytes(interrupted_file(tmp_path / "closed.h5")[0])
    whole = path.read_bytes()
    assert b"GCOL" not in whole
    for length in sorted({k * 4096 + more for k in range(len(whole) // 4096 + 1) for more in (0, 1, 48, 2000)}):
        cut.write_bytes(whole[:length])
        loaded_or_refused(cut)


def test_lost_pages_are_noticed(tmp_path):
    """After a power cut pages may come back as zeros, of which HDF5's own checksum is zero too."""
    path = tmp_path / "run.h5"
    interrupted_file(path)
    whole = path.read_bytes()
    for (table, name, _), (offset, size) in chunks_of(path).items():
        path.write_bytes(whole[:offset] + bytes(size) + whole[offset + size :])
        if any(whole[offset : offset + size]):
            with pytest.raises(InputError, match=rf"table {table}, column {name}: its rows are not those that were"):
                Recording.load(path)
    path.write_bytes(whole)
    assert Recording.load(path).end == 3.0


def foreign(path):
    with h5py.File(path, "w") as file:
        file["x"] = [1, 2]


def newer(path):
    interrupted_file(path)
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 5


def without_a_table(path):
    interrupted_file(path)
    with h5py.File(path, "r+") as file:
        del file["tables/fluxons/loop"]


def of_an_unknown_loop(path):
    sink = FileSink(path, HEADER)
    sink.append("fluxons", {"time_fs": [1], "loop": [3]})
    sink.close({"now_fs": 5})


BROKEN = {
    "there is no such file": lambda path: None,
    "is a directory": lambda path: path.mkdir(),
    "is empty": lambda path: path.touch(),
    "is not an HDF5 file": lambda path: path.write_text("synapse,time\ns1,3.0\n"),
    "is HDF5 but not a recording": foreign,
    "is a recording of version 5": newer,
    "is damaged .*table fluxons, column loop: ": without_a_table,
    "is damaged .*belongs to loop 3, and there are 3": of_an_unknown_loop,
    "is damaged": lambda path: path.write_bytes(interrupted_file(path)[0][:3000]),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_files(tmp_path, what):
    path = tmp_path / "run.h5"
    BROKEN[what](path)
    with pytest.raises(InputError, match=what) as caught:
        Recording.load(path)
    (fault,) = caught.value.faults
    assert fault.startswith(f"{path}: ") and ";" in fault


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="permissions do not bind the superuser")
def test_unreadable_file(tmp_path):
    path = tmp_path / "run.h5"
    interrupted_file(path)
    path.chmod(0)
    with pytest.raises(InputError, match=r"can not be read .*permissions"):
        Recording.load(path)


def test_an_existing_file_stays_unless_told_otherwise(tmp_path, recording):
    path = tmp_path / "run.h5"
    recording.save(path)
    old = path.read_bytes()
    for attempt in (lambda: FileSink(path, HEADER), lambda: recording.save(path)):
        with pytest.raises(InputError, match=r"exists already; choose another name or give overwrite=True$"):
            attempt()
        assert path.read_bytes() == old
    with pytest.raises(InputError, match="compression"):
        FileSink(path, HEADER, overwrite=True, compression="zip")
    with pytest.raises(TypeError, match="can not stand in a recording's header"):
        FileSink(path, {**HEADER, "network": object()}, overwrite=True)
    assert path.read_bytes() == old
    sink = FileSink(path, HEADER, overwrite=True, atomic=True)
    assert path.read_bytes() == old  # until it is closed
    sink.close({"now_fs": 1_000_000})
    assert Recording.load(path).end == 1.0
    sink = FileSink(path, HEADER, overwrite=True)
    assert Recording.load(path).end == 0.0  # at once
    sink.close()
    with pytest.raises(InputError, match="is a directory"):
        FileSink(tmp_path, HEADER, overwrite=True)
    with pytest.raises(InputError, match=r"can not be written \(.+\); check the folder"):
        FileSink(tmp_path / "nowhere" / "run.h5", HEADER)
    assert [p.name for p in tmp_path.iterdir()] == ["run.h5"]


def test_two_writers_of_one_name(tmp_path):
    """The name is taken in one step: a file that came into being meanwhile is not replaced."""
    path = tmp_path / "run.h5"
    slow = FileSink(path, HEADER, atomic=True)
    quick = FileSink(path, HEADER, durable=True)
    quick.close({"now_fs": 2_000_000})
    with pytest.raises(InputError, match="exists already"):
        slow.close({"now_fs": 1_000_000})
    assert Recording.load(path).end == 2.0


def test_rows_that_do_not_fit(tmp_path):
    for sink in (MemorySink(), FileSink(tmp_path / "run.h5", HEADER)):
        with sink if isinstance(sink, FileSink) else pytest.raises(ValueError):
            with pytest.raises(ValueError, match="no table 'spike' \\(did you mean 'spikes'"):
                sink.append("spike", {"time_fs": [1], "neuron": [0]})
            with pytest.raises(ValueError, match="has the columns time_fs, neuron; got time_fs"):
                sink.append("spikes", {"time_fs": [1]})
            with pytest.raises(ValueError, match="its columns have the shapes"):
                sink.append("spikes", {"time_fs": [1], "neuron": [0, 0]})
            with pytest.raises(ValueError, match="its columns have the shapes"):
                sink.append("amplitudes", {"value": [[1.0]]})
            if isinstance(sink, MemorySink):
                raise ValueError("so that both are used in the same way")
    with pytest.raises(ValueError, match="the recording is closed"):
        sink.commit({"now_fs": 1})


# ---------------------------------------------------------------------------------------------- kills

# Writes the events of some_rows for ever, and tells after every commit how many rows and commits are acknowledged.
WRITER = """
import os, random, signal, sys, time
sys.path.insert(0, sys.argv[1])
import h5py  # before the fork: it is slow to load
from test_recording import HEADER, some_rows
from soen_event.recording import FileSink

def write(path, told, seed):
    steps = random.Random(seed)
    sink = FileSink(path, HEADER, chunk=steps.choice([3, 64, 1000]), overwrite=True)
    rows = commits = 0
    while True:
        count = steps.choice([1, 10, 500])
        for table, columns in some_rows(count, rows).items():
            sink.append(table, columns)
        rows += count
        if steps.random() < 0.5:
            sink.commit({"now_fs": rows})
            commits += 1
            os.write(told, b"%d %d\\n" % (rows, commits))

for seed in map(int, sys.argv[3:]):
    reader, told = os.pipe()
    path = f"{sys.argv[2]}/{seed}.h5"
    child = os.fork()
    if child == 0:
        try:
            write(path, told, seed)
        finally:
            os._exit(1)
    os.close(told)
    first = os.read(reader, 4096)  # it has begun
    time.sleep(random.Random(-seed).uniform(0.0, 0.15))
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    lines = first
    while part := os.read(reader, 1 << 16):
        lines += part
    os.close(reader)
    rows, commits = lines.decode().rpartition("\\n")[0].splitlines()[-1].split()
    print(path, rows, commits, os.WIFSIGNALED(status), flush=True)
"""


def killed_writers(folder, seeds):
    found = subprocess.run(
        [sys.executable, "-c", WRITER, str(Path(__file__).parent), str(folder), *map(str, seeds)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    total = 0
    for line in found.stdout.splitlines():
        path, rows, commits, killed = line.split()
        assert killed == "True", line
        assert int(commits) > 0
        total += int(commits)
        rec = Recording.load(path)
        spikes = len(rec.table("spikes")["time_fs"])
        assert spikes >= int(rows), line  # the kill may have come between a commit and its report
        assert same_tables(rec, some_rows(spikes)), line
        assert rec.end == spikes * 1e-6
        assert "interrupted" in rec.status
        os.unlink(path)
    assert len(found.stdout.splitlines()) == len(seeds)
    return total


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_writers_leave_what_they_acknowledged(tmp_path):
    assert killed_writers(tmp_path, range(6)) > 6


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_many_killed_writers_leave_what_they_acknowledged(tmp_path):
    assert killed_writers(tmp_path, range(100, 400)) > 300


RUN_FOR_EVER = """
import sys
sys.path.insert(0, sys.argv[1])
import soen_event as se
from test_recording import EVERYTHING, PHOTONS, chain
run = se.Simulation(chain(), PHOTONS, record=EVERYTHING, out=sys.argv[2], seed=3, duration=90.0)
run.run(10.0)
print("begun", flush=True)
for k in range(1, 801):
    run.run(10.0 + 0.1 * k)
print("done", flush=True)
"""


@pytest.mark.skipif(NO_JIT, reason="too slow uncompiled")
def test_a_killed_run_is_the_beginning_of_the_whole_run(tmp_path, recording):
    path = tmp_path / "run.h5"
    with subprocess.Popen(
        [sys.executable, "-c", RUN_FOR_EVER, str(Path(__file__).parent), str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "begun\n"
        time.sleep(0.05)
        live = Recording.load(path)  # while the run goes on
        process.send_signal(signal.SIGKILL)
    rec = Recording.load(path)
    assert 10.0 <= live.end <= rec.end <= 90.0
    assert "interrupted" in rec.status
    for table in ("spikes", "fluxons", "photons", "trace"):
        whole = recording.table(table)
        until = np.searchsorted(whole["time_fs"], round(rec.end * 1e6), side="right")
        for name, column in rec.table(table).items():
            assert np.array_equal(column, whole[name][:until]), (table, name)
    t = np.linspace(0.0, rec.end, 50)
    assert np.array_equal(rec.current("n1", t), recording.current("n1", t))


# ---------------------------------------------------------------------------------------------- currents


@quick
@given(
    st.dictionaries(st.sampled_from(["s1", "s2"]), st.lists(st.floats(0.0, 40.0), max_size=4).map(sorted)),
    st.lists(st.integers(0, 60_000_000), min_size=1, max_size=12).map(sorted),
    st.sampled_from(["fluxon", "flow"]),
)
def test_currents_are_those_of_the_engine_to_the_bit(photons, moments, resolution):
    run = se.Simulation(chain(), photons, record=("fluxons", "currents"), resolution=resolution)
    plan, advanced = run.plan, compile_function(touch)
    records, none = engine_state.packed(plan), np.zeros(0, dtype=np.int64)
    log = new_log(none, none, none, 1, 1, 1)
    found = []
    for fs in moments:
        run.run(fs * 1e-6)
        state = run.state
        for d in range(len(plan.loop_ids)):
            advanced(records, state, log, plan.tau_0, d, fs)
        found.append(state)
    if moments[-1] < 60_000_000:
        run.run(60.0)
    rec = run.recording()
    t = np.array(moments) * 1e-6
    for d, name in enumerate(plan.loop_ids):
        modes = slice(plan.arrays.mode_start[d], plan.arrays.mode_start[d + 1])
        q, psi, leak, steady, ext = (
            np.array([state.loops[d][field] for state in found]) for field in ("q", "psi", "leak", "steady", "ext")
        )
        flux = steady
        for k in range(modes.start, modes.stop):
            flux = flux + np.array([state.amplitude[k] for state in found])
        assert np.array_equal(rec.current(name, t, ramp=False), q + (psi - leak) / plan.arrays.beta[d])
        if resolution == "fluxon":  # else what flowing loops couple in comes on top
            assert np.array_equal(rec.flux(name, t), flux + ext)
        assert np.array_equal(rec.quanta(name, t), q)
        assert np.array_equal(rec.phase(name, t, ramp=False), psi)


def test_compiled_and_plain_sampling_agree(recording, monkeypatch):
    t = np.concatenate([np.linspace(0.0, 90.0, 400), recording.spikes["n1"], recording.fluxons["d1"][:50]])
    found = {}
    for limit in (10**9, -1):
        monkeypatch.setattr(module, "_PYTHON_POINTS", limit)
        monkeypatch.setattr(module, "_sampler_state", {"points": 0, "compiled": None})
        found[limit] = {(name, ramp): recording.current(name, t, ramp=ramp) for name in ("d1", "n1") for ramp in (0, 1)}
        assert (module._sampler_state["compiled"] is None) == (limit > 0)
    for (name, ramp), s in found[-1].items():
        if ramp:  # arctangents are the platform's
            assert s == pytest.approx(found[10**9][name, ramp], rel=0.0, abs=1e-15)
        else:
            assert np.array_equal(s, found[10**9][name, ramp])


@quick
@given(st.lists(st.floats(0.0, 90.0), max_size=30), st.sampled_from(["d1", "d2", "n1", "n1.refractory"]))
def test_any_order_and_shape_of_times(recording, times, name):
    t = np.array(times)
    s = recording.current(name, t)
    assert s.shape == t.shape and s.dtype == float
    order = np.argsort(t)
    assert np.array_equal(recording.current(name, t[order]), s[order])
    assert np.array_equal(recording.current(name, np.stack([t, t[::-1]])), np.stack([s, s[::-1]]))
    for moment, value in zip(times[:3], s, strict=False):
        alone = recording.current(name, moment)
        assert isinstance(alone, float) and alone == value
    assert np.array_equal(recording.current(name, times), s)


def test_a_neuron_stands_for_its_soma(recording):
    t = np.linspace(0.0, 90.0, 100)
    for ask in (recording.current, recording.flux, recording.quanta, recording.phase):
        assert np.array_equal(ask("n1", t), ask("n1.soma", t))
    assert np.array_equal(recording.fluxons["n1"], recording.fluxons["n1.soma"])
    assert recording.fluxon_count["n1"] == len(recording.fluxons["n1.soma"])
    assert "n1" in recording.fluxons and "n1" not in list(recording.fluxons)


def test_the_flux_downstream_is_that_of_the_current_upstream():
    """phi = offset + J s + drives, where no photons come in (design.md 3); s with the phase as of the last quantum."""
    with se.Network() as net:
        se.Synapse("s", "d1")
        se.Dendrite("d1", ib=1.8, beta_over_2pi=100, tau=100.0)
        se.Dendrite("d2", ib=1.7, beta_over_2pi=60, tau=60.0, phi_offset=0.02)
        se.Coupling("d1", "d2", J=0.4)
        ramp = se.Drive("d2", points=[(5.0, 0.01), (20.0, 0.05), (20.0, 0.0), (30.0, -0.04)])
        pulse = se.Drive("d2", pulses=[se.Pulse(t0=7.0, phi_peak=0.1, tau_rise=1.0, tau_fall=10.0)])
    rec = se.simulate(net, {"s": [1.0, 9.0]}, 60.0, record=("fluxons", "currents"))
    t = np.random.default_rng(1).uniform(0.0, 60.0, 2000)
    assert rec.quanta("d1", t).max() > 0.1
    expected = 0.02 + 0.4 * rec.seen("d1", t) + ramp.flux(t) + pulse.flux(t)
    assert rec.flux("d2", t) == pytest.approx(expected, rel=0.0, abs=1e-9)
    current, quanta, seen = rec.current("d1", t, ramp=False), rec.quanta("d1", t), rec.seen("d1", t)
    assert np.abs(seen - current).max() < 0.25 * rec.plan.arrays.quantum[0]
    runs = (t > rec.fluxons["d1"][0]) & (t < 4.0) | (t > 9.1) & (t < rec.fluxons["d1"][-1])
    assert np.abs(seen - current)[runs].mean() < 0.1 * np.abs(quanta - current)[runs].mean()


def test_the_ramp_joins_the_steps(recording):
    """At a fluxon of a running SQUID the staircase jumps by a quantum; the reported current does not."""
    trace = recording.table("trace")
    fluxons = np.round(recording.fluxons["d1"] * 1e6).astype(np.int64)
    d = recording.loop_ids.index("d1")
    mine = trace["loop"] == d
    times, modes = trace["time_fs"][mine], trace["mode"][mine]
    before = np.searchsorted(times, fluxons, side="left") - 1
    running = fluxons[modes[before] == RUN]
    assert len(running) > 50
    earlier, then = (running - 1) * 1e-6, running * 1e-6
    quantum = recording.plan.arrays.quantum[d]
    step = recording.current("d1", then, ramp=False) - recording.current("d1", earlier, ramp=False)
    assert step == pytest.approx(quantum, rel=1e-3)
    smooth = recording.current("d1", then) - recording.current("d1", earlier)
    assert np.abs(smooth).max() < 0.01 * quantum
    # The ramp runs through the steps: it is never further than half a quantum from them.
    t = np.linspace(0.0, 90.0, 5000)
    apart = recording.current("d1", t) - recording.current("d1", t, ramp=False)
    assert 0.3 * quantum < np.abs(apart).max() <= 0.5 * quantum * (1 + 1e-12)


@given(st.floats(0.0, 2.0 * np.pi), st.floats(1e-6, 1.0))
def test_phase_in_turn(theta, slow):
    phase = phase_in_turn(theta, slow)
    assert -np.pi <= phase <= np.pi
    assert phase_in_turn(2.0 * np.pi - theta, slow) == pytest.approx(-phase, abs=1e-9 / slow)
    assert phase_in_turn(theta, 1.0) == pytest.approx(theta - np.pi, abs=1e-12)
    assert phase_in_turn(np.pi, slow) == 0.0
    assert phase_in_turn(0.0, slow) == -np.pi and phase_in_turn(2.0 * np.pi, slow) == np.pi
    small = 1e-6
    assert phase_in_turn(np.pi + small, slow) / small == pytest.approx(slow, rel=1e-9)


def test_a_purged_soma_holds_no_current(recording):
    trace = recording.table("trace")
    soma = recording.loop_ids.index("n1.soma")
    held = trace["time_fs"][(trace["loop"] == soma) & (trace["mode"] == HELD)]
    assert len(held) and set(held) >= set(recording.table("spikes")["time_fs"])
    for spike in recording.spikes["n1"]:
        t = spike + np.linspace(0.0, 5.999, 50)
        t = t[t <= recording.end]
        assert not recording.current("n1", t).any()
        assert not recording.quanta("n1", t).any()
        assert recording.flux("n1", t).any()
        assert recording.current("n1", spike - 1e-6) > 0.1


BAD_TIMES = {
    "before the run begins": -1e-9,
    "after the end of the recording": 90.001,
    "nan is not a time": [1.0, float("nan")],
    "inf is not a time": np.inf,
    "'soon' is not a time or an array of times": "soon",
}


@pytest.mark.parametrize("why", BAD_TIMES)
def test_bad_times(recording, why):
    for what in ("current", "flux", "quanta", "phase"):
        with pytest.raises(InputError, match=why) as caught:
            getattr(recording, what)("d1", BAD_TIMES[why])
        assert str(caught.value).startswith(f"Recording.{what}.t: ") and "; give" in str(caught.value)


def test_the_ends_of_the_run_are_inside(recording):
    assert recording.end == 90.0
    assert recording.current("d1", [0.0, 90.0]).shape == (2,)
    assert recording.current("d1", 0.0) == 0.0
    assert recording.current("d1", []).shape == (0,)


def test_currents_that_were_not_recorded():
    rec = se.simulate(chain(), PHOTONS, 10.0, record={"currents": ["d1"], "fluxons": ["d2"], "photons": ["s2"]})
    assert rec.current("d1", 5.0) > 0.0
    with pytest.raises(InputError, match=r"Recording.flux: .*'n1' was not recorded; add \"currents\" to record="):
        rec.flux("n1", 5.0)
    with pytest.raises(InputError, match=r"Recording.current: there is no dendrite or neuron 'd11' \(did you mean 'd1"):
        rec.current("d11", 5.0)
    assert list(rec.fluxons) == ["d2"] and list(rec.photons) == list(rec.lost) == ["s2"]
    with pytest.raises(InputError, match=r"fluxons of 'd1' were not recorded; add 'fluxons' .*fluxon_count"):
        rec.fluxons["d1"]
    with pytest.raises(InputError, match="photons of 's1' were not recorded"):
        rec.detections["s1"]
    assert rec.fluxon_count["d1"] > 0
    assert rec.fluxons.get("d1") is None and "d1" not in rec.fluxons


def test_a_restored_run_begins_where_it_was_restored(tmp_path):
    run = se.Simulation(chain(), PHOTONS, record=EVERYTHING, out=tmp_path / "one.h5", duration=40.0)
    run.run(20.0)
    run.checkpoint(tmp_path / "state.h5")
    run.finish()
    later = se.Simulation.restore(tmp_path / "state.h5", out=tmp_path / "two.h5")
    later.run(40.0)
    rec = later.finish()
    assert rec.current("d1", 39.0) >= 0.0
    with pytest.raises(InputError, match=r"before this recording begins .*restored"):
        rec.current("d1", 1.0)


@pytest.mark.skipif(NO_JIT, reason="a promise of compiled code")
def test_many_times_over_many_rows_in_well_under_a_second(recording):
    """1e5 times over 1e5 trace rows, compiled beforehand."""
    rows = 100_000
    rng = np.random.default_rng(0)
    plan = recording.plan
    d = recording.loop_ids.index("d1")
    modes = int(np.diff(plan.arrays.mode_start)[d])
    values = np.zeros((rows, TRACE_COLUMNS))
    values[:, :3] = rng.uniform(0.0, 0.1, (rows, 3))
    tables = {
        "trace": {
            "time_fs": np.arange(rows) * 400_000,
            "loop": np.full(rows, d),
            "mode": np.zeros(rows),
            "values": values,
        },
        "amplitudes": {"value": rng.uniform(0.0, 0.1, rows * modes)},
    }
    rec = Recording(plan, tables, {}, {"now_fs": rows * 400_000})
    recording.current("d1", rng.uniform(0.0, 90.0, module._PYTHON_POINTS + 1))
    t = rng.uniform(0.0, rec.end, 100_000)
    rec.current("d1", t[:1])
    best = min(_seconds(lambda: rec.current("d1", t)) for _ in range(3))
    assert best < 0.6


def _seconds(work):
    start = time.process_time()
    work()
    return time.process_time() - start


# ---------------------------------------------------------------------------------------------- events


def test_events_by_id(recording):
    spikes = recording.table("spikes")
    assert np.array_equal(recording.spikes["n1"], spikes["time_fs"] * 1e-6)
    assert dict(recording.fluxon_count) == {name: len(times) for name, times in recording.fluxons.items()}
    for name in ("s1", "s2", "n1.refractory.synapse"):
        arrived, seen, lost = (getattr(recording, what)[name] for what in ("photons", "detections", "lost"))
        assert np.array_equal(np.sort(np.concatenate([seen, lost])), arrived)
    assert np.array_equal(recording.photons["s1"], PHOTONS["s1"])
    assert list(recording.lost["s1"]) == [3.01]  # within the hotspot of the photon before
    assert list(recording.lost["s2"]) == [13.0]  # within the dead time
    assert np.array_equal(recording.photons["n1.refractory.synapse"], recording.spikes["n1"])
    counts = recording.event_counts
    assert counts["spikes"] == len(spikes["time_fs"]) and counts["fluxons"] == sum(recording.fluxon_count.values())
    assert counts["detections"] == sum(map(len, recording.detections.values()))


@quick
@given(event_rows("fluxons"), event_rows("photons"))
def test_grouping_keeps_every_row_once_and_in_order(fluxons, photons):
    rec = Recording(None, dict([fluxons, photons]), HEADER, {})
    for table, by, column, ids in (
        (fluxons[1], rec.fluxons, "loop", rec.loop_ids),
        (photons[1], rec.photons, "detector", rec.detector_ids),
    ):
        assert tuple(by) == ids and len(by) == len(ids)
        for k, name in enumerate(ids):
            assert np.array_equal(by[name], table["time_fs"][table[column] == k] * 1e-6)


def test_what_a_recording_gives_can_not_be_changed(recording):
    for column in (recording.spikes["n1"], recording.fluxons["d1"], recording.table("trace")["values"]):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 0.0


def test_unknown_ids(recording):
    asked = {"spikes": "n2", "fluxons": "d3", "fluxon_count": "d3", "photons": "s", "detections": "d1", "lost": "s3"}
    for what, name in asked.items():
        found = getattr(recording, what)
        with pytest.raises(InputError, match=rf"^Recording\.{what}: there is no .* {name!r} \(did you mean '"):
            found[name]
        with pytest.raises(KeyError):
            found[name]
        assert name not in found and found.get(name) is None
    with pytest.raises(InputError, match="no table 'spike' "):
        recording.table("spike")


TENTHS = {"time_fs": np.arange(0, 100_000_000, 100_000), "neuron": np.zeros(1000, dtype=np.int64)}


@quick
@given(event_rows("spikes"), st.floats(1e-6, 200.0))
@example(("spikes", TENTHS), 0.1)  # 0.3/0.1 < 3
def test_bins_hold_every_spike(spikes, width):
    table = {name: column for name, column in spikes[1].items()}
    rec = Recording(None, {"spikes": table}, HEADER, {"now_fs": 100_000_000})
    if width < 1e-4:
        width *= 100
    bins = rec.binned(width)
    step = round(width * 1e6)
    assert bins.shape == (1, -(-100_000_000 // step)) and bins.dtype == np.int64
    assert np.array_equal(bins.sum(axis=1), rec.spike_counts())
    edges = np.arange(bins.shape[1] + 1) * step
    edges[-1] = max(edges[-1], 100_000_001)
    assert np.array_equal(bins[0], np.histogram(table["time_fs"], edges)[0])


def test_bins_that_can_not_be():
    rec = Recording(None, {}, HEADER, {"now_fs": 10**18})
    for width in (0.0, -1.0, float("nan"), "1 ns", None, True):
        with pytest.raises(InputError, match=r"Recording.binned.width: .*give a width in ns"):
            rec.binned(width)
    with pytest.raises(InputError, match="give wider bins"):
        rec.binned(1e-6)
    assert Recording(None, {}, HEADER, {}).binned(1.0).shape == (1, 1)


# ---------------------------------------------------------------------------------------------- energy and provenance


def test_energy_is_accounted_for(recording):
    energy = recording.energy
    unit = recording.plan.device.josephson_energy_J
    for part in (energy["total"], *energy["loops"].values()):
        kept = part["stored"] + part["junctions"] + part["leak"] + part["purge"]
        assert part["drawn"] == pytest.approx(kept, rel=1e-9, abs=0.0)
        assert min(part.values()) >= 0.0
    assert energy["loops"]["n1.soma"]["purge"] > 0.0 == energy["loops"]["d1"]["purge"]
    drawn = 2.0 * np.pi * 1.8 * recording.fluxon_count["d1"] * unit
    assert energy["loops"]["d1"]["drawn"] == pytest.approx(drawn, rel=1e-12, abs=0.0)
    for name, value in energy["total"].items():
        assert value == pytest.approx(sum(loop[name] for loop in energy["loops"].values()), rel=1e-12, abs=0.0)
    with pytest.raises(InputError, match=r"Recording.energy: this recording does not hold fluxons, slip_loss"):
        Recording(recording.plan, {}, {}, {}).energy  # noqa: B018


def test_provenance_and_reading_without_lowering(tmp_path, recording, monkeypatch):
    recording.save(tmp_path / "run.h5", compression="gzip")
    monkeypatch.setattr("soen_event.plan.lower", lambda *_: pytest.fail("lowered to read events"))
    back = Recording.load(tmp_path / "run.h5")
    assert back.same_events(recording)
    assert dict(back.fluxon_count) == dict(recording.fluxon_count)
    assert back.seed == 3 and back.duration == 90.0 and back.status == "the run is complete: 90 ns"
    found = back.provenance
    assert found == json.loads(json.dumps(recording.provenance))
    assert found["format"] == "soen-recording" and found["version"] == 4
    assert found["engine"] == "compiled" and found["plan_digest"] == recording.plan.digest
    assert {"soen_event", "numpy", "h5py", "numba", "python"} <= set(found["versions"])
    assert "d1" in repr(back.fluxon_count) and "interrupted" not in repr(back)
    for text in ("90 ns", "1 neurons", "seed 3", "compiled engine"):
        assert text in back.summary()


def test_a_loaded_recording_gives_the_same_currents(tmp_path, recording):
    stimulus = se.Stimulus(
        PHOTONS, [se.Drive("d2", pulses=[se.Pulse(t0=5.0, phi_peak=0.3, tau_rise=1.0, tau_fall=8.0)])]
    )
    ran = se.simulate(chain(), stimulus, 60.0, record=EVERYTHING, out=tmp_path / "run.h5")
    again = se.simulate(chain(), stimulus, 60.0, record=EVERYTHING)
    t = np.linspace(0.0, 60.0, 500)
    with se.Network() as other:
        back = Recording.load(tmp_path / "run.h5")
        for name in ("d1", "d2", "n1", "n1.refractory"):
            assert np.array_equal(back.current(name, t), again.current(name, t))
    assert other.to_dict() == se.Network().to_dict()  # lowering adds nothing to the network that is just being built
    assert back.energy == again.energy
    assert ran.same_events(again) and not ran.same_events(recording)
    copy = pickle.loads(pickle.dumps(back))
    assert np.array_equal(copy.current("n1", t), again.current("n1", t))
    given_network = Recording.load(tmp_path / "run.h5", network=chain())
    assert np.array_equal(given_network.current("n1", t), again.current("n1", t))


def test_another_network_is_refused(tmp_path, recording):
    recording.save(tmp_path / "run.h5")
    other = chain()
    other.replace("d1", tau=99.0)
    rec = Recording.load(tmp_path / "run.h5", network=other)
    assert len(rec.spikes["n1"]) == len(recording.spikes["n1"])
    with pytest.raises(InputError, match=r"does not lower to the plan that ran; it was edited, or lowered by another"):
        rec.current("d1", 1.0)
    bare = Recording(None, {}, HEADER, {})
    with pytest.raises(InputError, match="does not hold its network"):
        bare.plan  # noqa: B018
    with pytest.raises(InputError, match="does not hold the counts"):
        bare.fluxon_count["d1"]


def test_one_bit_makes_another_recording(recording):
    def of(tables):
        return Recording(recording.plan, tables, recording.provenance, recording._progress)

    tables = {table: recording.table(table) for table in TABLES}
    assert of(tables).same_events(recording)
    for table, columns in tables.items():
        if not len(next(iter(columns.values()))):  # nothing learns in it
            assert table == "writes"
            continue
        for name, column in columns.items():
            changed = column.copy()
            changed.reshape(-1).view(np.int64)[-1] ^= 1
            assert not of({**tables, table: {**columns, name: changed}}).same_events(recording), (table, name)
        shorter = {name: column[:-1] for name, column in columns.items()}
        assert not of({**tables, table: shorter}).same_events(recording), table
    renamed = {**HEADER, "neuron_ids": ["n2"]}
    assert not Recording(None, {}, renamed, {}).same_events(Recording(None, {}, HEADER, {}))


def test_trace_and_amplitudes_must_belong_together(recording):
    tables = {table: recording.table(table) for table in TABLES}
    tables["amplitudes"] = {"value": tables["amplitudes"]["value"][:-1]}
    rec = Recording(recording.plan, tables, recording.provenance, recording._progress)
    with pytest.raises(InputError, match="its trace needs"):
        rec.current("d1", 1.0)


# ---------------------------------------------------------------------------------------------- other libraries


def test_to_pandas(recording):
    pandas = pytest.importorskip("pandas")
    spikes = recording.to_pandas("spikes")
    assert isinstance(spikes, pandas.DataFrame)
    assert list(spikes["time"]) == list(recording.spikes["n1"]) and set(spikes["neuron"]) == {"n1"}
    fluxons = recording.to_pandas("fluxons")
    assert list(fluxons["time"][fluxons["loop"] == "d2"]) == list(recording.fluxons["d2"])
    photons = recording.to_pandas("photons")
    lost = photons[(photons["synapse"] == "s1") & (photons["fate"] == "in hotspot")]
    assert list(lost["time"]) == list(recording.lost["s1"])
    with pytest.raises(InputError, match=r"Recording.to_pandas.table: 'spike' is unknown"):
        recording.to_pandas("spike")


def test_to_xarray(recording):
    pytest.importorskip("xarray")
    t = np.linspace(0.0, 90.0, 7)
    found = recording.to_xarray(["d1", "n1"], t)
    assert dict(found.sizes) == {"id": 2, "time": 7}
    assert np.array_equal(found["current"].sel(id="n1"), recording.current("n1", t))
    assert np.array_equal(found["flux"].sel(id="d1"), recording.flux("d1", t))
    assert found.attrs["seed"] == 3
    with pytest.raises(InputError, match="give times along one axis"):
        recording.to_xarray("d1", np.zeros((2, 2)))


def test_to_neo(recording):
    pytest.importorskip("neo")
    (segment,) = recording.to_neo().segments
    (train,) = segment.spiketrains
    assert train.name == "n1" and float(train.t_stop.rescale("ns")) == 90.0
    assert np.array_equal(train.rescale("ns").magnitude, recording.spikes["n1"])


def test_libraries_that_are_not_installed(recording, monkeypatch):
    asked = {
        "pandas": (lambda: recording.to_pandas(), "pip install pandas"),
        "xarray": (lambda: recording.to_xarray("d1", [1.0]), r"pip install 'soen-event\[xarray\]'"),
        "neo": (lambda: recording.to_neo(), r"pip install 'soen-event\[neo\]'"),
    }
    for name, (ask, how) in asked.items():
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(InputError, match=rf"{name} is not installed; install it with: {how}"):
            ask()


def test_recordings_are_read_without_heavy_libraries():
    heavy = ("h5py", "numba", "pandas", "xarray", "neo")
    code = f"import soen_event.recording, sys; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_the_trace_has_the_columns_that_the_currents_need():
    assert {T_THETA, T_KAPPA} < set(range(TRACE_COLUMNS)) and TABLES["trace"]["values"][1] == (TRACE_COLUMNS,)
