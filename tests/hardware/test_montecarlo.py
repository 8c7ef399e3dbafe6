"""The Monte-Carlo runner: nothing is lost or done twice, and nobody can tell how many workers there were."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import soen_event as se
from hardware import montecarlo
from hardware.montecarlo import JobsFailed, Results, read, run
from hardware.spread import Spread, spread
from soen_event.errors import InputError
from soen_event.physics.random import STIMULUS, part_key, uniform

POINTS = [{"x": 0.5 * k, "name": f"p{k}"} for k in range(10)]
SEEDS = range(20)


def draw(point, seed):
    u = uniform(seed, part_key(point["name"]), 0, STIMULUS, 0)
    return {"sum": point["x"] + u, "product": point["x"] * u}


STUDY = """
import os, time
from soen_event.physics.random import STIMULUS, part_key, uniform

POINTS = [{"x": 0.5 * k, "name": f"p{k}"} for k in range(10)]
SEEDS = range(20)
JOURNAL = os.environ.get("STUDY_JOURNAL")
SLEEP = float(os.environ.get("STUDY_SLEEP", "0"))


def draw(point, seed):
    if JOURNAL:
        handle = os.open(JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, f"{point['name']} {seed} {os.getpid()}\\n".encode())
        os.close(handle)
    if SLEEP:
        time.sleep(SLEEP)
    u = uniform(seed, part_key(point["name"]), 0, STIMULUS, 0)
    return {"sum": point["x"] + u, "product": point["x"] * u}


def fragile(point, seed):
    if seed == 3 and os.path.exists(os.environ["STUDY_TRAP"]):
        os._exit(3)
    return {"value": seed}
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A module that worker processes can import without the tests' own imports."""
    (tmp_path / "soen_study.py").write_text(STUDY)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "soen_study", raising=False)
    import soen_study

    yield soen_study
    sys.modules.pop("soen_study", None)


def same(one: Results, other: Results) -> bool:
    return (
        one.points == other.points
        and one.seeds == other.seeds
        and one.names == other.names
        and all(np.array_equal(one.array(name), other.array(name), equal_nan=True) for name in one.names)
        and np.array_equal(one.done, other.done)
    )


def jobs_in(path: Path) -> list[tuple[int, int]]:
    """Jobs in the whole lines of a file."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    rows = [json.loads(line) for line in lines[1:] if line.endswith(b"\n")]
    return [(row["point"], row["seed"]) for row in rows]


# ---------------------------------------------------------------------------------------------- plain runs


def test_every_job_is_done_once_in_the_order_of_points_and_seeds(tmp_path):
    results = run(draw, POINTS, SEEDS, tmp_path / "a.jsonl")
    assert results.array("sum").shape == (10, 20)
    for i, point in enumerate(POINTS):
        for j in (0, 7, 19):
            assert results.array("sum")[i, j] == draw(point, j)["sum"]
    assert results.done.all() and results.failures == ()
    assert results.points == tuple(POINTS) and results.seeds == tuple(SEEDS)
    assert sorted(jobs_in(tmp_path / "a.jsonl")) == [(i, j) for i in range(10) for j in range(20)]
    assert same(results, run(draw, POINTS, SEEDS))
    assert same(results, read(tmp_path / "a.jsonl"))


def test_a_finished_study_does_nothing_more(tmp_path, study, monkeypatch):
    path = tmp_path / "a.jsonl"
    run(study.draw, study.POINTS, study.SEEDS, path)
    before = path.read_bytes()
    monkeypatch.setattr(study, "JOURNAL", str(tmp_path / "journal"))
    told = []
    run(study.draw, study.POINTS, study.SEEDS, path, workers=2, progress=lambda *counts: told.append(counts))
    assert path.read_bytes() == before
    assert not (tmp_path / "journal").exists()
    assert told == [(200, 200)]


def test_any_number_of_workers_gives_the_same_bytes(tmp_path, study):
    files, tables = [], []
    for workers in (1, 2, 4):
        path = tmp_path / f"{workers}.jsonl"
        results = run(study.draw, study.POINTS, study.SEEDS, path, workers=workers)
        files.append(sorted(path.read_bytes().splitlines()))
        tables.append(results.to_csv(tmp_path / f"{workers}.csv").read_bytes())
    assert files[0] == files[1] == files[2]
    assert tables[0] == tables[1] == tables[2]
    assert len(files[0]) == 201


class Backwards(Executor):
    """Does nothing until it has to, and then the last job first."""

    def __init__(self):
        self.waiting = []
        self.submitted = 0

    def submit(self, job, /, *args, **kwargs):
        future: Future = Future()
        self.submitted += 1
        self.waiting.append((future, job, args))
        if len(self.waiting) == 7 or self.submitted == 200:
            for late, task, given_ in reversed(self.waiting):
                late.set_result(task(*given_))
            self.waiting = []
        return future


def test_any_executor_will_do(tmp_path):
    plain = run(draw, POINTS, SEEDS)
    with ThreadPoolExecutor(3) as threads:
        assert same(plain, run(draw, POINTS, SEEDS, tmp_path / "t.jsonl", threads))
        assert threads.submit(abs, -1).result() == 1  # it is not shut down
    backwards = Backwards()
    assert same(plain, run(draw, POINTS, SEEDS, tmp_path / "b.jsonl", backwards))
    assert backwards.submitted == 200
    first = jobs_in(tmp_path / "b.jsonl")[:7]
    assert sorted(first) == [(0, j) for j in range(7)]


@given(
    st.lists(
        st.dictionaries(st.sampled_from("abc"), st.one_of(st.integers(-5, 5), st.floats(-1, 1), st.text(max_size=2))),
        min_size=1,
        max_size=4,
        unique_by=lambda point: json.dumps(point, sort_keys=True),
    ),
    st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=4, unique=True),
)
@settings(max_examples=25, deadline=None)
def test_what_is_written_is_read_back(points, seeds):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        assert same(run(odd, points, seeds, path), read(path))
        assert same(run(odd, points, seeds, path), run(odd, points, seeds))


def odd(point, seed):
    return {"third": seed / 3.0, "nan": math.nan, "inf": -math.inf, "count": np.int64(len(point)), "tiny": 5e-324}


def test_a_yield_study(tmp_path):
    """What the runner is for: chips of one design, more of them dead the wider the spread."""
    results = run(alive, [{"threshold": 0.0}, {"threshold": 0.2}], range(8), tmp_path / "yield.jsonl")
    assert results.mean("alive")[0] == 1.0
    assert results.mean("alive")[1] < 1.0


def alive(point, seed):
    with se.Network() as net:
        se.Synapse("s", "n")
        se.Neuron("n", soma=se.Soma(threshold=0.6))
    chip = spread(net, Spread.only(threshold=point["threshold"]), seed)
    if chip.validate():
        return {"alive": 0}
    spikes = se.simulate(chip, {"s": [1.0]}, 10.0, engine="reference").spikes["n"]
    return {"alive": len(spikes) > 0}


# ---------------------------------------------------------------------------------------------- kills

FORKER = """
import os, sys
import soen_study as study
from hardware.montecarlo import run
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        run(study.draw, study.POINTS, study.SEEDS, line.strip())
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


def environment(folder: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}", **more}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fifty_kills_lose_nothing_and_do_nothing_twice(tmp_path, study):
    """Each study of 200 jobs is killed and started again until it ends; kills come at random moments, its start included."""
    truth = run(study.draw, study.POINTS, study.SEEDS)
    journal = tmp_path / "journal"
    journal.touch()
    moment = random.Random(2)
    kills = studies = 0
    with subprocess.Popen(
        [sys.executable, "-c", FORKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(tmp_path, STUDY_JOURNAL=str(journal), STUDY_SLEEP="0.001"),
    ) as forker:
        assert forker.stdin is not None and forker.stdout is not None
        while kills < 50:
            path = tmp_path / f"{studies}.jsonl"
            studies += 1
            status = 1
            while status != 0:
                recorded = set(jobs_in(path))
                seen = len(journal.read_bytes().splitlines())
                forker.stdin.write(f"{path}\n")
                forker.stdin.flush()
                child = int(forker.stdout.readline())
                time.sleep(moment.choice([0.002, 0.02, 0.2]) * moment.random())
                if kills < 50:
                    with contextlib.suppress(ProcessLookupError):  # it had ended already
                        os.kill(child, signal.SIGKILL)
                status = int(forker.stdout.readline())
                assert status in (0, signal.SIGKILL)
                kills += status == signal.SIGKILL
                again = [line.split()[:2] for line in journal.read_text().splitlines()[seen:]]
                assert not recorded & {(int(name[1:]), int(seed)) for name, seed in again}
                assert recorded <= set(jobs_in(path))
            assert sorted(jobs_in(path)) == [(i, j) for i in range(10) for j in range(20)]
            assert same(read(path), truth)
        forker.stdin.close()
    assert kills == 50


def alive_processes(pids: set[int]) -> set[int]:
    def running(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
        except OSError:
            return False

    return {pid for pid in pids if running(pid)}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_killed_run_leaves_no_workers_behind_and_no_lock(tmp_path, study):
    path, journal = tmp_path / "a.jsonl", tmp_path / "journal"
    journal.touch()
    script = tmp_path / "script.py"
    script.write_text(
        "import soen_study as s\nfrom hardware.montecarlo import run\n"
        "if __name__ == '__main__':\n    run(s.draw, s.POINTS, s.SEEDS, 'a.jsonl', workers=2)\n"
    )
    env = environment(tmp_path, STUDY_JOURNAL=str(journal), STUDY_SLEEP="0.02")
    with subprocess.Popen([sys.executable, str(script)], cwd=tmp_path, env=env) as child:
        while len(journal.read_bytes().splitlines()) < 20:
            time.sleep(0.01)
            assert child.poll() is None
        child.kill()
    workers = {int(line.split()[2]) for line in journal.read_text().splitlines()}
    assert workers and child.pid not in workers
    patience = time.monotonic() + 10.0
    while alive_processes(workers) and time.monotonic() < patience:
        time.sleep(0.02)
    assert not alive_processes(workers)
    results = run(study.draw, study.POINTS, study.SEEDS, path)
    assert same(results, run(study.draw, study.POINTS, study.SEEDS))
    assert len(set(jobs_in(path))) == len(jobs_in(path)) == 200


def interrupt_after(count):
    def progress(done, total):
        if done >= count:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupt_leaves_a_file_that_goes_on(tmp_path, study, workers):
    path = tmp_path / "a.jsonl"
    with pytest.raises(KeyboardInterrupt):
        run(study.draw, study.POINTS, study.SEEDS, path, workers=workers, progress=interrupt_after(11))
    assert 11 <= len(jobs_in(path)) < 200
    part = read(path)
    assert part.done.sum() == len(jobs_in(path))
    whole = run(study.draw, study.POINTS, study.SEEDS, path)
    assert same(whole, run(study.draw, study.POINTS, study.SEEDS))
    assert np.array_equal(part.array("sum")[part.done], whole.array("sum")[part.done])


def test_a_worker_that_dies_stops_the_study_which_then_goes_on(tmp_path, study, monkeypatch):
    path, trap = tmp_path / "a.jsonl", tmp_path / "trap"
    monkeypatch.setenv("STUDY_TRAP", str(trap))
    trap.touch()
    with pytest.raises(RuntimeError, match="a worker died"):
        run(study.fragile, [{}], range(6), path, workers=2)
    assert (0, 3) not in jobs_in(path)
    trap.unlink()
    assert np.array_equal(run(study.fragile, [{}], range(6), path).array("value"), [list(range(6))])
    assert len(jobs_in(path)) == 6


# ---------------------------------------------------------------------------------------------- the file


def test_a_last_line_torn_anywhere_is_done_again(tmp_path):
    path = tmp_path / "a.jsonl"
    truth = run(draw, POINTS[:2], [0, 1], path)
    whole = path.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for end in range(last, len(whole)):
        path.write_bytes(whole[:end])
        assert read(path).done.sum() == 3
        assert same(run(draw, POINTS[:2], [0, 1], path), truth)
        assert path.read_bytes() == whole
    path.write_bytes(whole[: last + 5] + b"\0" * (len(whole) - last - 6) + b"\n")  # its length came before its content
    assert same(run(draw, POINTS[:2], [0, 1], path), truth)
    assert path.read_bytes() == whole


def test_a_torn_first_line_begins_anew(tmp_path):
    path = tmp_path / "a.jsonl"
    truth = run(draw, POINTS[:1], [0], path)
    whole = path.read_bytes()
    for end in (0, 1, 30, whole.find(b"\n")):
        path.write_bytes(whole[:end])
        assert same(run(draw, POINTS[:1], [0], path), truth)
        assert path.read_bytes() == whole


@pytest.mark.parametrize("content", [b"x", b"hello\n", b"{}\n", b"\x00\xff\n", b'{"a": 1}', b"[1]\n", b"\n"])
def test_a_file_of_something_else_is_left_alone(tmp_path, content):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match="no file of a study"):
        run(draw, POINTS, SEEDS, path)
    assert path.read_bytes() == content
    with pytest.raises(InputError, match="no file of a study"):
        read(path)


@pytest.mark.parametrize(
    ("points", "seeds", "told"),
    [
        (POINTS[:2], [0, 2], r"other seeds \(2 there, 2 here; the first difference is at seeds\[1\]\)"),
        (POINTS[:3], [0, 1], r"other points \(2 there, 3 here; one begins like the other\)"),
        ([POINTS[0], {"x": 9.0, "name": "p"}], [0, 1], r"first difference is at points\[1\]"),
        (POINTS[1::-1], [0, 1], r"points\[0\]"),
    ],
)
def test_another_study_is_refused(tmp_path, points, seeds, told):
    path = tmp_path / "a.jsonl"
    run(draw, POINTS[:2], [0, 1], path)
    before = path.read_bytes()
    with pytest.raises(InputError, match=told):
        run(draw, points, seeds, path)
    with pytest.raises(InputError, match=r"holds a study of .*:draw, not of .*:odd"):
        run(odd, POINTS[:2], [0, 1], path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("line", "change", "told"),
    [
        (2, lambda text: text.replace(b'"seed": 0', b'"seed": 1'), "line 2: is damaged"),
        (2, lambda text: b"nonsense", "line 2: is damaged"),
        (2, lambda text: text[:-9], "line 2: is damaged"),
        (3, lambda text: None, "line 3: its job is there already"),
        (1, lambda text: text.replace(b'"x": 0.5', b'"x": 0.25'), "line 1: is damaged"),
        (1, lambda text: text.replace(b'"soen_montecarlo": 1', b'"soen_montecarlo": 2'), "is of version 2"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, line, change, told):
    path = tmp_path / "a.jsonl"
    run(draw, POINTS[:2], [0, 1], path)
    lines = path.read_bytes().splitlines()
    lines[line - 1] = change(lines[line - 1]) or lines[1]
    path.write_bytes(b"\n".join(lines) + b"\n")
    before = path.read_bytes()
    for call in (lambda: run(draw, POINTS[:2], [0, 1], path), lambda: read(path)):
        with pytest.raises(InputError, match=told):
            call()
    assert path.read_bytes() == before


def test_two_writers_are_kept_apart(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    path = tmp_path / "a.jsonl"
    run(draw, POINTS, [0], path)
    with open(path, "rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another run is writing it"):
            run(draw, POINTS, [0], path)
        assert read(path).done.all()
    run(draw, POINTS, [0], path)


# ---------------------------------------------------------------------------------------------- failures


def half_fails(point, seed):
    if seed % 2:
        raise ValueError(f"no luck with {seed}")
    return {"value": seed}


@pytest.mark.parametrize("threads", [0, 2])
def test_failed_jobs_are_told_when_the_others_are_done(tmp_path, monkeypatch, threads):
    path = tmp_path / "a.jsonl"
    executor = ThreadPoolExecutor(threads) if threads else None
    with pytest.raises(JobsFailed, match="8 of 16 jobs failed") as caught:
        run(half_fails, [{"x": 1}, {"x": 2}], range(8), path, executor)
    results = caught.value.results
    assert results.done.sum() == 8
    assert np.array_equal(results.array("value")[0][::2], [0, 2, 4, 6]) and np.isnan(results.array("value")[0, 1])
    assert caught.value.failures[0] == ({"x": 1}, 1, "ValueError: no luck with 1")
    assert "and 3 more" in str(caught.value)
    assert len(results.rows) == 8
    assert read(path).failures == caught.value.failures
    monkeypatch.setattr(sys.modules[__name__], "half_fails", mended)
    mended.__qualname__ = "half_fails"
    assert np.array_equal(run(mended, [{"x": 1}, {"x": 2}], range(8), path).array("value"), [list(range(8))] * 2)
    assert len(jobs_in(path)) == 24  # 8 done, 8 failed, 8 done now


def mended(point, seed):
    return {"value": seed}


@pytest.mark.parametrize("returned", [None, 3.0, [1.0], {"a": "x"}, {1: 2.0}, {"a": None}, {"a": 1j}, {"seed": 1.0}])
def test_what_is_no_numbers_by_name_is_a_failed_job(returned, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "RETURNED", returned)
    with pytest.raises(JobsFailed, match=r"numbers by name|column of its own"):
        run(give_back, [{}], [0])


RETURNED: object = None


def give_back(point, seed):
    return RETURNED


def leave(point, seed):
    raise SystemExit(2)


def test_leaving_python_is_a_failed_job_too():
    with pytest.raises(JobsFailed, match="SystemExit: 2"):
        run(leave, [{}], [0])


# ---------------------------------------------------------------------------------------------- results


def test_summaries():
    results = run(draw, POINTS, SEEDS)
    values = results.array("sum")
    np.testing.assert_allclose(results.mean("sum"), values.mean(axis=1))
    np.testing.assert_allclose(results.std("sum"), values.std(axis=1, ddof=1))
    np.testing.assert_allclose(results.quantile("sum", [0.1, 0.9]), np.quantile(values, [0.1, 0.9], axis=1).T)
    np.testing.assert_allclose(results.quantile("sum", 0.5), np.median(values, axis=1))
    assert np.array_equal(results.at(3)["sum"], values[3]) and np.array_equal(results.at(POINTS[3])["sum"], values[3])
    assert np.array_equal(results.column("sum"), values.ravel())
    assert results.column("name")[25] == "p1" and results.column("seed")[25] == 5 and results.column("x")[25] == 0.5
    assert results.rows[25] == {"point": 1, "seed": 5, **POINTS[1], **draw(POINTS[1], 5)}
    assert math.isnan(run(draw, POINTS, [0]).std("sum")[0])
    with pytest.raises(ValueError, match="read-only"):
        values[0, 0] = 1.0


def sometimes(point, seed):
    return {"a": 1.0} if seed else {"b": 2.0}


def test_names_that_not_every_job_returns_are_nan_elsewhere():
    results = run(sometimes, [{}], [0, 1])
    assert np.array_equal(results.array("a"), [[math.nan, 1.0]], equal_nan=True)
    assert results.mean("b")[0] == 2.0 and math.isnan(results.std("b")[0])


def test_a_table_is_written_in_one_step(tmp_path):
    results = run(odd, [{"b": 0.1, "a": [1, 2]}, {"a": "x,y"}], [2])
    path = results.to_csv(tmp_path / "t.csv")
    assert path.read_text() == (
        "point,seed,a,b,count,inf,nan,third,tiny\n"
        '0,2,"[1, 2]",0.1,2.0,-inf,nan,0.6666666666666666,5e-324\n'
        '1,2,"x,y",,1.0,-inf,nan,0.6666666666666666,5e-324\n'
    )
    with pytest.raises(InputError, match="exists already"):
        results.to_csv(path)
    results.to_csv(path, overwrite=True)
    with pytest.raises(InputError, match="does not exist"):
        results.to_csv(tmp_path / "no" / "t.csv")
    assert os.listdir(tmp_path) == ["t.csv"]


def test_results_are_drawn(tmp_path):
    from matplotlib import image

    results = run(draw, POINTS, SEEDS)
    pixels = image.imread(results.plot("x", "sum", tmp_path / "p.png"))
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 50
    for x, y, told in (("name", "sum", "Results.plot.x: 'name'"), ("x", "summ", "did you mean 'sum'")):
        with pytest.raises(InputError, match=told):
            results.plot(x, y, tmp_path / "q.png")


def test_progress_is_told(capsys):
    told = []
    run(draw, POINTS[:2], [0, 1], progress=lambda done, total: told.append((done, total)))
    assert told == [(k, 4) for k in range(5)]
    run(draw, POINTS[:2], [0, 1], progress=True)
    run(draw, POINTS[:2], [0, 1])
    assert capsys.readouterr().err.count("4 of 4 jobs\n") == 1


# ---------------------------------------------------------------------------------------------- nonsense


class Callable:
    def __call__(self, point, seed):
        return {}


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: run(lambda point, seed: {}, POINTS, SEEDS), "has no name of its own"),
        (lambda: run(Callable(), POINTS, SEEDS), "has no name of its own"),
        (lambda: run("draw", POINTS, SEEDS), "montecarlo.evaluate"),
        (lambda: run(draw, {"x": 1}, SEEDS), "montecarlo.points"),
        (lambda: run(draw, 3, SEEDS), "montecarlo.points: 3 is no list"),
        (lambda: run(draw, [], SEEDS), "points: there are none"),
        (lambda: run(draw, [1], SEEDS), r"points\[0\]: 1 is no mapping"),
        (lambda: run(draw, [{"x": np.float32(1)}], SEEDS), r"points\[0\].*no plain data.*\.item\(\)"),
        (lambda: run(draw, [{"x": math.inf}], SEEDS), "no plain data"),
        (lambda: run(draw, [{"x": 1}, {"x": 2}, {"x": 1}], SEEDS), r"points\[2\]: is the same as points\[0\]"),
        (lambda: run(draw, [{"seed": 1}], SEEDS), r"points\[0\]: 'seed' is the name of a column"),
        (lambda: run(draw, POINTS, 5), "montecarlo.seeds: 5 is no list"),
        (lambda: run(draw, POINTS, []), "seeds: there are none"),
        (lambda: run(draw, POINTS, [0, -1]), r"seeds\[1\]: -1 is out of range"),
        (lambda: run(draw, POINTS, [0, 0.5]), r"seeds\[1\]: 0.5"),
        (lambda: run(draw, POINTS, [4, 4]), r"seeds\[1\]: 4 is there already"),
        (lambda: run(draw, POINTS, SEEDS, workers=0), "montecarlo.workers: 0"),
        (lambda: run(draw, POINTS, SEEDS, workers=2.0), "montecarlo.workers: 2.0"),
        (lambda: run(draw, POINTS, SEEDS, executor=5), "montecarlo.executor: 5 has no submit"),
        (lambda: run(draw, POINTS, SEEDS, executor=Backwards(), workers=2), "give one of the two"),
        (lambda: run(draw, POINTS, SEEDS, progress="yes"), "montecarlo.progress"),
        (lambda: run(draw, POINTS, SEEDS, "/nowhere/a.jsonl"), "its folder /nowhere does not exist"),
        (lambda: run(draw, POINTS, SEEDS, "/"), "is a folder"),
        (lambda: read("/nowhere/a.jsonl"), "cannot be read"),
        (lambda: run(draw, POINTS, [0]).array("summ"), "did you mean 'sum'"),
        (lambda: run(draw, POINTS, [0]).column("nam"), "did you mean 'name'"),
        (lambda: run(draw, POINTS, [0]).at(10), "give 0 to 9"),
        (lambda: run(draw, POINTS, [0]).at({"x": -1}), "no point of this study"),
        (lambda: run(draw, POINTS, [0]).quantile("sum", 1.5), "not within 0 to 1"),
    ],
)
def test_nonsense_is_refused(call, told):
    with pytest.raises(InputError, match=told):
        call()


def test_what_cannot_travel_is_refused_before_anything_starts(tmp_path, monkeypatch):
    def local(point, seed):
        return {}

    local.__qualname__ = "local"
    with pytest.raises(InputError, match="cannot be sent to another process"):
        run(local, POINTS, SEEDS, tmp_path / "a.jsonl", workers=2)
    assert not (tmp_path / "a.jsonl").exists()


def test_all_faults_are_told_at_once():
    with pytest.raises(InputError) as caught:
        run(draw, [1, {"x": math.nan}], [-1])
    assert len(caught.value.faults) == 3


def test_a_study_in_a_script_is_named_like_its_module(monkeypatch):
    def f(point, seed): ...

    f.__module__, f.__qualname__ = "__main__", "f"
    main = type(sys)("__main__")
    main.__file__ = "/somewhere/my_study.py"
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert montecarlo._name_of(f) == "my_study:f"
